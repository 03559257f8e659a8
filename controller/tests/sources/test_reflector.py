"""A reflector against a scripted API server: what it asks, what it tells, and how long it waits."""

from __future__ import annotations

import asyncio

import pytest

from controller.model.errors import ApiForbidden, ApiRefused, ApiUnavailable, ApiUnreachable, ResourceExpired
from controller.model.refs import Kind, ObjectKey
from controller.sources.lists import is_older
from controller.sources.reflector import BACKOFF_MOST, SECOND_LOOK, Reflector, WatchStats, backoff
from controller.sources.scope import Scope
from controller.state.events import Applied, Deleted, Event, Rejected, Synced, Unreadable
from controller.tests.sources.script import Script, Stream, bookmark, document, failure, line, page

DOWN = ApiUnavailable("down")
GONE = ResourceExpired("gone")
NO = ApiForbidden("no")


async def play(script: Script, poll: float = 0.0) -> tuple[list[str], WatchStats]:
    """Runs a reflector until the script has run out; returns what it told, in short."""
    told: list[str] = []
    reflector = Reflector(Scope(Kind.INGRESS), script, clock=script.clock, poll=poll)
    task = asyncio.create_task(reflector.run(lambda event: told.append(short(event))))
    async with asyncio.timeout(2):
        waiting = asyncio.create_task(script.exhausted.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    stats = reflector.stats
    for each in (task, waiting):
        each.cancel()
    await asyncio.gather(task, waiting, return_exceptions=True)
    if not task.cancelled():
        task.result()
    return told, stats


def short(event: Event) -> str:
    match event:
        case Applied(key, found):
            return f"+{key.name}@{found.metadata.resource_version}"
        case Deleted(key):
            return f"-{key.name}"
        case Rejected(key):
            return f"!{key.name}"
        case Synced():
            return "synced"
        case Unreadable():
            return "unreadable"


async def test_pages_then_changes() -> None:
    script = Script(
        [page(document("a"), document("b"), more="x"), page(document("c"))],
        [Stream((line("ADDED", document("d", "11")), line("MODIFIED", document("a", "12")),
                 line("DELETED", document("b", "13"))), stays=True)],
    )  # fmt: skip
    told, stats = await play(script)
    assert told == ["+a@1", "+b@1", "+c@1", "synced", "+d@11", "+a@12", "-b"]
    assert script.asked == ["list limit=500", "list limit=500 more=x", "watch from=10"]
    assert stats == (Kind.INGRESS, 3, True, 1000.0, 1, 0)
    assert script.slept == []


async def test_a_watch_goes_on_where_it_ended() -> None:
    streams = [Stream((line("ADDED", document("a", "11")),)), Stream((bookmark("20"),)), Stream(then=DOWN), Stream()]
    script = Script([page()], list(streams))
    told, stats = await play(script)
    assert told == ["synced", "+a@11"]
    assert [asked for asked in script.asked if asked.startswith("watch")] == [
        "watch from=10", "watch from=11", "watch from=20", "watch from=20", "watch from=20",
    ]  # fmt: skip
    assert stats.relists == 1
    assert len(script.slept) == 1


async def test_an_expired_watch_lists_anew_and_tells_what_vanished_meanwhile() -> None:
    script = Script(
        [
            page(document("a"), document("b"), document("c")),
            *[page(document("a"), document("c", "30"), version="40")] * 2,
        ],
        [Stream((failure(410),))],
    )
    told, stats = await play(script)
    assert told == ["+a@1", "+b@1", "+c@1", "synced", "+c@30", "-b"]
    assert script.asked[-1] == "watch from=40"
    assert stats.relists == 2
    assert script.slept == [SECOND_LOOK]


async def test_an_empty_list_of_a_broken_server_takes_nothing_away() -> None:
    whole = page(document("a"), document("b"), version="30")
    script = Script([page(document("a"), document("b")), page(version="30"), whole], [GONE])
    told, _ = await play(script)
    assert told == ["+a@1", "+b@1", "synced"]


async def test_an_object_deleted_between_two_lists_is_told_by_the_watch() -> None:
    lists = [page(document("a"), document("b"), document("c")),
             page(document("b"), document("c"), version="20"), page(document("c", "25"), version="30")]  # fmt: skip
    stream = Stream((line("DELETED", document("b", "21")), line("MODIFIED", document("c", "22")),
                     line("MODIFIED", document("c", "25"))))  # fmt: skip
    script = Script([*lists], [GONE, stream])
    told, _ = await play(script)
    assert told == ["+a@1", "+b@1", "+c@1", "synced", "+c@25", "-a", "-b"]
    assert "watch from=20" in script.asked


async def test_a_list_from_the_past_is_not_believed() -> None:
    script = Script(
        [page(document("a", "7")), page(document("a", "5"), version="9"), page(document("a", "7"), version="20")],
        [GONE],
    )
    told, _ = await play(script)
    assert told == ["+a@7", "synced"]
    assert script.asked[-1] == "watch from=20"


async def test_a_restored_etcd_is_believed_in_the_end() -> None:
    old = page(document("a", "5"), version="9")
    script = Script([page(document("a", "7")), old, old, old], [GONE, Stream((line("MODIFIED", document("a", "10")),))])
    told, _ = await play(script)
    assert told == ["+a@7", "synced", "+a@5", "+a@10"]
    assert len(script.slept) == 2


async def test_events_out_of_order_cost_a_list_and_bring_nothing_old_back() -> None:
    unordered = Stream((line("MODIFIED", document("a", "13")), line("DELETED", document("b", "14")),
                        line("MODIFIED", document("b", "12"))))  # fmt: skip
    now = page(document("a", "13"), version="20")
    script = Script([page(document("a"), document("b")), now], [unordered])
    told, _ = await play(script)
    assert told == ["+a@1", "+b@1", "synced", "+a@13", "-b"]
    assert script.asked[-2:] == ["list limit=500", "watch from=20"]


async def test_a_bookmark_that_goes_back_is_no_place_to_go_on() -> None:
    script = Script([page(), page(version="20")], [Stream((bookmark("12"), bookmark("3")))])
    await play(script)
    assert script.asked[-2:] == ["list limit=500", "watch from=20"]


async def test_a_version_that_the_server_answers_with_errors_is_given_up_in_the_end() -> None:
    """kube-apiserver answers 500 to a version that is no number, and 504 to one that it has not reached."""
    error = ApiUnavailable("500 resourceVersion: invalid")
    script = Script([page(), page(version="20")], [Stream((bookmark("soon"),)), error, error, error, error])
    await play(script)
    assert script.asked == [
        "list limit=500",
        "watch from=10",
        *["watch from=soon"] * 4,
        "list limit=500",
        "watch from=20",
    ]


async def test_expiring_after_a_word_again_and_again_is_not_a_tight_loop() -> None:
    """What a watch tells in its first moments does not make it a good one."""
    expiring = [Stream((bookmark(str(number)), failure(410)), lasts=0.0) for number in range(11, 17)]
    script = Script([page(version=str(number)) for number in range(10, 17)], [*expiring])
    await play(script)
    assert script.slept == [0.5, 1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("pages", [[page(document("a"), more="x")] * 3, [page(more="x")] * 3,
                                   [page(document("a"), more="x"), page(document("a"), more="y")]])  # fmt: skip
async def test_a_list_that_goes_in_circles_is_given_up(pages: list[bytes]) -> None:
    script = Script([page(document("a"), document("b")), *pages, page(document("a"), document("b"))], [GONE])
    told, _ = await play(script)
    assert told == ["+a@1", "+b@1", "synced"]


@pytest.mark.parametrize(
    "garbage",
    [b'{"metadata":{},"items":[]}', b'{"metadata":{"resourceVersion":"\xff"},"items":[]}', b'{"items":' + b"[" * 9000],
)
async def test_a_list_of_garbage_is_waited_out(garbage: bytes) -> None:
    script = Script([page(document("a")), garbage, page(document("a"))], [GONE])
    told, _ = await play(script)
    assert told == ["+a@1", "synced"]


@pytest.mark.parametrize("garbage", [b'{"type":"\xff"}', b'{"type":"ADDED","object":' + b'{"a":' * 9000, b"\0"])
async def test_a_watch_of_garbage_ends_nothing_but_itself(garbage: bytes) -> None:
    script = Script([page(document("a")), page(document("a"))], [Stream((garbage,))])
    told, _ = await play(script)
    assert told == ["+a@1", "synced"]
    assert len(script.slept) == 1


@pytest.mark.parametrize(("one", "other", "older"), [("9", "10", True), ("10", "9", False), ("10", "10", False),
                                                     ("", "9", False), ("x", "9", False), ("9", "", False),
                                                     ("9" * 5000, "1", False), ("²", "3", False)])  # fmt: skip
def test_which_version_is_older(one: str, other: str, older: bool) -> None:
    assert is_older(one, other) is older


async def test_expiring_again_and_again_is_not_a_tight_loop() -> None:
    script = Script([page() for _ in range(5)], [GONE, GONE, GONE, GONE])
    await play(script)
    assert len(script.slept) == 3


async def test_a_list_that_expires_between_pages_is_read_at_once() -> None:
    script = Script([page(document("a"), more="x"), GONE, *[page(document("b"), version="20")] * 2])
    told, _ = await play(script)
    assert told == ["+a@1", "+b@1", "-a", "synced"]
    expected = ["list limit=500", "list limit=500 more=x", "list limit=0", "list limit=500", "watch from=20"]
    assert script.asked == expected


async def test_nothing_is_deleted_by_a_list_that_fails() -> None:
    script = Script(
        [page(document("a"), document("b")), page(document("a"), more="x"), DOWN, page(document("a"), document("b"))],
        [GONE],
    )
    told, _ = await play(script)
    assert told == ["+a@1", "+b@1", "synced"]


async def test_pauses_grow_to_half_a_minute_and_end_with_success() -> None:
    downs: list[bytes | Exception] = [DOWN] * 9
    script = Script([*downs, page(), page()], [Stream((bookmark("11"),)), DOWN])
    await play(script)
    assert script.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0, 0.5]


async def test_a_server_that_is_not_there_is_looked_for_often() -> None:
    refused: list[bytes | Exception] = [ApiUnreachable("refused")] * 7
    script = Script([*refused, page()])
    await play(script)
    assert script.slept == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


async def test_after_an_outage_nothing_of_its_pauses_is_left() -> None:
    """An API server that has just started may still forbid everything, and knows no version from before."""
    refused = [ApiUnreachable("refused")] * 9
    script = Script([page(), NO, NO, page(version="40")], [*refused, Stream((failure(410),))])
    told, _ = await play(script)
    assert script.slept == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0, 5.0, 0.5, 1.0]
    assert script.asked[-1] == "watch from=40"
    assert told == ["synced"]


