"""Two replicas and one Lease on a clock of ours: who leads, from when and until when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import msgspec
import pytest

from controller.k8s.lease import Lease, LeaseMeta
from controller.model.errors import ApiConflict, ApiForbidden, ApiUnavailable
from controller.status.lease import PATIENCE, Election, Elector, micro_time

TTL = 30.0


@dataclass
class Leases:
    """An API server with one Lease. `fault` is raised by every request; `late` after the request took effect.

    `conflicts` refuses every write.
    """

    lease: Lease | None = None
    fault: Exception | None = None
    late: Exception | None = None
    writes: int = 0
    conflicts: bool = False
    asked: int = 0

    async def get_lease(self, namespace: str, name: str) -> Lease | None:
        self.asked += 1
        if self.fault:
            raise self.fault
        return self.lease

    async def create_lease(self, lease: Lease) -> Lease:
        self.asked += 1
        if self.lease is not None or self.conflicts:
            raise ApiConflict("exists")
        return self._store(lease)

    async def replace_lease(self, lease: Lease) -> Lease:
        self.asked += 1
        if (
            self.conflicts
            or self.lease is None
            or lease.metadata.resource_version != self.lease.metadata.resource_version
        ):
            raise ApiConflict("not the newest version")
        return self._store(lease)

    def _store(self, lease: Lease) -> Lease:
        if self.fault:
            raise self.fault
        self.writes += 1
        meta = LeaseMeta(lease.metadata.name, lease.metadata.namespace, str(self.writes))
        self.lease = msgspec.structs.replace(lease, metadata=meta)
        if self.late:
            raise self.late
        return self.lease

    @property
    def holder(self) -> str:
        return (self.lease.spec.holder_identity or "") if self.lease else ""


@dataclass
class Replica:
    """One machine with a clock of its own that began at `epoch`."""

    api: Leases
    name: str
    epoch: float = 0.0
    told: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now = self.epoch
        self.election = Election("headrace", "leader", self.name, TTL)
        self.elector = Elector(
            self.api,
            self.election,
            self.told.append,
            timeout=5,
            clock=lambda: self.now,
            stamp=lambda: f"stamp {self.now}",
        )

    async def run_for(self, seconds: float) -> None:
        """As the runner does it, with the clock moved instead of slept."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + await self.elector.step())

    @property
    def leads(self) -> bool:
        return self.elector.leading


@pytest.fixture
def api() -> Leases:
    return Leases()


@pytest.fixture
def pair(api: Leases) -> Iterator[tuple[Replica, Replica]]:
    """Their monotonic clocks have nothing in common."""
    yield Replica(api, "a"), Replica(api, "b", epoch=1e6)


async def together(first: Replica, second: Replica, seconds: float, step: float = 1.0) -> None:
    for _ in range(int(seconds / step)):
        await first.run_for(step)
        await second.run_for(step)
        assert not (first.leads and second.leads)


async def test_the_first_leads_and_renews_three_times_in_a_life(api: Leases) -> None:
    replica = Replica(api, "a")
    await replica.run_for(1)
    assert replica.leads
    assert replica.told == [True]
    await replica.run_for(TTL)
    assert api.writes == 4
    assert api.lease is not None
    spec = api.lease.spec
    assert (spec.holder_identity, spec.lease_duration_seconds, spec.lease_transitions) == ("a", 30, 0)
    assert (spec.acquire_time, spec.renew_time) == ("stamp 0.0", "stamp 30.0")


async def test_the_second_waits_while_the_first_renews(pair: tuple[Replica, Replica]) -> None:
    first, second = pair
    await together(first, second, 300)
    assert first.leads
    assert second.told == []


async def test_a_crashed_leader_is_replaced_once_its_lease_has_not_changed_for_its_life(
    pair: tuple[Replica, Replica], api: Leases
) -> None:
    first, second = pair
    await together(first, second, 60)
    await second.run_for(TTL - 11)
    assert not second.leads
    await second.run_for(15)
    assert second.leads
    assert api.lease is not None
    assert api.lease.spec.lease_transitions == 1


