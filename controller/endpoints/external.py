"""Addresses of ExternalName Services: names outside the cluster, asked for every two seconds.

The system's resolver is used (`getaddrinfo`, so /etc/hosts and search domains count), in threads of our own, so that
a slow name server stalls neither the event loop nor anyone else. Addresses that a route must not reach are dropped:
else whoever may create a Service could read the cloud's metadata or our own loopback through the controller.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from controller.endpoints.table import UDP, Address, dns_port, port_label, routable
from controller.k8s.core import Service, ServicePort
from controller.model.configuration import Upstream
from controller.model.refs import Kind, ObjectKey

logger = logging.getLogger(__name__)

METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")
)
"""Where clouds hand out credentials to whoever asks: AWS and others, AWS over IPv6, Alibaba, Azure."""


class ExternalTarget(NamedTuple):
    """An ExternalName Service in use. `ports`: (the label our DNS knows the port by, number to connect to)."""

    service: ObjectKey
    host: str
    ports: tuple[tuple[str, int], ...]


class NameNotFound(Exception):
    """The name does not exist, as opposed to a resolver that cannot say."""


Resolve = Callable[[str], Awaitable[tuple[str, ...]]]
Publish = Callable[[ObjectKey, dict[str, tuple[Address, ...]]], None]
ClusterLookup = Callable[[str, int], tuple[Address, ...] | None]
"""(host, port number) to the addresses of a Service of this cluster; None where the host is no such Service."""


def target_of(service: Service, ports: Iterable[str]) -> ExternalTarget:
    """What to resolve for those port labels.

    The number is the Service port's numeric targetPort, else its port; where the Service has no such port, the
    number the Ingress wrote. A label that is neither is left out.
    """
    numbers: dict[str, int] = {}
    for label in ports:
        found = next((port for port in service.spec.ports if label in _labels_of(port)), None)
        number = label.removesuffix(port_label("", UDP))
        if found is not None:
            numbers[label] = found.target_port if isinstance(found.target_port, int) else found.port
        elif number.isascii() and number.isdigit():
            numbers[label] = int(number)
    key = ObjectKey(Kind.SERVICE, service.metadata.namespace, service.metadata.name)
    valid = tuple((label, number) for label, number in sorted(numbers.items()) if 0 < number < 65_536)
    return ExternalTarget(key, service.spec.external_name.rstrip("."), valid)


def _labels_of(port: ServicePort) -> tuple[str, ...]:
    return tuple(port_label(name, port.protocol) for name in (dns_port(port), str(port.port)))


def targets_of_urls(upstreams: Iterable[Upstream]) -> Iterator[ExternalTarget]:
    """What to resolve for those upstreams that are the host of a URL."""
    ports: dict[tuple[ObjectKey, str], set[int]] = {}
    for upstream in upstreams:
        if upstream.host:
            ports.setdefault((upstream.service, upstream.host), set()).add(int(upstream.dns_port))
    for (key, host), numbers in ports.items():
        yield ExternalTarget(key, host, tuple((str(number), number) for number in sorted(numbers)))


def allowed(ips: Iterable[str], *, refused_too: bool = False) -> tuple[str, ...]:
    """Those addresses that a route may reach, each once, in canonical form; all of them with `refused_too`."""
    kept: set[ipaddress.IPv4Address | ipaddress.IPv6Address] = set()
    for text in ips:
        address = ipaddress.ip_address(text) if refused_too else routable(text)
        plain = getattr(address, "ipv4_mapped", None) or address
        if address is not None and (refused_too or plain not in METADATA):
            kept.add(address)
    return tuple(str(address) for address in sorted(kept, key=lambda address: (address.version, int(address))))


def cluster_service(host: str, domain: str) -> tuple[str, str] | None:
    """(namespace, name) where the host has the form of a Service's name: `svc.ns`, `svc.ns.svc[.<domain>]`."""
    labels = host.lower().removesuffix("." + domain.lower()).split(".")
    if len(labels) == 3 and labels[2] == "svc":
        labels.pop()
    return (labels[1], labels[0]) if len(labels) == 2 and all(labels) else None


@dataclass(frozen=True, slots=True)
class ExternalOptions:
    """Times in seconds. `keep`: how long the last good answer outlives a resolver that fails."""

    interval: float = 2.0
    timeout: float = 5.0
    keep: float = 30.0
    concurrency: int = 8
    allow_refused: bool = False