async def test_the_server_may_ask_for_a_longer_pause() -> None:
    script = Script([ApiUnavailable("busy", retry_after=17), page()])
    await play(script)
    assert script.slept == [17.0]


@pytest.mark.parametrize("chance", [0.0, 1.0])
@pytest.mark.parametrize("failures", [1, 2, 3, 7, 50, 5000])
def test_every_pause_is_between_half_a_second_and_ten_seconds(failures: int, chance: float) -> None:
    assert 0.5 <= backoff(failures, lambda low, high: low + chance * (high - low)) <= BACKOFF_MOST == 10.0


async def test_a_watch_that_ends_at_once_counts_as_failed() -> None:
    script = Script([page()], [Stream(lasts=0.1) for _ in range(4)])
    _, stats = await play(script)
    assert script.slept == [0.5, 1.0, 2.0, 4.0]
    assert stats.relists == 1


@pytest.mark.parametrize("fault", [ApiRefused("bad version", 400), Stream((failure(500),)), Stream((b"<html>",))])
async def test_a_version_that_the_server_does_not_like_is_given_up(fault: Exception | Stream) -> None:
    script = Script([page(), page(version="20")], [fault])
    await play(script)
    assert script.asked == ["list limit=500", "watch from=10", "list limit=500", "watch from=20"]
    assert len(script.slept) == 1


