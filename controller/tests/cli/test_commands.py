"""The commands as a script or a person uses them: exit codes, JSON, errors; and every flag of the old controller."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from controller.cli.flags import WITHOUT_EFFECT, ignored_flags, settings_of
from controller.cli.main import build_parser
from controller.model.errors import UsageError

EXAMPLES = Path(__file__).parents[3] / "examples"

GOOD = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules: [{host: web.test, http: {paths: [{path: /, pathType: Prefix,
    backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80, targetPort: 8080}]}
"""


def headrace(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "controller", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "web.yaml").write_text(GOOD)
    return tmp_path


def test_lint_is_silent_and_0_where_all_is_well(good: Path) -> None:
    done = headrace("lint", good)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 Ingresses for 1 hosts: nothing to complain about" in done.stdout


def test_lint_names_object_field_effect_and_the_nearest_name_of_a_typo(good: Path) -> None:
    typo = "metadata: {name: web, annotations: {nginx.ingress.kubernetes.io/ssl-redirct: 'true'}}"
    (good / "web.yaml").write_text(GOOD.replace("metadata: {name: web}", typo, 1))
    done = headrace("lint", good, "--output", "json")
    assert done.returncode == 1
    finding = json.loads(done.stdout)["diagnostics"][0]
    assert finding["code"] == "annotation-unknown"
    assert finding["object"] == {"kind": "Ingress", "namespace": "default", "name": "web"}
    assert finding["field"] == "metadata.annotations[nginx.ingress.kubernetes.io/ssl-redirct]"
    assert finding["effect"] == "setting-ignored"
    assert "ssl-redirect?" in finding["hint"]


def test_lint_of_the_examples_shows_the_modern_form_of_the_legacy_one() -> None:
    done = headrace("lint", EXAMPLES)
    assert done.returncode == 1
    assert "networking.k8s.io/v1" in done.stdout
    assert "\x1b" not in done.stdout, "piped output is plain"


def test_render_prints_writes_and_answers_in_json(good: Path, tmp_path: Path) -> None:
    assert "server_name web.test;" in headrace("render", good).stdout
    out = tmp_path / "out"
    assert headrace("render", good, "--out", out).returncode == 0
    assert (out / "servers" / "web.test.conf").is_file()
    files = json.loads(headrace("render", good, "--output", "json").stdout)["files"]
    assert files["servers/web.test.conf"] == (out / "servers" / "web.test.conf").read_text()


def test_explain_answers_with_the_service(good: Path) -> None:
    done = headrace("explain", "http://web.test/x", "--manifests", good)
    assert done.returncode == 1, "no pods: the answer is a 503"
    assert "Service default/web" in done.stdout
    assert "503: the Service has no ready endpoints" in done.stdout
    assert headrace("explain", "http://other.test/", "--manifests", good, "-H", "A: b").returncode == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fly",),
        ("lint",),
        ("lint", "/does/not/exist"),
        ("explain", "ftp://a/", "--manifests", str(EXAMPLES)),
        ("explain", "http://a/", "-H", "nocolon", "--manifests", str(EXAMPLES)),
        ("run", "--manifests", "/does/not/exist", "--state-dir", "/tmp/headrace-test-unused"),
        ("run", "--http-port", "eighty"),
        ("run", "--configmap", "noslash"),
        ("run", "--publish-service", "a/b", "--publish-status-address", "1.2.3.4"),
        ("run", "--bind-address", "nowhere"),
        ("run", "--watch-namespace-selector", "a b"),
        ("run", "--enable-something-unknown"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_2_and_says_why(arguments: tuple[str, ...]) -> None:
    done = headrace(*arguments)
    assert done.returncode == 2
    assert done.stderr or "usage" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("flag", WITHOUT_EFFECT)
def test_flags_without_effect_are_accepted_and_named(flag: str) -> None:
    args = build_parser().parse_args(["run", f"--{flag}=1"])
    assert ignored_flags(args) == (f"--{flag}",)


def test_flags_as_old_deployments_write_them() -> None:
    args = build_parser().parse_args(
        ["run", "--election-id=lead", "--controller-class=k8s.io/ingress-nginx", "--ingress-class=nginx", "-v=3",
         "--configmap=infra/settings", "--publish-service=infra/front", "--update-status=false",
         "--watch-ingress-without-class=true", "--default-ssl-certificate=infra/tls"]
    )  # fmt: skip
    settings = settings_of(args)
    assert settings.options.controller_class == "k8s.io/ingress-nginx"
    assert settings.options.configmap and settings.options.configmap.path == "infra/settings"
    assert settings.options.watch_ingress_without_class
    assert (settings.update_status, settings.verbosity, settings.election_id) == (False, 3, "lead")


def test_two_ports_must_differ() -> None:
    args = build_parser().parse_args(["run", "--http-port=1", "--https-port=1"])
    with pytest.raises(UsageError, match="--http-port"):
        settings_of(args)
