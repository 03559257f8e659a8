"""`migrate diff` between two real controllers whose manifests differ on purpose, and between two that are alike."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.tests.live.backends import Backends
from controller.tests.live.conftest import Run
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import app, ingress
from controller.tests.ports import free_ports

NAMES = ("--backend-body", '"backend": "(\\w+)"', "--rate", "500")


@dataclass(frozen=True)
class Pair:
    """Both controllers, and the manifests that requests are made from."""

    old: Headrace
    new: Headrace
    manifests: Path

    def diff(self, *flags: str, old: str = "", new: str = "") -> subprocess.CompletedProcess[str]:
        places = [old or _place(self.old), new or _place(self.new), str(self.manifests)]
        command = [sys.executable, "-m", "controller", "migrate", "diff", *places, *flags]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def found(self, *flags: str, **places: str) -> dict[str, Any]:
        done = self.diff("--output", "json", *flags, **places)
        assert done.returncode in (0, 1), done.stderr
        value: dict[str, Any] = json.loads(done.stdout)
        return value


def _place(headrace: Headrace) -> str:
    return f"http://127.0.0.1:{headrace.http},https://127.0.0.1:{headrace.https}"


@pytest.fixture(scope="module")
def pair(run: Run, backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    shop, cart, other = (backends.start(name) for name in ("shop", "cart", "other"))
    rules = [("web.test", "/", "Prefix", "shop"), ("web.test", "/cart", "Prefix", "cart")]
    common = [
        ingress("web", *rules),
        ingress("secure", ("secure.test", "/", "Prefix", "shop"), tls=[{"hosts": ["secure.test"]}]),
        ingress("wild", ("*.wild.test", "/", "Prefix", "shop")),
        ingress("expression", ("re.test", "/v[0-9]+/(.*)", "ImplementationSpecific", "shop"),
                annotations={"use-regex": "true"}),
        *app("shop", shop),
    ]  # fmt: skip
    changed = [
        ingress("moved", ("moved.test", "/", "Prefix", "shop")),
        ingress("open", ("open.test", "/", "Prefix", "shop"), tls=[{"hosts": ["open.test"]}]),
        *app("cart", cart),
    ]
    differing = [
        ingress("moved", ("moved.test", "/", "Prefix", "cart")),
        ingress("open", ("open.test", "/", "Prefix", "shop"), tls=[{"hosts": ["open.test"]}],
                annotations={"ssl-redirect": "false", "configuration-snippet": "return 200;"}),
        *app("cart", other),
    ]  # fmt: skip
    old, new = run(*common, *changed), run(*common, *differing)
    folder = tmp_path_factory.mktemp("rules")
    (folder / "all.yaml").write_text(yaml.safe_dump_all([*common, *differing]))
    return Pair(old, new, folder)


def _whats(found: dict[str, Any], url: str) -> list[str]:
    asked = [each for each in found["differences"] if (each["method"], each["url"]) == ("GET", url)]
    return [d["what"] for each in asked for d in each["differences"]]


def test_what_differs_is_found_and_nothing_else(pair: Pair) -> None:
    found = pair.found(*NAMES)
    assert found["summary"]["failed"] == 0
    hosts = {each["url"].split("/")[2] for each in found["differences"]}
    of_certificates = [d for e in found["differences"] for d in e["differences"] if d["what"] == "certificate"]
    assert of_certificates, "each has a self-signed certificate of its own"
    other = [e for e in found["differences"] if [d["what"] for d in e["differences"]] != ["certificate"]]
    assert {each["url"].split("/")[2] for each in other} == {"moved.test", "open.test", "web.test"}
    assert "re.test" in hosts or "secure.test" in hosts
    assert _whats(found, "http://moved.test/") == ["backend"]
    assert _whats(found, "http://open.test/") == ["status", "redirect"]
    assert _whats(found, "http://web.test/cart") == ["backend"]
    assert _whats(found, "http://web.test/cartx") == []
    assert _whats(found, "http://secure.test/") == []


def test_reasons_that_are_known_are_told(pair: Pair) -> None:
    found = pair.found(*NAMES, "--include", "open.test*", "--only", "http")
    told = [d["known"] for each in found["differences"] for d in each["differences"]]
    assert told
    assert all("configuration-snippet is refused" in known for known in told)


def test_the_same_controller_twice_has_no_difference(pair: Pair) -> None:
    place = _place(pair.old)
    done = pair.diff(*NAMES, old=place, new=place)
    assert done.returncode == 0, done.stdout
    assert "0 different" in done.stdout


def test_bodies_that_vary_by_themselves_are_no_difference(pair: Pair) -> None:
    """Pods answer with the request id, so two answers are never the same text."""
    place = _place(pair.old)
    found = pair.found("--rate", "500", "--include", "moved.test*", "--only", "http", old=place, new=place)
    assert found["summary"]["different"] == 0
    assert found["summary"]["unstable"] > 0


def test_only_the_rules_that_are_asked_for_and_only_safe_methods(pair: Pair) -> None:
    listed = pair.diff("--dry-run", "--include", "*.test/*", "--exclude", "web.test/cart*").stdout.splitlines()
    assert listed
    assert {line.split(" ")[0] for line in listed} == {"GET", "HEAD"}
    assert not any("/cart" in line for line in listed)
    assert any(line.startswith("GET https://headrace-migrate.wild.test/") for line in listed)
    assert any(" http://re.test/v0/x " in line for line in listed)
    only = pair.diff("--dry-run", "--host-header", "a.wild.test", "--include", "*.wild.test*", "--only", "https").stdout
    assert "https://a.wild.test/" in only
    assert "headrace-migrate.wild.test" not in only
    assert "http://" not in only


def test_a_redirect_is_not_followed_and_nothing_else_is_asked(pair: Pair, backends: Backends) -> None:
    before = [len(backend.requests) for backend in backends._all]
    found = pair.found(*NAMES, "--include", "secure.test*", "--only", "http")
    assert found["summary"]["different"] == 0
    assert [len(backend.requests) for backend in backends._all] == before, "all of it was answered with a redirect"


def test_a_side_that_does_not_answer_is_told(pair: Pair) -> None:
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    one = pair.found(*NAMES, "--include", "moved.test/*", old=f"http://127.0.0.1:{pair.old.http}", new=nobody)
    assert {d["what"] for each in one["differences"] for d in each["differences"]} == {"error"}
    both = pair.diff("--include", "moved.test/*", "--rate", "500", old=nobody, new=nobody)
    assert both.returncode == 1
    assert "neither side answered" in both.stdout


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--backend-body", "("), "--backend-body"),
        (("--rate", "0"), "--rate"),
        (("--header", "nocolon"), "--header"),
        (("--host-header", "a b"), "--host-header"),
        (("--include", "nobody.test/*"), "no rule gives a request"),
    ],
    ids=str,
)
def test_wrong_use(pair: Pair, flags: tuple[str, ...], said: str) -> None:
    done = pair.diff(*flags)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://127.0.0.1/path", "http://127.0.0.1:port", ""], ids=str)
def test_wrong_addresses(pair: Pair, url: str) -> None:
    done = pair.diff(old=url or "http://", new="http://127.0.0.1")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