async def test_a_proxy_that_answers_in_html_is_waited_out() -> None:
    script = Script([b"<html>Bad gateway</html>", page(document("a"))])
    told, _ = await play(script)
    assert told == ["+a@1", "synced"]


async def test_a_bad_object_is_told_once_and_costs_itself_alone() -> None:
    bad = document("bad", "2", spec={"rules": 1})
    script = Script([page(document("a"), bad), page(document("a"), bad)], [Stream((line("MODIFIED", bad),)), GONE])
    told, stats = await play(script)
    assert told == ["+a@1", "!bad", "synced"]
    assert stats.rejects == 1


async def test_a_bad_object_that_goes_is_deleted() -> None:
    bad = document("bad", "2", spec={"rules": 1})
    script = Script([page(bad)], [Stream((line("DELETED", document("bad", "11", spec={"rules": 1})),), stays=True)])
    told, _ = await play(script)
    assert told == ["!bad", "synced", "-bad"]


async def test_forbidden_is_told_after_some_tries_and_tried_slowly() -> None:
    script = Script([NO] * 6)
    told, _ = await play(script)
    assert told == ["unreadable"]
    assert script.slept == [0.5, 1.0, 2.0, 45.0, 45.0, 45.0]


async def test_an_api_server_that_only_just_started_is_not_taken_at_its_word() -> None:
    script = Script([NO, NO, page(document("a"))])
    told, _ = await play(script)
    assert told == ["+a@1", "synced"]


async def test_a_right_that_comes_later_is_used() -> None:
    script = Script([NO, NO, NO, NO, NO, page(document("a"))])
    told, _ = await play(script)
    assert told == ["unreadable", "+a@1", "synced"]


async def test_a_right_that_is_taken_away_changes_nothing() -> None:
    script = Script([page(document("a")), NO, NO, NO, NO, NO, NO, page(document("a"))], [NO])
    told, stats = await play(script)
    assert told == ["+a@1", "synced"]
    assert stats.objects == 1


async def test_without_a_watch_it_is_asked_now_and_then() -> None:
    script = Script([page(document("a")), page(document("a", "2")), page(), page()])
    told, _ = await play(script, poll=30.0)
    assert told == ["+a@1", "synced", "+a@2", "-a"]
    assert script.slept == [30.0, 30.0, SECOND_LOOK, 30.0]
    assert not any(asked.startswith("watch") for asked in script.asked)


def test_the_path_of_every_kind() -> None:
    assert Scope(Kind.INGRESS).path == "/apis/networking.k8s.io/v1/ingresses"
    assert Scope(Kind.ENDPOINT_SLICE, "team").path == "/apis/discovery.k8s.io/v1/namespaces/team/endpointslices"
    named = Scope.of_object(ObjectKey(Kind.SECRET, "team", "pair"))
    assert (named.path, named.selectors) == (
        "/api/v1/namespaces/team/secrets", [("fieldSelector", "metadata.name=pair")],
    )  # fmt: skip
