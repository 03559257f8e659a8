# The user's commands. `make demo` and `make test` need Python >= 3.11 and nothing else; `make e2e` needs root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.ready-dev
# Network namespaces, and clocks that jump.
TORTURE_NEEDS := command -v ip >/dev/null && ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || \
	{ apt-get update -qq && apt-get install -y -qq iproute2 libfaketime; }

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fuzz e2e bench bench-fast torture torture-fast docs image sbom clean

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv with the command `headrace`

$(READY): pyproject.toml controller/version.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Headrace needs Python 3.11 or newer; say which with: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[nginx]'
	@touch $@

$(DEV): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[nginx,dev]'
	@touch $@

demo: $(READY) ## serve the examples on ports 8080 and 8443, without a cluster
	$(BIN)/python examples/demo.py

check: $(DEV) ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check ## everything that needs no root: unit, golden cases, properties, real nginx
	$(BIN)/pytest -q -n auto

fuzz: $(DEV) ## 20,000 hostile configurations, and a minute of hostile bytes at the data plane
	$(BIN)/pytest -q -n auto --hypothesis-profile=fuzz controller/tests/fuzz

e2e: $(DEV) ## real Kubernetes: control plane, node, image and chart (root, Debian)
	@command -v ip >/dev/null || { apt-get update -qq && apt-get install -y -qq iproute2; }
	$(BIN)/python -m e2e.cluster.local prepare
	$(BIN)/pytest -q -s e2e/image
	$(BIN)/pytest -q -s e2e/page
	$(BIN)/pytest -q -s e2e/apiserver e2e/chart e2e/policy e2e/load
	$(BIN)/pytest -q -s e2e/cluster

bench: $(DEV) ## measure next to bare nginx and write docs/performance (root, Debian; hours; BENCH="dataplane" for a part)
	$(BIN)/python -m e2e.bench $(BENCH)

bench-fast: $(DEV) ## the smallest of each measurement, to see that all of them run (root, Debian; two minutes)
	@command -v ip >/dev/null || { apt-get update -qq && apt-get install -y -qq iproute2; }
	$(BIN)/pytest -q -s e2e/bench

torture: $(DEV) ## break everything under load and count what clients lose (root, Debian; an hour)
	@$(TORTURE_NEEDS)
	$(BIN)/pytest -q -s e2e/torture

torture-fast: $(DEV) ## the part of it that continuous integration runs (root, Debian; six minutes)
	@$(TORTURE_NEEDS)
	$(BIN)/pytest -q -s -m "not long" e2e/torture

image: $(DEV) ## build the image headrace:VERSION (NGINX_IMAGE=... chooses its nginx)
	$(BIN)/python -m e2e.images image -- $(if $(NGINX_IMAGE),--build-arg NGINX_IMAGE=$(NGINX_IMAGE))

sbom: $(DEV) ## write what is in the image to dist/headrace-VERSION.cdx.json (CycloneDX)
	$(BIN)/python -m e2e.images sbom -- $(if $(NGINX_IMAGE),--build-arg NGINX_IMAGE=$(NGINX_IMAGE))

docs: $(READY) ## write the generated pages anew
	$(BIN)/python -m controller.docs
	$(BIN)/python -m e2e.chart.schema

clean: ## remove what the other targets made
	rm -rf $(VENV) .state .mypy_cache .ruff_cache .pytest_cache .hypothesis
