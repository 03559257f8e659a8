"""One translation on top of the one before: which steps have to be done again, and doing them.

A step of an Ingress is done again when the Ingress or an object that it read is another one. That of a host, when an
Ingress on it or an object that it read is; when its wildcard host gets or loses a tls section; when somebody may not
use it any more; and when time has made something else of a certificate. Further names of hosts are given out anew each
time, among those who ask for any.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from operator import attrgetter, itemgetter
from typing import TypeVar

from controller.model.configuration import CATCH_ALL, Configuration, References, Server, Translation
from controller.model.deltas import patched
from controller.model.refs import Kind, ObjectKey
from controller.model.stream import Streams
from controller.state.snapshot import Snapshot
from controller.translate.annotations.families.passthrough import SSL_PASSTHROUGH
from controller.translate.canaries import tell_strays
from controller.translate.changes import changed_objects
from controller.translate.claims import HostClaims, Source, claims_on
from controller.translate.dialects import settle_backend_tls
from controller.translate.everyone import Everyone
from controller.translate.hosts import wildcard_of
from controller.translate.locations import Locations
from controller.translate.names import Asking, OtherNamesOf, asks
from controller.translate.order import Age
from controller.translate.own_hosts import settle_own_hosts
from controller.translate.ownership import Ownership, Refused, settle_settings
from controller.translate.passthrough import passthrough_of, settle_passthrough
from controller.translate.readings import Readers, Reading
from controller.translate.servers import Servers
from controller.translate.steps import Work, World
from controller.translate.stream import StreamServices
from controller.translate.traces import NOTHING, Totals, Trace

T = TypeVar("T")
_AGE = attrgetter("source.age")
_KEY = itemgetter(1)


class Once(Enum):
    """Steps that are there once; those of Ingresses are known by their key, those of hosts by their name."""

    EVERYONE = auto()
    DECODING = auto()
    OWNERSHIP = auto()
    NAMES = auto()
    STREAMS = auto()


@dataclass(slots=True)
class Known:
    """What is kept between translations.

    `defaults`: Ingresses that are no more than a default backend. `found`: servers before further names are given out.
    `askers`: by host, the Ingresses that want such names; `named`: the hosts that had to do with it last. `order`: our
    Ingresses, oldest first. `servers`, `streams`, `ingresses`: as in a Translation.
    """

    everyone: Everyone
    readers: Readers
    totals: Totals = field(default_factory=Totals)
    readings: dict[ObjectKey, Reading] = field(default_factory=dict)
    by_host: dict[str, dict[ObjectKey, Reading]] = field(default_factory=dict)
    defaults: dict[ObjectKey, Reading] = field(default_factory=dict)
    refused: Refused = frozenset()
    secure_wildcards: set[str] = field(default_factory=set)
    found: dict[str, Server] = field(default_factory=dict)
    askers: dict[str, tuple[Asking, ...]] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)
    streams: Streams = field(default_factory=Streams)
    order: list[tuple[Age, ObjectKey]] = field(default_factory=list)
    ingresses: tuple[ObjectKey, ...] = ()
    named: set[str] = field(default_factory=set)


class Update:
    """Brings `known` from the snapshot `before` to that of `world`."""

    def __init__(self, world: World, known: Known, before: Snapshot) -> None:
        self._world, self._known, self._before = world, known, before
        self._hosts: set[str] = set() if CATCH_ALL in known.found else {CATCH_ALL}
        self._moved: set[ObjectKey] = set()

    def run(self) -> None:
        """All steps that have to be done, in an order in which each finds what it needs."""
        world, known = self._world, self._known
        changed = changed_objects(self._before, world.snapshot)
        stale = known.totals.readers_of(changed) | known.totals.expired(world.now, world.kept)
        self._hosts |= {step for step in stale if isinstance(step, str)}
        self._decoding()
        for key in {step for step in stale if isinstance(step, ObjectKey)} | _ingresses(changed):
            self._ingress(key)
        ownership = self._ownership()
        self._wildcards()
        for host in self._hosts:
            self._host(host)
        if self._moved:
            known.ingresses = tuple(map(_KEY, known.order))
        self._names(ownership)
        self._streams()
        known.totals.settle()

    # -- Ingresses

    def _decoding(self) -> None:
        findings = self._world.snapshot.findings
        if findings is not self._before.findings:
            told = tuple(dict.fromkeys(finding for said in findings.values() for finding in said))
            self._known.totals.put(Once.DECODING, Trace(findings=told))

    def _ingress(self, key: ObjectKey) -> None:
        known, work = self._known, Work(self._world)
        ingress = self._world.snapshot.ingresses.get(key)
        reading = known.readers.read(key, ingress, work) if ingress else None
        known.totals.put(key, work.trace() if ingress else NOTHING)
        self._file(key, known.readings.pop(key, None), reading)

    def _file(self, key: ObjectKey, old: Reading | None, new: Reading | None) -> None:
        """Every host that the Ingress is or was on is made anew."""
        known = self._known
        if (old and old.source.age) != (new and new.source.age):
            self._moved.add(key)
            if old:
                del known.order[bisect_left(known.order, (old.source.age, key))]
        for host in old.claims if old else ():
            known.by_host[host].pop(key)
            self._hosts.add(host)
        if (old and old.source.is_default_alone) or (new and new.source.is_default_alone):
            known.defaults.pop(key, None)
            self._hosts.add(CATCH_ALL)
        if new is None:
            return
        known.readings[key] = new
        if key in self._moved:
            insort(known.order, (new.source.age, key))
        if new.source.is_default_alone:
            known.defaults[key] = new
        for host in new.claims:
            known.by_host.setdefault(host, {})[key] = new
            self._hosts.add(host)

    def _ownership(self) -> Ownership:
        """Who is refused which host; those for which that is another answer than before are made anew."""
        known, work = self._known, Work(self._world)
        ownership = Ownership(work.view, self._world.options, work.findings)
        asking = [known.readings[key] for _, key in known.order] if ownership.decides else []
        refused = ownership.refused((reading.source, reading.claims) for reading in asking)
        known.totals.put(Once.OWNERSHIP, work.trace())
        self._hosts |= {host for _, host in refused ^ known.refused}
        known.refused = refused
        return ownership

    # -- hosts

    def _wildcards(self) -> None:
        """Hosts below a wildcard host that gets or loses its tls section redirect otherwise."""
        known = self._known
        for wildcard in [host for host in self._hosts if host.startswith("*.")]:
            secure = any(source.ingress.spec.tls for source in self._claims(wildcard).sources)
            if secure != (wildcard in known.secure_wildcards):
                (known.secure_wildcards.add if secure else known.secure_wildcards.discard)(wildcard)
                self._hosts |= {host for host in known.by_host if wildcard_of(host) == wildcard}

    def _claims(self, host: str) -> HostClaims:
        found = sorted(self._known.by_host.get(host, {}).values(), key=_AGE)
        allowed = [each for each in found if (each.source.key, host) not in self._known.refused]
        return claims_on(host, [(each.source, each.claims[host]) for each in allowed])

    def _host(self, host: str) -> None:
        known, work = self._known, Work(self._world)
        claims = self._claims(host)
        settle_settings(claims, work.findings)
        known.askers.pop(host, None)
        if claims.sources or host == CATCH_ALL:
            server = self._server(claims, work)
            known.found[host] = server
            wanted = [source for source in claims.sources if asks(source)]
            if wanted:
                known.askers[host] = tuple(Asking(source.age, host, source) for source in wanted)
        else:
            tell_strays(claims.canaries, work.findings)
            known.found.pop(host, None)
        if host == CATCH_ALL or known.by_host.get(host):
            known.totals.put(host, work.trace())
        else:
            known.totals.put(host, NOTHING)
            known.by_host.pop(host, None)

    def _server(self, claims: HostClaims, work: Work) -> Server:
        everyone, options = self._known.everyone, self._world.options
        settle_backend_tls(claims, share=not everyone.main.proxy_ssl_location_only)
        settle_passthrough(claims, f"{options.annotations_prefix}/{SSL_PASSTHROUGH.name}", work.findings)
        server = Servers(
            Locations(everyone.main, work.upstreams, work.findings, everyone.closing),
            work.upstreams,
            work.certificates,
            work.findings,
            everyone.default_target,
            everyone.features,
        ).of(claims, below_tls=self._is_below_tls(claims.host), defaults=self._defaults(claims.host))
        return settle_own_hosts(server, f"{options.annotations_prefix}/auth-url", options.configmap, work.findings)

    def _is_below_tls(self, host: str) -> bool:
        return host != CATCH_ALL and not host.startswith("*.") and wildcard_of(host) in self._known.secure_wildcards

    def _defaults(self, host: str) -> list[Source]:
        if host != CATCH_ALL:
            return []
        found = sorted(self._known.defaults.values(), key=_AGE)
        return [each.source for each in found if (each.source.key, CATCH_ALL) not in self._known.refused]

    # -- what needs all hosts

    def _names(self, ownership: Ownership) -> None:
        known, work = self._known, Work(self._world)
        options, used = self._world.options, known.totals.certificates_so_far
        names = OtherNamesOf(known.found, used, options, work.findings, ownership)
        named = names.give(asker for askers in known.askers.values() for asker in askers)
        known.totals.put(Once.NAMES, work.trace())
        hosts = self._hosts | known.named | named.keys()
        now = {host: _same(named.get(host, known.found.get(host)), known.servers.get(host)) for host in hosts}
        other = {host: server for host, server in now.items() if server is not known.servers.get(host)}
        known.servers = patched(known.servers, other) if other else known.servers
        known.named = set(named)

    def _streams(self) -> None:
        known, work, options = self._known, Work(self._world), self._world.options
        services = StreamServices(work.view, options, work.findings)
        ports = services.servers()
        preread = options.enable_ssl_passthrough and options.has_stream
        used = known.totals.upstreams_so_far
        hosts, of_hosts = passthrough_of(known.servers, used, known.everyone.main) if preread else ((), {})
        known.totals.put(Once.STREAMS, work.trace())
        upstreams = dict(sorted({**services.upstreams, **of_hosts}.items()))
        known.streams = _same(Streams(ports, hosts, upstreams, preread), known.streams)

    # -- what comes out

    def translation(self, default_certificate: str | None) -> Translation:
        """Of what is known now."""
        known, options = self._known, self._world.options
        totals, main = known.totals, known.everyone.main
        origins = (options.configmap,) if options.configmap else ()
        configuration = Configuration(
            main=main,
            servers=known.servers,
            upstreams=totals.upstreams,
            certificates=totals.certificates,
            default_certificate=default_certificate,
            main_origins=origins,
            health_check_path=options.health_check_path,
            files=totals.files,
            streams=known.streams,
        )
        of_streams = filter(None, (options.tcp_services_configmap, options.udp_services_configmap))
        references = References(totals.secrets, totals.configmaps.union(origins, of_streams))
        return Translation(configuration, totals.report, references, known.ingresses)


def _ingresses(changed: Iterable[ObjectKey]) -> set[ObjectKey]:
    return {key for key in changed if key.kind is Kind.INGRESS}


def _same(new: T, old: T | None) -> T:
    """The old one where they are equal, so that who comes after need not compare."""
    return old if old is not None and new == old else new
