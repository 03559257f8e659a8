"""What is served is counted from what changes, and comes to what a count of all would."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from controller.model.configuration import Location, MatchKind, PathMatch, Return, Server
from controller.model.refs import Kind, ObjectKey, RuleRef
from controller.observe.served import ServedRoutes

NOT_FOUND = Location(PathMatch(MatchKind.PREFIX, "/"), Return(404), None)
KEYS = [ObjectKey(Kind.INGRESS, "team", name) for name in ("one", "two", "three")]


def server(host: str, origins: list[ObjectKey], locations: int) -> Server:
    found = tuple(Location(PathMatch(MatchKind.EXACT, f"/{n}"), Return(503), None) for n in range(locations))
    fallback = Location(NOT_FOUND.match, Return(404), RuleRef(origins[0], -1, -1)) if origins else NOT_FOUND
    return Server(host, found, fallback, origins=tuple(origins))


hosts = st.dictionaries(
    st.sampled_from("abc"), st.tuples(st.lists(st.sampled_from(KEYS), unique=True), st.integers(0, 2)), max_size=3
)


@given(st.lists(hosts, min_size=1, max_size=6))
def test_it_comes_to_what_a_count_of_all_would(rounds: list[dict[str, tuple[list[ObjectKey], int]]]) -> None:
    served, before = ServedRoutes(), dict[str, Server]()
    for wanted in rounds:
        after = {host: server(host, *asked) for host, asked in wanted.items()}
        gone = served.change(before, after)
        names = Counter((key.namespace, key.name) for origins, _ in wanted.values() for key in origins)
        old = {(key.namespace, key.name) for each in before.values() for key in each.origins}
        assert served.ingresses == names
        assert served.locations == sum(locations for _, locations in wanted.values())
        assert gone == bool(old - names.keys())
        before = after
