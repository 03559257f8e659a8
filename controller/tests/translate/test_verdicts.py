"""Names that are not carried out: what is told of each, how often, and what it costs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from controller.model.configuration import Configuration, ProxyPass
from controller.model.diagnostics import Diagnostic, Severity
from controller.model.options import Options
from controller.model.refs import Kind, ObjectKey
from controller.offline import look_at_manifests
from controller.tests.live.objects import Object, configmap, ingress, service
from controller.translate.annotations.registry import VERDICTS as ANNOTATIONS
from controller.translate.annotations.registry import Verdict
from controller.translate.configmap import settings_of
from controller.translate.configmap.verdicts import HARMLESS, SILENT, SWITCHES, TOLD, VERDICTS
from controller.translate.findings import Findings

OWNER = ObjectKey(Kind.CONFIG_MAP, "default", "settings")


def told(**data: str) -> list[Diagnostic]:
    findings = Findings()
    settings_of({key.replace("_", "-"): text for key, text in data.items()}, OWNER, findings)
    return findings.items


def of(verdict: Verdict) -> list[str]:
    return sorted(name for name, found in VERDICTS.items() if found is verdict)


@pytest.mark.shows(
    "configmap:allow-snippet-annotations", "configmap:enable-modsecurity",
    "configmap:enable-owasp-modsecurity-crs", "configmap:global-auth-snippet", "configmap:http-snippet",
    "configmap:location-snippet", "configmap:main-snippet", "configmap:modsecurity-snippet",
    "configmap:server-snippet", "configmap:stream-snippet",
)  # fmt: skip
@pytest.mark.parametrize("key", of(Verdict.REFUSED))
def test_a_refused_key_is_an_error_that_says_what_to_use(key: str) -> None:
    (found,) = told(**{key: "true"})
    assert (found.code, found.severity, found.field.text) == ("configmap-key-refused", Severity.ERROR, f"data[{key}]")
    assert found.message
    assert found.hint


@pytest.mark.shows(
    "configmap:brotli-level", "configmap:brotli-min-length", "configmap:brotli-types", "configmap:enable-brotli",
    "configmap:enable-ocsp", "configmap:enable-opentelemetry", "configmap:geoip2-autoreload-in-minutes",
    "configmap:opentelemetry-config", "configmap:opentelemetry-operation-name",
    "configmap:opentelemetry-trust-incoming-span", "configmap:otel-max-export-batch-size",
    "configmap:otel-max-queuesize", "configmap:otel-sampler", "configmap:otel-sampler-parent-based",
    "configmap:otel-sampler-ratio", "configmap:otel-schedule-delay-millis", "configmap:otel-service-name",
    "configmap:otlp-collector-host", "configmap:otlp-collector-port", "configmap:use-geoip2",
)  # fmt: skip
@pytest.mark.parametrize("key", of(Verdict.UNSUPPORTED))
def test_what_stock_nginx_lacks_is_told(key: str) -> None:
    (found,) = told(**{key: "true"})
    assert (found.code, found.severity) == ("configmap-key-unsupported", Severity.WARNING)
    assert found.hint


@pytest.mark.shows(
    "configmap:datadog-collector-host", "configmap:enable-opentracing",
    "configmap:global-rate-limit-memcached-connect-timeout", "configmap:global-rate-limit-memcached-host",
    "configmap:global-rate-limit-memcached-max-idle-timeout", "configmap:global-rate-limit-memcached-pool-size",
    "configmap:global-rate-limit-memcached-port", "configmap:global-rate-limit-status-code",
    "configmap:http2-max-field-size", "configmap:http2-max-header-size", "configmap:http2-max-requests",
    "configmap:jaeger-baggage-header", "configmap:jaeger-collector-host", "configmap:jaeger-collector-port",
    "configmap:jaeger-debug-header", "configmap:jaeger-endpoint", "configmap:jaeger-propagation-format",
    "configmap:jaeger-sampler-host", "configmap:jaeger-sampler-param", "configmap:jaeger-sampler-port",
    "configmap:jaeger-sampler-type", "configmap:jaeger-service-name",
    "configmap:jaeger-trace-context-header-name", "configmap:jaeger-tracer-baggage-header-prefix",
    "configmap:lua-shared-dicts", "configmap:use-geoip", "configmap:zipkin-collector-host",
)  # fmt: skip
@pytest.mark.parametrize("key", of(Verdict.OBSOLETE))
def test_what_nothing_reads_is_told(key: str) -> None:
    (found,) = told(**{key: "true"})
    assert found.code == "configmap-key-obsolete"


@pytest.mark.shows(
    "configmap:app-root", "configmap:disable-ipv6-dns", "configmap:forwarded-for-proxy-protocol-header",
    "configmap:upstream-hash-by", "configmap:upstream-hash-by-subset", "configmap:upstream-hash-by-subset-size",
)  # fmt: skip
@pytest.mark.parametrize("key", sorted(SILENT))
def test_what_is_rightly_without_effect_is_silent(key: str) -> None:
    assert told(**{key: "true"}) == []


@pytest.mark.parametrize("verdict", [Verdict.UNSUPPORTED, Verdict.OBSOLETE])
def test_keys_with_one_reason_are_told_once(verdict: Verdict) -> None:
    found = told(**dict.fromkeys(of(verdict), "true"))
    assert len(found) == len(set(TOLD[verdict].values()))


@pytest.mark.parametrize("key", sorted(HARMLESS | SWITCHES))
def test_a_switch_that_is_off_asks_for_nothing(key: str) -> None:
    assert told(**{key: "false"}) == []


@pytest.mark.parametrize(("key", "near"), [("use-gzpi", "use-gzip"), ("add-header", "add-headers")])
def test_an_unknown_key_names_the_nearest(key: str, near: str) -> None:
    (found,) = told(**{key: "x"})
    assert (found.code, near in found.hint) == ("configmap-key-unknown", True)


def test_the_key_of_tickets_is_never_shown() -> None:
    (found,) = told(**{"ssl-session-ticket-key": "c2VjcmV0"})
    assert "c2VjcmV0" not in found.message


# -- annotations


def findings_of(name: str, text: str, directory: Path) -> tuple[tuple[Diagnostic, ...], bool]:
    """What is told of an Ingress with this annotation, and whether its path still leads to its pods."""
    objects = [ingress("app", ("app.test", "/", "Prefix", "web"), annotations={name: text}), service("web")]
    (directory / "objects.yaml").write_text(yaml.safe_dump_all(objects))
    translation = look_at_manifests(directory, Options(manifests=True, watch_ingress_without_class=True)).translation
    (location,) = (each for each in translation.configuration.servers["app.test"].locations)
    return translation.report.diagnostics, isinstance(location.action, ProxyPass)


def named(verdict: Verdict) -> list[str]:
    return sorted(name for name, found in ANNOTATIONS.items() if found is verdict)


@pytest.mark.shows(
    "auth-snippet", "configuration-snippet", "modsecurity-snippet", "server-snippet", "stream-snippet",
)  # fmt: skip
@pytest.mark.parametrize("name", named(Verdict.REFUSED))
def test_text_for_nginx_is_never_taken(name: str, tmp_path: Path) -> None:
    found, served = findings_of(name, "return 200 owned;", tmp_path)
    assert "annotation-refused" in {each.code for each in found}
    assert served


@pytest.mark.shows(
    "enable-modsecurity", "enable-owasp-core-rules",
)  # fmt: skip
@pytest.mark.parametrize("name", named(Verdict.CLOSES))
@pytest.mark.parametrize(("text", "serves"), [("true", False), ("false", True)])
def test_a_protection_that_is_not_there_closes(name: str, text: str, serves: bool, tmp_path: Path) -> None:
    found, served = findings_of(name, text, tmp_path)
    assert (served, found == ()) == (serves, serves)


@pytest.mark.shows(
    "enable-opentelemetry", "modsecurity-transaction-id", "opentelemetry-operation-name",
    "opentelemetry-trust-incoming-span",
)  # fmt: skip
@pytest.mark.parametrize("name", named(Verdict.UNSUPPORTED))
def test_an_annotation_that_stock_nginx_has_no_module_for(name: str, tmp_path: Path) -> None:
    found, served = findings_of(name, "true", tmp_path)
    assert ([each.code for each in found], served) == (["annotation-unsupported"], True)


@pytest.mark.shows(
    "add-base-url", "base-url-scheme", "enable-influxdb", "enable-opentracing", "global-rate-limit",
    "global-rate-limit-ignored-cidrs", "global-rate-limit-key", "global-rate-limit-window", "grpc-backend",
    "influxdb-host", "influxdb-measurement", "influxdb-port", "influxdb-server-name", "lua-resty-waf",
    "lua-resty-waf-allow-unknown-content-types", "lua-resty-waf-debug", "lua-resty-waf-extra-rules",
    "lua-resty-waf-ignore-rulesets", "lua-resty-waf-process-multipart-body", "lua-resty-waf-score-threshold",
    "opentracing-operation-name", "opentracing-trust-incoming-span", "secure-backends", "secure-verify-ca-secret",
    "session-cookie-hash", "upstream-fail-timeout", "upstream-max-fails",
)  # fmt: skip
@pytest.mark.parametrize("name", named(Verdict.OBSOLETE))
def test_an_annotation_that_nothing_reads(name: str, tmp_path: Path) -> None:
    found, served = findings_of(name, "1", tmp_path)
    assert ([each.code for each in found], served) == (["annotation-obsolete"], True)


@pytest.mark.shows(
    "http2-push-preload",
)  # fmt: skip
@pytest.mark.parametrize("name", named(Verdict.SILENT))
def test_an_annotation_that_is_rightly_without_effect(name: str, tmp_path: Path) -> None:
    assert findings_of(name, "true", tmp_path) == ((), True)


# -- keys that change what Ingresses may do


def translated(directory: Path, *objects: Object, **keys: str) -> Configuration:
    (directory / "objects.yaml").write_text(yaml.safe_dump_all([*objects, service("web"), configmap(**keys)]))
    options = Options(manifests=True, watch_ingress_without_class=True, configmap=OWNER)
    return look_at_manifests(directory, options).translation.configuration


@pytest.mark.shows("configmap:strict-validate-path-type")
@pytest.mark.parametrize(("strict", "served"), [("true", False), ("false", True)])
def test_the_alphabet_of_paths_can_be_narrowed(strict: str, served: bool, tmp_path: Path) -> None:
    tilde = ingress("app", ("app.test", "/a~b", "Exact", "web"))
    found = translated(tmp_path, tilde, strict_validate_path_type=strict).servers.get("app.test")
    assert any(isinstance(each.action, ProxyPass) for each in (found.locations if found else ())) == served


@pytest.mark.shows("configmap:allow-missing-waf")
@pytest.mark.parametrize(("allowed", "served"), [("true", True), ("false", False)])
def test_a_missing_firewall_can_be_accepted(allowed: str, served: bool, tmp_path: Path) -> None:
    guarded = ingress("app", ("app.test", "/", "Prefix", "web"), annotations={"enable-modsecurity": "true"})
    (location,) = translated(tmp_path, guarded, allow_missing_waf=allowed).servers["app.test"].locations
    assert isinstance(location.action, ProxyPass) == served


@pytest.mark.shows("configmap:use-port-in-redirects", "configmap:relative-redirects")
@pytest.mark.parametrize("name", ["use-port-in-redirects", "relative-redirects"])
def test_a_key_is_the_default_of_its_annotation(name: str, tmp_path: Path) -> None:
    moved = {"permanent-redirect": "/moved"}
    annotated = translated(
        tmp_path, ingress("app", ("app.test", "/", "Prefix", "web"), annotations=moved | {name: "true"})
    )
    by_key = translated(
        tmp_path,
        ingress("app", ("app.test", "/", "Prefix", "web"), annotations=moved),
        **{name.replace("-", "_"): "true"},
    )
    usual = translated(tmp_path, ingress("app", ("app.test", "/", "Prefix", "web"), annotations=moved))
    assert annotated.servers["app.test"] == by_key.servers["app.test"] != usual.servers["app.test"]


# -- what the grammars take


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("ssl-ecdh-curve", "secp256k1"), ("ssl-ecdh-curve", "X25519:X25519"), ("ssl-session-ticket-key", "AAAA"),
        ("ssl-session-ticket-key", "not base64!"), ("access-log-params", "flush=1s"), ("access-log-params", "if=$x"),
        ("access-log-params", "gzip=10"), ("access-log-path", "/etc/passwd"), ("access-log-path", "/var/log/nginx/.."),
        ("http-access-log-path", "syslog:server=nobody.example"), ("error-log-path", "/var/log/nginx/a b"),
        ("syslog-host", "nobody.example"), ("syslog-port", "0"), ("syslog-port", "65536"), ("gzip-types", "text css"),
        ("gzip-types", "text/css;"), ("gzip-disable", "("), ("gzip-disable", "(?<name>x)"), ("default-type", "html"),
        ("worker-cpu-affinity", "0000"), ("worker-cpu-affinity", "2"), ("max-worker-connections", "63"),
        ("max-worker-open-files", "100"), ("bind-address", "nonsense"), ("add-headers", "name-only"),
        ("proxy-set-headers", "a/b/c"), ("ssl-dh-param", "x"), ("map-hash-bucket-size", "65536"),
        ("server-name-hash-max-size", "1"), ("grpc-buffer-size-kb", "-1"), ("upstream-keepalive-time", "1ms"),
        ("nginx-status-ipv4-whitelist", "::1"), ("nginx-status-ipv6-whitelist", "10.0.0.1"), ("hide-headers", ";"),
        ("skip-access-log-urls", "~("), ("debug-connections", "x"), ("forwarded-host-header", "X Y"),
        ("block-user-agents", "~*(a+)+$"), ("block-referers", "~[z-a]"), ("block-user-agents", "x\ny"),
    ],
)  # fmt: skip
def test_a_value_that_nginx_would_refuse_is_told(key: str, text: str) -> None:
    assert "configmap-key-invalid" in {found.code for found in told(**{key: text})}
