"""Writes the addresses of this controller into the status of its Ingresses.

Only the leader writes, and only what differs from the status that the store knows. Written soon after the Ingresses or
the addresses changed, looked through every interval, and again soon after a failure. Addresses that cannot be found out
leave the status as it is: an empty status makes external-dns delete records. A server that refuses is asked a few times
in a pass, not for each Ingress, and ever more rarely.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Never, Protocol

from controller.k8s.core import Node, Pod
from controller.k8s.ingress import Ingress
from controller.model.errors import ApiRefused, ApiUnavailable, HeadraceError
from controller.model.refs import ObjectKey
from controller.state.store import Store
from controller.status.address import (
    Addresses,
    Replicas,
    given_addresses,
    node_addresses,
    selector_of,
    service_addresses,
    sorted_addresses,
)

logger = logging.getLogger(__name__)

AT_ONCE = 10
"""Requests under way at a time."""

SETTLE = 0.5
"""Seconds for which changes are gathered before one pass over them."""

RETRY = 5.0
"""Seconds to the next pass where addresses are missing or a write has failed; less where the interval is shorter."""


MOST_FAULTS = 10
"""Writes that may fail until a pass ends. Those that failed most come last in the next one."""

RESPITE_MOST = 300.0
"""Seconds that the API server may ask us to wait, at most."""


class StatusApi(Protocol):
    """Every call raises the `Api…` errors."""

    async def patch_ingress_status(self, namespace: str, name: str, load_balancer: list[dict[str, str]]) -> None:
        """`load_balancer` are the entries of `status.loadBalancer.ingress`; none clear it."""
        ...

    async def list_pods(self, namespace: str, label_selector: str) -> Sequence[Pod]: ...

    async def list_nodes(self) -> Sequence[Node]: ...


@dataclass(frozen=True, slots=True)
class StatusOptions:
    """Flags of `headrace run`. Times are seconds; `pod_name` is empty where we are no pod."""

    given: tuple[str, ...] = ()
    service: ObjectKey | None = None
    internal: bool = False
    interval: float = 60.0
    pod_namespace: str = ""
    pod_name: str = ""
    clear_at_end: bool = True


class Written(NamedTuple):
    """What we wrote last into an Ingress, and which version of it we had seen then."""

    version: str
    addresses: Addresses


class StatusWriter:
    """`leading` is asked before each pass. The store is only read."""

    def __init__(
        self,
        api: StatusApi,
        store: Store,
        options: StatusOptions,
        leading: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api, self._store, self._options = api, store, options
        self._leading, self._clock = leading, clock
        self._ours: frozenset[ObjectKey] = frozenset()
        self._given: Iterable[ObjectKey] = ()
        self._written: dict[ObjectKey, Written] = {}
        self._stirred = asyncio.Event()
        self._selector = ""
        self._published: Addresses | None = None
        self._from_nodes: Addresses | None = None
        self._asked_at = float("-inf")
        self._told: dict[str, str] = {}
        self._refused: dict[ObjectKey, int] = {}
        self._faulty_passes = 0
        self._asked_to_wait = 0.0

    # -- what others tell

    def use(self, ingresses: Iterable[ObjectKey]) -> None:
        """The Ingresses that are ours now."""
        if ingresses is self._given:
            return
        self._given, ours = ingresses, frozenset(ingresses)
        if ours != self._ours:
            self._ours = ours
            self._written = {key: told for key, told in self._written.items() if key in ours}
            self.stir()

    def stir(self) -> None:
        """Something may have changed: look soon."""
        self._stirred.set()

    # -- the loop

    async def run(self) -> Never:
        """Until cancelled."""
        while True:
            done = await self.write_once() if self._leading() else True
            if self.respite:  # whatever changes meanwhile is no reason to try again earlier
                await asyncio.sleep(self.respite)
                continue
            pause = self._options.interval if done else min(RETRY, self._options.interval)
            try:
                async with asyncio.timeout(pause):
                    await self._stirred.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(SETTLE)
            self._stirred.clear()

    @property
    def respite(self) -> float:
        """Seconds without a request, where writes have failed; else 0."""
        if not self._faulty_passes:
            return 0.0
        growing = min(RETRY * 2.0 ** min(self._faulty_passes - 1, 10), self._options.interval)
        return max(growing, min(self._asked_to_wait, RESPITE_MOST))

    async def write_once(self) -> bool:
        """One pass. False where something has to be tried again."""
        addresses = await self._addresses()
        if addresses is None:
            return False
        self._published = addresses
        return await self._write_all(addresses)

    async def clear(self) -> None:
        """At the end: empties the status if nobody else serves it and it cannot point anywhere else."""
        options = self._options
        if not (options.clear_at_end and options.pod_name and self._leading()):
            return
        if self._published is None or len(self._published) > 1:
            return
        try:
            if (await self._replicas()).alone(options.pod_name):
                await self._write_all(())
        except HeadraceError as error:
            logger.warning("status not cleared", extra={"error": str(error)})

    # -- addresses

    async def _addresses(self) -> Addresses | None:
        """None where they are not known."""
        if self._options.given:
            return given_addresses(self._options.given)
        if self._options.service is not None:
            return self._of_service(self._options.service)
        if not self._options.pod_name:
            self._tell_once("pod", "no addresses for the status", "not in a pod: give --publish-status-address")
            return None
        return await self._of_nodes()

    def _of_service(self, key: ObjectKey) -> Addresses | None:
        service = self._store.service(key)
        if service is None:
            self._tell_once("service", "no addresses for the status", f"{key} does not exist or is not watched")
            return None
        self._told.pop("service", None)
        return service_addresses(service)

    async def _of_nodes(self) -> Addresses | None:
        """Asked for once in an interval; again soon while there are none, as before our own pod is Ready."""
        age = self._clock() - self._asked_at
        if self._from_nodes and age < self._options.interval - SETTLE:
            return self._from_nodes
        try:
            names = (await self._replicas()).nodes
            found = node_addresses(
                await self._api.list_nodes() if names else (), names, internal=self._options.internal
            )
        except HeadraceError as error:
            self._tell_once("nodes", "addresses of nodes not read", str(error))
            return self._from_nodes
        self._told.pop("nodes", None)
        self._asked_at, self._from_nodes = self._clock(), found or None
        return self._from_nodes

    async def _replicas(self) -> Replicas:
        """Pods with the labels of our own. Without labels, or before it is known: our own alone."""
        namespace, name = self._options.pod_namespace, self._options.pod_name
        pods = await self._api.list_pods(namespace, self._selector)
        if not self._selector:
            own = next((pod for pod in pods if pod.metadata.name == name), None)
            self._selector = selector_of(own.metadata.labels) if own else ""
            if own is None:
                self._tell_once(
                    "pod", "own pod not found", f"no pod {namespace}/{name}: set POD_NAME and POD_NAMESPACE"
                )
            if not self._selector:
                return Replicas((own,) if own else ())
            pods = await self._api.list_pods(namespace, self._selector)
        return Replicas(tuple(pods))

    # -- writing

    async def _write_all(self, addresses: Addresses) -> bool:
        stale = self._differing(addresses)
        self._refused = {key: times for key, times in self._refused.items() if key in stale}
        turn = asyncio.Semaphore(AT_ONCE)
        faults: list[HeadraceError] = []
        async with asyncio.TaskGroup() as group:
            for key in sorted(stale, key=lambda key: self._refused.get(key, 0)):
                group.create_task(self._write(key, Written(stale[key], addresses), turn, faults))
        waits = [fault.retry_after or 0.0 for fault in faults if isinstance(fault, ApiUnavailable)]
        self._asked_to_wait = max(waits, default=0.0)
        self._faulty_passes = self._faulty_passes + 1 if faults else 0
        if faults:
            self._tell_once("write", "status not written", str(faults[0]), ingresses=len(faults))
            return False
        self._told.pop("write", None)
        if stale:
            shown = [a.ip or a.hostname for a in addresses]
            logger.info("status written", extra={"ingresses": len(stale), "addresses": shown})
        return True

    def _differing(self, addresses: Addresses) -> dict[ObjectKey, str]:
        """Ingresses whose status says something else, with the versions that we know of them."""
        stale = {}
        for key in self._ours:
            ingress = self._store.object(key)
            if not isinstance(ingress, Ingress):
                continue
            version = ingress.metadata.resource_version
            if sorted_addresses(ingress.status.load_balancer.ingress) != addresses and (
                self._written.get(key) != Written(version, addresses)
            ):
                stale[key] = version
        return stale

    async def _write(
        self, key: ObjectKey, wanted: Written, turn: asyncio.Semaphore, faults: list[HeadraceError]
    ) -> None:
        entries = [{"ip": a.ip} if not a.hostname else _both(a.ip, a.hostname) for a in wanted.addresses]
        async with turn:
            if len(faults) >= MOST_FAULTS:
                return
            try:
                await self._api.patch_ingress_status(key.namespace, key.name, entries)
            except HeadraceError as error:
                if isinstance(error, ApiRefused) and error.status == 404:
                    return  # deleted meanwhile
                faults.append(error)
                self._refused[key] = self._refused.get(key, 0) + 1
            else:
                self._written[key] = wanted
                self._refused.pop(key, None)

    def _tell_once(self, topic: str, message: str, reason: str, **fields: object) -> None:
        """The same reason again is no news."""
        if self._told.get(topic) != reason:
            logger.warning(message, extra={"reason": reason, **fields})
        self._told[topic] = reason


def _both(ip: str, hostname: str) -> dict[str, str]:
    return {"ip": ip, "hostname": hostname} if ip else {"hostname": hostname}
