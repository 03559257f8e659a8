"""Alerts and dashboard: queries that parse, over metrics and labels that a running Headrace shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml

from controller.tests.live.backends import Backends
from controller.tests.live.headrace import Headrace
from controller.tests.live.objects import app, ingress
from e2e.chart.rendering import CHART

LATER = {
    "headrace_diagnostics",
    "headrace_watch_connected",
    "headrace_internal_errors_total",
    "headrace_hold_ended_total",
    "nginx_ingress_controller_ssl_expire_time_seconds",
}
"""Shown where there is a finding, a cluster, a fault, a held request or a host with TLS, and not here."""


def alerts() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((CHART / "files/alerts.yaml").read_text())
    return found


def queries() -> Iterator[str]:
    yield from (alert["expr"] for alert in alerts())
    dashboard = json.loads((CHART / "files/dashboard.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])


QUERIES = tuple(queries())


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """Names of metrics with the names of their labels, after a request."""
    directory = tmp_path_factory.mktemp("headrace")
    manifests = directory / "manifests"
    manifests.mkdir()
    headrace = Headrace(directory, manifests)
    with Backends() as backends:
        headrace.write(
            "objects.yaml", ingress("app", ("app.test", "/", "Prefix", "app")), *app("app", backends.start("one"))
        )
        with headrace:
            headrace.until(lambda: headrace.get("http://app.test/").status == 200)
            headrace.until(lambda: "requests{" in headrace.ask_health("/metrics").body.decode())
            yield _families(headrace.ask_health("/metrics").body.decode())


def _families(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^([a-z_]+)(?:\{(.*)\})? ", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_parses_and_asks_for_what_there_is(query: str, shown: dict[str, set[str]]) -> None:
    # Grafana puts values in the place of its variables; Prometheus adds the labels of the target.
    promql_parser.parse(re.sub(r"\$\w+", "x", query))
    for name, selector in re.findall(r"\b((?:headrace|nginx_ingress_controller)_[a-z_]+)(?:\{(.*?)\})?", query):
        if name in LATER:
            continue
        assert name in shown, name
        asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        assert asked <= shown[name] | {"namespace", "pod"}, (name, asked, shown[name])


def test_an_alert_says_what_is_wrong_and_what_it_means() -> None:
    names = [alert["alert"] for alert in alerts()]
    assert len(names) == len(set(names)) == 10
    for alert in alerts():
        assert alert["annotations"]["summary"] and alert["annotations"]["description"]
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
