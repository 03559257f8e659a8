"""What Prometheus sees: names, labels and values of a scrape, read by the client library's own parsers."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from controller.model.configuration import (
    Certificate,
    Configuration,
    Location,
    MainSettings,
    MatchKind,
    PathMatch,
    Return,
    Server,
)
from controller.model.diagnostics import Diagnostic, Effect, Report, Severity
from controller.model.refs import FieldPath, Kind, ObjectKey
from controller.model.secretbytes import SecretBytes
from controller.observe.compatibility import Identity
from controller.observe.live import HoldState, WatchState
from controller.observe.metrics import Metrics
from controller.observe.requests import feed

OPEN_METRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.1"
IDENTITY = Identity("1.2.3", nginx="1.31.3", pod="pod-0", namespace="ingress", controller_class="headrace.dev/ingress")
LINE = b"shop/web/cart/80/http\tGET\t200\t0.030\t0.020"


def metrics_with(lines: Iterable[tuple[bytes, int]], **options: int | bool) -> Metrics:
    metrics = Metrics(IDENTITY, **options)  # type: ignore[arg-type]
    for line, times in lines:
        assert feed(metrics.requests, line, times)
    return metrics


async def scraped(metrics: Metrics, accept: str = "") -> dict[str, float]:
    """Samples as `name{label=value,…}` in the order of their names."""
    content_type, body = await metrics.scrape(accept)
    parse = parse_open_metrics if content_type.startswith("application/openmetrics") else parse_text
    found: dict[str, float] = {}
    for family in parse(body.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            assert f"{sample.name}{{{labels}}}" not in found
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


@pytest.mark.parametrize("accept", ["", OPEN_METRICS])
async def test_requests_are_counted_by_route_method_and_status(accept: str) -> None:
    metrics = metrics_with([(LINE, 3), (b"shop/web/cart/81/x\tGET\t200\t2.0\t-", 1), (b"\t\t400\t0.000\t-", 2)])
    found = await scraped(metrics, accept)
    route = "ingress=web,method=GET,namespace=shop,service=cart,status="
    assert found[f"headrace_requests_total{{{route}200}}"] == 4
    assert found["headrace_requests_total{ingress=,method=OTHER,namespace=,service=,status=400}"] == 2
    times = "headrace_request_duration_seconds"
    assert found[f"{times}_bucket{{ingress=web,le=0.05,method=GET,namespace=shop,service=cart,status=2xx}}"] == 3
    assert found[f"{times}_bucket{{ingress=web,le=+Inf,method=GET,namespace=shop,service=cart,status=2xx}}"] == 4
    assert found[f"{times}_count{{{route}2xx}}"] == 4
    assert found[f"{times}_sum{{{route}2xx}}"] == pytest.approx(2.09)
    assert found["headrace_upstream_duration_seconds_count{ingress=web,namespace=shop,service=cart}"] == 3


@pytest.mark.parametrize("accept", ["", OPEN_METRICS])
async def test_old_names_carry_the_same_values(accept: str) -> None:
    metrics = metrics_with([(LINE, 3)])
    metrics.record_apply("applied", generation=1, seconds={}, reload_reason="start")
    metrics.record_apply("refused", generation=1, seconds={}, reload_reason="hosts")
    metrics.record_configuration(configuration())
    found = await scraped(metrics, accept)
    who = "controller_class=headrace.dev/ingress,controller_namespace=ingress,controller_pod=pod-0"
    old, total = "nginx_ingress_controller_", "" if accept else "_total"  # the parser of the text format puts it there
    assert found[f"{old}requests{total}{{{who},ingress=web,method=GET,namespace=shop,service=cart,status=200}}"] == 3
    bucket = f"{{{who},ingress=web,le=0.05,method=GET,namespace=shop,service=cart,status=2xx}}"
    assert found[f"{old}request_duration_seconds_bucket{bucket}"] == 3
    assert found[f"{old}success{total}{{{who}}}"] == 1
    assert found[f"{old}errors{total}{{{who}}}"] == 1
    assert found[f"{old}config_last_reload_successful{{{who}}}"] == 0
    expiry = f"class=headrace.dev/ingress,{who},host=a.example.com,namespace=shop,secret_name=tls"
    assert found[f"{old}ssl_expire_time_seconds{{{expiry}}}"] == 1_900_000_000
    assert found[f"{old}ssl_expire_time_seconds{{{expiry.replace('a.example.com', '_')}}}"] == 1_900_000_000
    assert found["headrace_certificate_expiry_timestamp_seconds{namespace=shop,secret=tls}"] == 1_900_000_000


async def test_old_names_can_be_switched_off() -> None:
    found = await scraped(metrics_with([(LINE, 1)], compatibility=False))
    assert not [name for name in found if name.startswith("nginx_")]


async def test_old_names_have_the_type_that_they_had() -> None:
    _, body = await metrics_with([(LINE, 1)]).scrape()
    assert b"# TYPE nginx_ingress_controller_requests counter\n" in body
    assert b'le="1"}' in body


async def test_new_label_sets_beyond_the_budget_go_into_one_bucket() -> None:
    lines = [(f"ns/ing{number}/svc/80/\tGET\t200\t0.1\t0.1".encode(), 1) for number in range(100)]
    metrics = metrics_with(lines, budget=30)
    found = await scraped(metrics)
    counted = {name: value for name, value in found.items() if name.startswith("headrace_requests_total")}
    over = "__overflow__"
    overflow = f"headrace_requests_total{{ingress={over},method={over},namespace={over},service={over},status={over}}}"
    assert len(counted) == 11
    assert counted[overflow] == 90
    assert sum(counted.values()) == 100
    assert found["headrace_request_series_overflowed_total{}"] == 270


async def test_clients_cannot_invent_label_sets() -> None:
    metrics = metrics_with([(f"a/b/c/80/\tM{n}\t200\t0.1\t-".encode(), 1) for n in range(50)])
    found = await scraped(metrics)
    assert found["headrace_requests_total{ingress=b,method=OTHER,namespace=a,service=c,status=200}"] == 50


async def test_requests_to_an_ingress_that_is_gone_are_forgotten_and_ours_are_not() -> None:
    metrics = metrics_with([(LINE, 1), (b"shop/old/cart/80/\tGET\t200\t0.1\t-", 1), (b"\tGET\t404\t0.0\t-", 1)])
    metrics.record_configuration(configuration())
    found = await scraped(metrics)
    kept = [name for name in found if name.startswith("headrace_requests_total")]
    assert ["ingress=old" in name for name in kept] == [False, False]
    assert feed(metrics.requests, LINE, 1)
    assert (await scraped(metrics))[kept[0]] == 2


async def test_labels_are_escaped() -> None:
    metrics = metrics_with([])
    metrics.read_endpoints(lambda: {('a"b', "c\\d\ne"): 2})
    assert (await scraped(metrics))['headrace_endpoints{namespace=a"b,service=c\\d\ne}'] == 2


async def test_endpoints_beyond_the_limit_are_summed_up() -> None:
    metrics = metrics_with([])
    metrics.read_endpoints(lambda: {("ns", f"svc{number:05d}"): 2 for number in range(10_005)})
    found = await scraped(metrics)
    assert found["headrace_endpoints{namespace=__overflow__,service=__overflow__}"] == 10
    assert found["headrace_endpoints{namespace=ns,service=svc09999}"] == 2


async def test_reports_replace_each_other() -> None:
    metrics = metrics_with([])
    key = ObjectKey(Kind.INGRESS, "a", "b")
    finding = Diagnostic("path-taken", Severity.WARNING, key, FieldPath("spec"), "x", Effect.PATH_UNSERVED)
    metrics.record_report(Report((finding,)))
    assert (await scraped(metrics))["headrace_diagnostics{code=path-taken,severity=warning}"] == 1
    metrics.record_report(Report())
    assert not [name for name in await scraped(metrics) if name.startswith("headrace_diagnostics")]


async def test_live_state_is_read_at_scrape_time() -> None:
    metrics = metrics_with([])
    queries = [1]
    metrics.read_dns(lambda: queries[0], lambda: 0)
    metrics.read_hold(lambda: HoldState(asked=5, held_now=1, wait_seconds=0.5, ended={"fresh": 3}))
    metrics.read_watches(lambda: [WatchState(Kind.INGRESS, 7, connected=True, last_event=None, relists=1, rejects=2)])
    queries[0] = 9
    found = await scraped(metrics, OPEN_METRICS)
    assert found["headrace_dns_queries_total{}"] == 9
    assert found["headrace_hold_ended_total{reason=fresh}"] == 3
    assert found["headrace_watch_objects{kind=Ingress}"] == 7
    assert "headrace_watch_last_event_timestamp_seconds{kind=Ingress}" not in found


async def test_no_alarm_before_the_first_reload() -> None:
    metrics = metrics_with([])
    assert "headrace_config_last_reload_successful{}" not in await scraped(metrics)
    metrics.record_apply("applied", generation=3, seconds={"check": 0.2}, reload_reason="start")
    found = await scraped(metrics)
    assert found["headrace_config_last_reload_successful{}"] == 1
    assert found["headrace_config_generation{}"] == 3
    assert found["headrace_reloads_total{reason=start}"] == 1
    assert found["headrace_apply_stage_seconds_count{stage=check}"] == 1


async def test_every_metric_has_a_help_text() -> None:
    metrics = metrics_with([(LINE, 1)])
    metrics.record_configuration(configuration())
    _, body = await metrics.scrape()
    assert [family.name for family in parse_text(body.decode()) if not family.documentation] == []


def configuration() -> Configuration:
    nothing = Location(PathMatch(MatchKind.PREFIX, "/"), Return(404), None)
    secret = ObjectKey(Kind.SECRET, "shop", "tls")
    certificate = Certificate("shop_tls", secret, ("a.example.com",), 1_900_000_000, "d", SecretBytes(b""))
    origin = ObjectKey(Kind.INGRESS, "shop", "web")
    servers = {
        "": Server("", (), nothing),
        "a.example.com": Server("a.example.com", (), nothing, tls=True, certificate="shop_tls", origins=(origin,)),
    }
    return Configuration(MainSettings(), servers, {}, {"shop_tls": certificate}, default_certificate="shop_tls")
