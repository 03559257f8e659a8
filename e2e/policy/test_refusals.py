"""What a user sees at `kubectl apply`: the field that is wrong and what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.policy.dryrun import DryRun
from e2e.policy.objects import BUCKET, PREFIX, SERVICE, ingress

LABEL = "a" * 64


def annotation(name: str) -> str:
    return f"metadata.annotations[{PREFIX}{name}]"


FIRST_PATH = "spec.rules[0].http.paths[0].path"
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "boolean": (
        ingress({"ssl-redirect": "yes"}),
        annotation("ssl-redirect"),
        '"yes" is not valid: expected true or false',
    ),
    "boolean of our own": (
        ingress({"headrace.dev/hold": "off"}),
        "metadata.annotations[headrace.dev/hold]",
        '"off" is not valid: expected true or false',
    ),
    "rewrite target": (
        ingress({"rewrite-target": "/$1;return 200"}),
        annotation("rewrite-target"),
        "expected a path of letters, digits, - . _ ~ / : and $1 to $9",
    ),
    "rewrite target of many characters": (
        ingress({"rewrite-target": "/" + "x" * 2_000}),
        annotation("rewrite-target"),
        "expected no more than 2000 characters",
    ),
    "snippet": (
        ingress({"configuration-snippet": "return 200;"}),
        annotation("configuration-snippet"),
        "Use the annotation or ConfigMap key that does the same",
    ),
    "kind of password": (ingress({"auth-type": "none"}), annotation("auth-type"), '"none" is not valid'),
    "allow list": (
        ingress({"whitelist-source-range": "10.0.0.0/33"}),
        annotation("whitelist-source-range"),
        "expected addresses or networks such as 10.0.0.0/8",
    ),
    "rate limit": (ingress({"limit-rps": "5/s"}), annotation("limit-rps"), "expected a whole number"),
    "firewall": (ingress({"enable-modsecurity": "true"}), annotation("enable-modsecurity"), "answer 503"),
    "canary": (ingress({"canary": "1.0"}), annotation("canary"), "expected true or false"),
    "label of 64 letters": (
        ingress(host=f"{LABEL}.example.com"),
        "spec.rules[0].host",
        "Use lower-case letters, digits, hyphens and dots",
    ),
    "number as host": (ingress(host="1.2.3"), "spec.rules[0].host", '"1.2.3" cannot be served'),
    "semicolon in a prefix": (
        ingress(path="/a;b"),
        FIRST_PATH,
        'pathType Exact and Prefix do not allow ";". Remove the characters that the message names',
    ),
    "braces in an exact path": (ingress(path="/{x}", path_type="Exact"), FIRST_PATH, 'do not allow "{"'),
    "blank in a prefix": (ingress(path="/a b"), FIRST_PATH, 'do not allow " "'),
    "line break in an expression": (
        ingress(path="/a\nb", path_type="ImplementationSpecific"),
        FIRST_PATH,
        "it holds a control character or a line break",
    ),
    "not an escape": (ingress(path="/a%zz"), FIRST_PATH, "its % escapes are not those of printable characters"),
    "not UTF-8": (ingress(path="/%FF"), FIRST_PATH, "its % escapes are not those of printable characters"),
    "named group": (
        ingress({"use-regex": "true"}, path="/(?<host>.*)", path_type="ImplementationSpecific"),
        FIRST_PATH,
        "groups are named by number",
    ),
    "named group with a rewrite": (
        ingress({"rewrite-target": "/$1"}, path="/(?P<host>.*)", path_type="ImplementationSpecific"),
        FIRST_PATH,
        "groups are named by number",
    ),
    "path of 3,001 bytes": (ingress(path="/" + "é" * 1_500), FIRST_PATH, "it is longer than 3000 bytes"),
    "path of many dollars": (
        ingress(path="/" + "$" * 400, path_type="ImplementationSpecific"),
        FIRST_PATH,
        "it is longer than 3900 bytes once its special characters are escaped",
    ),
    "default backend that is no Service": (
        ingress(defaultBackend=BUCKET),
        "spec.defaultBackend",
        "Point the path to a Service",
    ),
    "backend that is no Service": (
        {
            **ingress(),
            "spec": {
                "ingressClassName": "headrace",
                "rules": [{"http": {"paths": [{"path": "/", "pathType": "Exact", "backend": BUCKET}]}}],
            },
        },
        "spec.rules[0].http.paths[0].backend",
        "Point the path to a Service",
    ),
    "second path of the second rule": (
        ingress(
            rules=[
                {"host": "a.com", "paths": [("Prefix", "/")]},
                {"host": "b.com", "paths": [("Exact", "/"), ("Exact", "/'")]},
            ]
        ),
        "spec.rules[1].http.paths[1].path",
        'do not allow "\'"',
    ),
}

FINE = {
    "plain": ingress(),
    "booleans": ingress({"ssl-redirect": "false", "use-regex": " T\n", "headrace.dev/hold": "0", "canary": "false"}),
    "empty values": ingress({"ssl-redirect": "", "auth-url": " ", "server-snippet": "\n", "rewrite-target": ""}),
    "rewrite": ingress({"rewrite-target": "/v2/$1$2/x"}, path="/a(/|$)(.*)", path_type="ImplementationSpecific"),
    "protections that are switched off": ingress(
        {"limit-rps": "0", "proxy-ssl-verify": "off", "enable-modsecurity": "False", "enable-owasp-core-rules": "false"}
    ),
    "wildcard": ingress(host="*.example.com"),
    "every script": ingress(path="/caf\u00e9/\u65e5\u672c\u8a9e/\u0663_a-b.c~d%20e%C3%A9:@!*+,=&()"),
    "lookbehind": ingress({"use-regex": "true"}, path="/(?<=/)x(?<!y)(?:z)", path_type="ImplementationSpecific"),
    "named group that is no expression": ingress(path="/(?<x>y)", path_type="ImplementationSpecific"),
    "only a default backend": {**ingress(), "spec": {"ingressClassName": "headrace", "defaultBackend": SERVICE}},
}


@pytest.mark.parametrize(("wrong", "field", "fix"), WRONG.values(), ids=WRONG)
def test_a_wrong_object_is_refused_with_field_and_fix(api: DryRun, wrong: dict[str, Any], field: str, fix: str) -> None:
    answer = api.create(wrong)
    assert answer.refused_by_policy, answer
    assert f"{field}: " in answer.message
    assert fix in answer.message


@pytest.mark.parametrize("fine", FINE.values(), ids=FINE)
def test_a_fine_object_is_taken_without_a_word(api: DryRun, fine: dict[str, Any]) -> None:
    answer = api.create(fine)
    assert answer.taken, answer
    assert answer.warnings == ()


def test_all_faults_are_told_at_once(api: DryRun) -> None:
    answer = api.create(ingress({"ssl-redirect": "yes", "enable-modsecurity": "true"}, path="/a;b", host="1.2.3"))
    for code in ("annotation-invalid", "annotation-closes-route", "path-invalid", "host-invalid"):
        assert f"[{code}]" in answer.message


def test_more_faults_than_a_message_holds_are_refused_too(api: DryRun) -> None:
    paths = [("Prefix", f"/{number};") for number in range(100)]
    answer = api.create(ingress(rules=[{"host": "a.com", "paths": paths}]))
    assert "There is more wrong with this Ingress than fits here" in answer.message


def test_a_large_object_is_looked_at_to_its_end(api: DryRun) -> None:
    """Within what the API server lets an expression cost: 2,000 paths, of which every other is not plain."""
    paths = [("Exact", f"/caf\u00e9/{number}" if number % 2 else f"/shop/{number}") for number in range(1_999)]
    assert api.create(ingress(rules=[{"host": "a.com", "paths": paths}])).taken
    answer = api.create(ingress(rules=[{"host": "a.com", "paths": [*paths, ("Exact", "/a;b")]}]))
    assert "spec.rules[0].http.paths[1999].path: " in answer.message


def test_a_long_or_broken_value_is_shown_short_and_on_one_line(api: DryRun) -> None:
    answer = api.create(ingress({"use-regex": 'a"\n' + "x" * 500}))
    assert r'"a\"\nxxx' in answer.message and 'xxx..."' in answer.message
    assert len(answer.message) < 500


NOTED = {
    "not carried out": (
        ingress({"enable-opentelemetry": "true"}),
        annotation("enable-opentelemetry"),
        "is not carried out",
    ),
    "typo": (ingress({"ssl-redirekt": "true"}), annotation("ssl-redirekt"), "There is no such annotation"),
    "typo in one of ours": (
        ingress({"headrace.dev/hodl": "true"}),
        "metadata.annotations[headrace.dev/hodl]",
        "There is no such annotation",
    ),
    "useless TLS host": (
        ingress(tls=[{"hosts": ["shop.example.com", f"{LABEL}.com"], "secretName": "shop"}]),
        "spec.tls[0].hosts[1]",
        "is not a host that a rule can have",
    ),
}


@pytest.mark.parametrize(("noted", "field", "why"), NOTED.values(), ids=NOTED)
def test_what_is_served_all_the_same_is_only_warned_about(
    api: DryRun, noted: dict[str, Any], field: str, why: str
) -> None:
    answer = api.create(noted)
    assert answer.taken, answer
    assert any(f"{field}: " in warning and why in warning for warning in answer.warnings), answer.warnings