@dataclass(slots=True)
class _Known:
    """The last good answer for a host. `failing`: its failure was reported."""

    ips: tuple[str, ...] = ()
    good_at: float = float("-inf")
    failing: bool = False


class ExternalNames:
    """Keeps the addresses of ExternalName Services fresh. Owned by the event loop; `run` ends by cancellation."""

    def __init__(
        self,
        publish: Publish,
        *,
        options: ExternalOptions | None = None,
        in_cluster: ClusterLookup | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._publish = publish
        self._options = options or ExternalOptions()
        self._in_cluster = in_cluster or (lambda host, number: None)
        self._pool: ThreadPoolExecutor | None = None
        self._resolve = resolve or self._getaddrinfo
        self._targets: dict[ObjectKey, ExternalTarget] = {}
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    def use(self, targets: Iterable[ExternalTarget]) -> None:
        """From now on these and no others. New ones are resolved at once."""
        wanted = {target.service: target for target in targets}
        if wanted == self._targets:
            return
        self._targets = wanted
        hosts = {target.host for target in wanted.values()}
        self._known = {host: known for host, known in self._known.items() if host in hosts}
        self._publish_all()
        self._wake.set()

    async def run(self) -> None:
        try:
            while True:
                self._wake.clear()
                self._publish_all()
                self._ask_all()
                try:
                    async with asyncio.timeout(self._options.interval):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._asking.values():
                task.cancel()
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask_all(self) -> None:
        """One question per host at a time: a resolver that hangs gets no second one."""
        for host in dict.fromkeys(target.host for target in self._targets.values()):
            if _literal(host) is None and host not in self._asking and not self._is_local(host):
                task = asyncio.create_task(self._ask(host), name=f"resolve {host}")
                self._asking[host] = task
                task.add_done_callback(lambda _, host=host: self._asking.pop(host, None))  # type: ignore[misc]

    def _is_local(self, host: str) -> bool:
        return any(
            target.host == host and self._in_cluster(host, number) is not None
            for target in self._targets.values()
            for _, number in target.ports
        )

    async def _ask(self, host: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = allowed(await self._resolve(host), refused_too=self._options.allow_refused)
        except NameNotFound as fault:
            self._failed(host, fault)
            self._known[host].ips = ()
        except OSError as fault:
            self._failed(host, fault)
        else:
            if host in {target.host for target in self._targets.values()}:
                self._known[host] = _Known(found, loop.time())
        self._publish_all(host)

    def _failed(self, host: str, fault: Exception) -> None:
        known = self._known.setdefault(host, _Known())
        if not known.failing:
            known.failing = True
            logger.warning("external name not resolved", extra={"host": host, "error": str(fault)})

    def _publish_all(self, host: str | None = None) -> None:
        for target in self._targets.values():
            if host in (None, target.host):
                self._publish(
                    target.service, {label: self._addresses(target, number) for label, number in target.ports}
                )

    def _addresses(self, target: ExternalTarget, number: int) -> tuple[Address, ...]:
        local = self._in_cluster(target.host, number)
        if local is not None:
            return local
        return tuple(Address(ip, number) for ip in self._ips(target.host))

    def _ips(self, host: str) -> tuple[str, ...]:
        literal = _literal(host)
        if literal is not None:
            return allowed([literal], refused_too=self._options.allow_refused)
        known = self._known.get(host)
        if known is None or asyncio.get_running_loop().time() - known.good_at > self._options.keep:
            return ()
        return known.ips

    async def _getaddrinfo(self, host: str) -> tuple[str, ...]:
        """Raises NameNotFound or OSError (TimeoutError is one)."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._options.concurrency, thread_name_prefix="resolve")
        asked = asyncio.get_running_loop().run_in_executor(self._pool, _look_up, host)
        async with asyncio.timeout(self._options.timeout):
            return await asked


def _look_up(host: str) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as fault:
        if fault.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            raise NameNotFound(str(fault)) from fault
        raise
    except UnicodeError as fault:
        raise NameNotFound("not a host name") from fault
    return tuple(str(entry[4][0]) for entry in found)


def _literal(host: str) -> str | None:
    text = host.strip("[]")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
