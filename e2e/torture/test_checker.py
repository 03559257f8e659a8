"""The checker sees what it is there to see. It would be of no use otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.tests.ports import free_port
from e2e.torture.checker import Checker, Group
from e2e.torture.world import World


def wrong(world: World, group: Group) -> set[str]:
    with Checker([replace(group, clients=1)], world.headrace.directory) as load:
        world.headrace.until(lambda: len(load.seen().asks) >= 4)
    return set(load.seen().kinds)


@pytest.mark.parametrize("fresh", [False, True])
def test_it_sees_what_is_wrong(world: World, fresh: bool) -> None:
    http, https, root = world.headrace.http, world.headrace.https, str(world.root)
    right = Group("right", https, {"gold.test": ("gold",)}, root=root, fresh=fresh)
    assert wrong(world, right) == set()
    assert wrong(world, replace(right, hosts={"gold.test": ("silver",)})) == {"backend"}
    assert wrong(world, replace(right, hosts={"nobody.test": ()})) == {"certificate"}
    plain = Group("plain", http, {"red.test": ("red",)}, fresh=fresh)
    assert wrong(world, replace(plain, hosts={"nobody.test": ()})) == {"status"}
    assert wrong(world, replace(plain, port=free_port())) == {"refused"}
    assert wrong(world, replace(plain, path="/reset")) >= {"status"}
    assert wrong(world, replace(plain, path="/slow/2", patience=0.3)) == {"timeout"}
