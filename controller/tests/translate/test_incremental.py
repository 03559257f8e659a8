"""A Translator that has seen any number of snapshots makes of the next one what a new one makes of it.

And what of it did not change is the same object, which spares whoever comes after comparing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.k8s.core import Secret
from controller.k8s.meta import ObjectMeta
from controller.model.configuration import Certificate, Translation
from controller.model.options import HostOwnership, Options
from controller.model.refs import Kind, ObjectKey
from controller.model.secretbytes import SecretBytes
from controller.render.fragments import Renderer
from controller.state.events import Applied, Deleted, Event
from controller.state.snapshot import Snapshot
from controller.state.store import Store
from controller.tests.fuzz.world import LAYOUT
from controller.tests.translate import changing
from controller.translate.tls import CertificateCache
from controller.translate.translator import Translator, translate

START = int(time.time())
CACHE = CertificateCache()
_WEB = {"service": {"name": "web", "port": {"number": 80}}}
_NO_INGRESS = ObjectKey(Kind.INGRESS, "blue", "none")
days = st.sampled_from((0, 0, 0, 0, 1, 6, 11, -8))
rounds = st.tuples(
    st.lists(st.one_of(changing.ingresses, changing.others), min_size=1, max_size=2), days, st.booleans()
)


@settings(max_examples=150)
@given(
    changing.options,
    st.lists(changing.ingresses, min_size=6, max_size=9),
    st.lists(rounds, min_size=8, max_size=12),
)
def test_of_any_snapshots(
    options: Options, first: Sequence[Event], changes: Sequence[tuple[Sequence[Event], int, bool]]
) -> None:
    store, translator, now = _store([*changing.everything(), *first]), Translator(CACHE), START
    kept = _told(translator, store.snapshot(), options, now, {})
    for events, passed, is_kept in changes:
        for event in events:
            store.apply(event)
        now += passed * changing.DAY
        kept = _told(translator, store.snapshot(), options, now, kept if is_kept else {})


@settings(max_examples=25)
@given(
    changing.options,
    st.lists(changing.ingresses, min_size=6, max_size=9),
    st.lists(st.one_of(changing.ingresses, changing.others), min_size=8, max_size=12),
)
def test_a_renderer_writes_what_a_new_one_writes(
    options: Options, first: Sequence[Event], changes: Sequence[Event]
) -> None:
    store, translator, renderer = _store([*changing.everything(), *first]), Translator(CACHE), Renderer(LAYOUT)
    for event in changes:
        found = translator.translate(store.snapshot(), options, now=START, kept={}).configuration
        written, anew = renderer.render(found), Renderer(LAYOUT).render(found)
        assert written.fragments == anew.fragments
        assert written.digest == anew.digest
        store.apply(event)


def _told(
    translator: Translator, snapshot: Snapshot, options: Options, now: int, kept: Mapping[str, Certificate]
) -> Mapping[str, Certificate]:
    """Compares, and returns the certificates that are served now."""
    again = translator.translate(snapshot, options, now=now, kept=kept)
    _assert_same(again, translate(snapshot, options, now=now, kept=kept, cache=CACHE))
    return again.configuration.certificates


def _assert_same(again: Translation, anew: Translation) -> None:
    assert again.report.diagnostics == anew.report.diagnostics
    assert again.ingresses == anew.ingresses
    assert again.references == anew.references
    for name in ("servers", "upstreams", "certificates", "files"):
        found, expected = getattr(again.configuration, name), getattr(anew.configuration, name)
        assert list(found) == list(expected), name
        for key in expected:
            assert found[key] == expected[key], key
    assert again.configuration == anew.configuration


def _ingress(name: str, host: str, *, secret: str = "", **annotations: str) -> Event:
    path = {"path": "/", "pathType": "Prefix", "backend": _WEB}
    tls = [{"hosts": [host], "secretName": secret}] if secret else []
    asked = {changing.OURS + key.replace("_", "-"): value for key, value in annotations.items()}
    spec = {"rules": [{"host": host, "http": {"paths": [path]}}], "tls": tls}
    return changing.object_of(Kind.INGRESS, "blue", name, spec=spec, metadata={"annotations": asked})


def _secret(name: str, **data: bytes) -> Event:
    built = Secret(metadata=ObjectMeta(name=name, namespace="blue"), data={k: SecretBytes(v) for k, v in data.items()})
    return Applied(ObjectKey(Kind.SECRET, "blue", name), built)


_CANARY = {"canary": "true", "canary_weight": "10"}
DEPENDENCIES: dict[str, tuple[Sequence[Event], Event]] = {
    "a host on the tls section of its wildcard": (
        [_ingress("one", "a.example.com"), _ingress("two", "*.example.com")],
        _ingress("two", "*.example.com", secret="pair"),
    ),
    "an Ingress on a ConfigMap that it names": (
        [_ingress("one", "a.example.com", custom_headers="blue/headers")],
        changing.object_of(Kind.CONFIG_MAP, "blue", "headers", data={"X-Other": "1"}),
    ),
    "an Ingress on a Secret that did not exist": (
        [_ingress("one", "a.example.com", auth_type="basic", auth_secret="later")],
        _secret("later", auth=b"alice:$apr1$abcdefgh$AAAAAAAAAAAAAAAAAAAAA.\n"),
    ),
    "a host on its Secret": ([_ingress("one", "a.example.com", secret="pair")], _secret("pair")),
    "a host on its Service": (
        [_ingress("one", "a.example.com")],
        changing.object_of(Kind.SERVICE, "blue", "web", spec=changing.SPECS[2]),
    ),
    "a canary on the host that it shares": (
        [_ingress("one", "a.example.com", **_CANARY)],
        _ingress("two", "a.example.com"),
    ),
    "an alias on the host that has the name": (
        [_ingress("one", "a.example.com", server_alias="b.example.com")],
        _ingress("two", "b.example.com"),
    ),
    "a Namespace on what it declares": (
        [_ingress("one", "a.example.com")],
        changing.object_of(
            Kind.NAMESPACE, "", "blue", metadata={"annotations": {"headrace.dev/hosts": "a.example.com"}}
        ),
    ),
    "all on the settings": (
        [_ingress("one", "a.example.com")],
        changing.object_of(Kind.CONFIG_MAP, "ops", "settings", data={"force-ssl-redirect": "true"}),
    ),
}


@pytest.mark.parametrize("name", DEPENDENCIES)
def test_a_change_reaches_what_hangs_on_it(name: str) -> None:
    first, change = DEPENDENCIES[name]
    owned = HostOwnership.DECLARED if "declares" in name else HostOwnership.OFF
    options = changing.options_of(owned, passthrough=False, replicas=1)
    store, translator = _store([*changing.everything(), *first]), Translator(CACHE)
    before = translator.translate(store.snapshot(), options, now=START, kept={})
    store.apply(change)
    after = translator.translate(store.snapshot(), options, now=START, kept={})
    assert after != before
    _assert_same(after, translate(store.snapshot(), options, now=START, cache=CACHE))


def test_a_broken_pair_hangs_on_what_is_served_so_far() -> None:
    options, translator = changing.options_of(HostOwnership.OFF, passthrough=False, replicas=1), Translator(CACHE)
    store = _store([*changing.everything(), _ingress("one", "a.example.com", secret="pair")])
    served = translator.translate(store.snapshot(), options, now=START, kept={}).configuration.certificates
    store.apply(_secret("pair"))
    for kept in (served, {}, served):
        again = translator.translate(store.snapshot(), options, now=START, kept=kept)
        _assert_same(again, translate(store.snapshot(), options, now=START, kept=kept, cache=CACHE))
        assert ("blue.pair" in again.configuration.certificates) is bool(kept)


def test_a_secret_that_several_hosts_cannot_use_is_told_once() -> None:
    hosts = [_ingress(name, f"{name}.example.com", secret="pair") for name in ("one", "two", "three")]
    store = _store([*changing.everything(), *hosts, _secret("pair")])
    report = translate(store.snapshot(), Options(watch_ingress_without_class=True), now=START).report
    [told] = [finding for finding in report.diagnostics if finding.object.kind is Kind.SECRET]
    assert [key.name for key in told.related] == ["one"]


def test_what_did_not_change_is_the_same_object() -> None:
    rules = [{"host": "a.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": _WEB}]}}]
    other = [{"host": "b.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": _WEB}]}}]
    store = _store(changing.everything())
    for name, spec in (("one", rules), ("two", other)):
        store.apply(changing.object_of(Kind.INGRESS, "blue", name, spec={"rules": spec}))
    options, translator = Options(watch_ingress_without_class=True), Translator()
    before = translator.translate(store.snapshot(), options, now=START, kept={})
    store.apply(Deleted(ObjectKey(Kind.INGRESS, "blue", "two")))
    after = translator.translate(store.snapshot(), options, now=START, kept={})
    assert list(after.configuration.servers) == ["", "a.example.com"]
    for host, server in after.configuration.servers.items():
        assert server is before.configuration.servers[host]
    assert after.configuration.upstreams is before.configuration.upstreams
    assert after.report is before.report


def test_a_fault_on_the_way_leaves_nothing_to_build_on() -> None:
    """A build that failed half way must not make the next one forget what had changed."""
    store, options = _store(changing.everything()), Options(watch_ingress_without_class=True)
    translator = Translator()
    translator.translate(store.snapshot(), options, now=START, kept={})
    rules = [{"host": "a.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": _WEB}]}}]
    store.apply(changing.object_of(Kind.INGRESS, "blue", "one", spec={"rules": rules}))
    bad = replace(store.snapshot(), ingresses={**store.snapshot().ingresses, _NO_INGRESS: "not an Ingress"})  # type: ignore[dict-item]
    with pytest.raises(AttributeError):
        translator.translate(bad, options, now=START, kept={})
    after = translator.translate(store.snapshot(), options, now=START, kept={})
    _assert_same(after, translate(store.snapshot(), options, now=START))


def _store(events: Sequence[Event]) -> Store:
    store = Store(frozenset())
    for event in events:
        store.apply(event)
    return store