async def test_a_released_lease_is_taken_at_the_next_look(pair: tuple[Replica, Replica], api: Leases) -> None:
    first, second = pair
    await together(first, second, 20)
    await first.elector.release(3)
    assert api.holder == ""
    assert first.told == [True, False]
    await second.run_for(TTL / 10 + 0.1)
    assert second.leads


async def test_a_follower_releases_nothing(pair: tuple[Replica, Replica], api: Leases) -> None:
    first, second = pair
    await together(first, second, 5)
    before = api.writes
    await second.elector.release(3)
    assert (api.writes, api.holder) == (before, "a")


@pytest.mark.parametrize("fault", [ApiUnavailable("away"), ApiForbidden("no"), TimeoutError()])
async def test_leadership_ends_when_it_cannot_be_renewed(api: Leases, fault: Exception) -> None:
    replica = Replica(api, "a")
    await replica.run_for(1)
    api.fault = fault
    await replica.run_for(TTL - 2)
    assert replica.leads
    await replica.run_for(2)
    assert not replica.leads
    api.fault = None
    await replica.run_for(TTL / 5)
    assert replica.told == [True, False, True]


async def test_a_write_whose_answer_was_lost_still_counts(api: Leases) -> None:
    api.late = ApiUnavailable("connection reset")
    replica = Replica(api, "a")
    await replica.run_for(1)
    assert not replica.leads
    api.late = None
    await replica.run_for(TTL / 10)
    assert replica.leads


async def test_the_loser_of_a_race_follows(pair: tuple[Replica, Replica], api: Leases) -> None:
    first, second = pair
    for replica in pair:
        await replica.elector.step()
    await together(first, second, 10)
    assert [replica.leads for replica in pair] == [True, False]


async def test_a_lease_that_another_took_or_deleted(api: Leases) -> None:
    first = Replica(api, "a")
    await first.run_for(1)
    api.lease = None
    await first.run_for(TTL)
    assert first.leads, "written anew"
    assert api.lease is not None
    taken = msgspec.structs.replace(api.lease.spec, holder_identity="thief")
    api.lease = Lease(LeaseMeta("leader", "headrace", "999"), taken)
    await first.run_for(TTL / 3 + 1)
    assert not first.leads
    assert first.election.holder == "thief"


@pytest.mark.parametrize("gone", [False, True])
async def test_conflicts_without_end_are_no_tight_loop(api: Leases, gone: bool) -> None:
    """An API server, or a webhook, may answer every write with 409."""
    replica = Replica(api, "a")
    await replica.run_for(1)
    api.lease = None if gone else api.lease
    api.conflicts, api.asked = True, 0
    await replica.run_for(3 * TTL)
    assert not replica.leads
    assert api.asked <= 2 * 3 * PATIENCE


async def test_the_server_may_ask_for_a_pause(api: Leases) -> None:
    api.fault = ApiUnavailable("busy", retry_after=10)
    replica = Replica(api, "a")
    await replica.elector.step()
    assert await replica.elector.step() == 10


async def test_the_runner_leads_and_ends_by_cancellation(api: Leases) -> None:
    leading = asyncio.Event()
    elector = Elector(api, Election("headrace", "leader", "a", TTL), lambda _: leading.set(), timeout=5)
    task = asyncio.create_task(elector.run())
    await asyncio.wait_for(leading.wait(), 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert elector.leading, "until it is released"
    await elector.release(1)
    assert api.holder == ""


async def test_a_release_that_fails_ends_in_time(api: Leases) -> None:
    replica = Replica(api, "a")
    await replica.run_for(1)
    api.fault = ApiUnavailable("away")
    await replica.elector.release(0.1)
    assert not replica.leads


def test_times_are_utc_with_microseconds() -> None:
    there = timezone(timedelta(hours=2))
    assert micro_time(datetime(2026, 3, 1, 1, 30, 0, 42, there)) == "2026-02-28T23:30:00.000042Z"
