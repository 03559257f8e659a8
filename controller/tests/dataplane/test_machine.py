"""The apply machine: every failure at every step, and that the loop ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from controller.dataplane import machine
from controller.dataplane.machine import Answer, Command, Done, Failed, Refused, Served, apply_steps, resume_steps
from controller.dataplane.result import ApplyResult, Outcome, Quarantine, Refusal, Stand
from controller.model.fragments import Fragment, FragmentSet

Respond = Callable[[Command], Answer | None]
"""Answers a command; None for success."""


def server(name: str, text: str) -> Fragment:
    return Fragment(f"servers/{name}.conf", f"{name} {text}", stub=f"{name} stub")


def of(*servers: Fragment, entry: str = "main") -> FragmentSet:
    return FragmentSet.of((Fragment("nginx.conf", entry), *servers))


def drive(steps: machine.Steps[machine.T], respond: Respond) -> tuple[machine.T, list[Command]]:
    issued: list[Command] = []
    answer: Answer | None = None
    while True:
        try:
            command = next(steps) if answer is None else steps.send(answer)
        except StopIteration as end:
            return end.value, issued
        issued.append(command)
        answer = respond(command) or Done()


def names(commands: Iterable[Command]) -> str:
    return " ".join(type(c).__name__ for c in commands)


class Nginx:
    """Stands for nginx in `Test`: refuses by the texts it is shown."""

    def __init__(self, *named: str, unnamed: Callable[[dict[str, str]], bool] = lambda _: False) -> None:
        self._named = named
        self._unnamed = unnamed
        self._texts: dict[str, str] = {}
        self.tests = 0

    def __call__(self, command: Command) -> Answer | None:
        if isinstance(command, machine.Write):
            self._texts = {f.path: f.text for f in command.fragments.fragments.values()}
        if isinstance(command, machine.Test):
            self.tests += 1
            for path, text in self._texts.items():
                if any(bad in text for bad in self._named):
                    return Refused(Refusal(f"refused {text}", path, 1))
            if self._unnamed(self._texts):
                return Refused(Refusal("hash too small"))
        return None


def apply(served: Served, wanted: FragmentSet, respond: Respond = lambda _: None) -> tuple[ApplyResult, Served, str]:
    (result, after), issued = drive(apply_steps(served, wanted, served.number + 1, "edit"), respond)
    return result, after, names(issued)


@pytest.fixture
def served() -> Served:
    return apply(Served(), of(server("a", "1"), server("b", "1")))[1]


WANTED = of(server("a", "2"), server("b", "2"))


def test_the_straight_way(served: Served) -> None:
    result, after, issued = apply(served, WANTED)
    assert issued == "Write Test Switch Reload Probe Keep"
    assert (result.outcome, result.generation, result.reload_reason) == (Outcome.APPLIED, 2, "edit")
    assert after.fragments["servers/a.conf"].text == "a 2"
    assert apply(after, WANTED)[2] == ""


@pytest.mark.parametrize(
    ("fails", "issued"),
    [
        ("Write", "Write Discard"),
        ("Test", "Write Test Discard"),
        ("Switch", "Write Test Switch Switch Reload Probe Discard"),
        ("Reload", "Write Test Switch Reload Switch Reload Probe Discard"),
        ("Probe", "Write Test Switch Reload Probe Switch Reload Probe Discard"),
        ("Discard", "Write Test Switch Reload Probe Keep"),
    ],
)
def test_a_step_that_fails_leaves_the_last_good_generation(served: Served, fails: str, issued: str) -> None:
    failed = False

    def once(command: Command) -> Answer | None:
        nonlocal failed
        if failed or type(command).__name__ != fails:
            return None
        failed = True
        return Failed(f"{fails} failed")

    result, after, got = apply(served, WANTED, once)
    assert got == issued
    if fails == "Discard":
        return
    assert (result.outcome, result.generation, result.reload_reason) == (Outcome.REFUSED, 1, "")
    assert f"{fails} failed" in result.message
    assert replace(after, surprised=False) == served
    assert apply(after, WANTED)[0].outcome == Outcome.APPLIED


def test_a_generation_that_cannot_be_recorded_still_runs(served: Served) -> None:
    result, after, _ = apply(served, WANTED, lambda c: Failed("disk full") if isinstance(c, machine.Keep) else None)
    assert (result.outcome, result.generation, after.number) == (Outcome.APPLIED, 2, 2)
    assert "disk full" in result.message


def test_the_way_back_ends_with_a_new_master(served: Served) -> None:
    restarted = False

    def until_restart(command: Command) -> Answer | None:
        nonlocal restarted
        restarted = restarted or isinstance(command, machine.Restart)
        return Failed("silent") if isinstance(command, machine.Probe) and not restarted else None

    result, after, issued = apply(served, WANTED, until_restart)
    assert issued == "Write Test Switch Reload Probe Switch Reload Probe Switch Restart Probe Discard"
    assert (result.outcome, after.proved) == (Outcome.REFUSED, True)


def test_when_nothing_answers_the_next_attempt_proves_again_even_what_is_the_same(served: Served) -> None:
    def silent(command: Command) -> Answer | None:
        return Failed("silent") if isinstance(command, machine.Probe) else None

    result, after, _ = apply(served, WANTED, silent)
    assert "generation 1 does not answer either" in result.message
    assert not after.proved
    same = of(server("a", "1"), server("b", "1"))
    assert apply(after, same)[2] == "Write Test Switch Reload Probe Keep"


def test_the_first_generation_has_nothing_to_go_back_to() -> None:
    result, after, issued = apply(Served(), WANTED, lambda c: Failed("no") if isinstance(c, machine.Probe) else None)
    assert issued == "Write Test Switch Reload Probe Discard"
    assert (result.outcome, result.generation, after.proved) == (Outcome.REFUSED, 0, False)


# -- quarantine


MANY = of(*(server(f"h{number}", "1") for number in range(machine.QUICK_AT_MOST)))


def test_where_nothing_runs_and_there_is_much_to_read_the_start_is_the_test() -> None:
    result, after, issued = apply(Served(), MANY)
    assert issued == "Write Switch Reload Probe Keep"
    assert (result.outcome, result.generation, after.proved) == (Outcome.APPLIED, 1, True)
    assert apply(after, MANY)[2] == ""


def test_what_does_not_start_is_tested_under_another_number() -> None:
    refusing = Nginx("h7 1")

    def respond(command: Command) -> Answer | None:
        return Failed("nginx died") if command == machine.Probe(1) else refusing(command)

    result, after, issued = apply(Served(), MANY, respond)
    assert issued == "Write Switch Reload Probe Discard Write Test Write Test Switch Reload Probe Keep"
    assert (result.outcome, result.generation) == (Outcome.DEGRADED, 2)
    assert after.fragments["servers/h7.conf"].text == "h7 stub"


def test_a_refused_text_is_replaced_by_the_last_good_one(served: Served) -> None:
    nginx = Nginx("a 2")
    result, after, issued = apply(served, WANTED, nginx)
    assert issued == "Write Test Write Test Switch Reload Probe Keep"
    assert [(q.path, q.served, q.message) for q in result.quarantined] == [
        ("servers/a.conf", Stand.LAST_GOOD, "refused a 2")
    ]
    assert [f.text for f in after.fragments.values()] == ["main", "a 1", "b 2"]


def test_then_by_its_stub_and_the_message_stays_that_of_the_users_text(served: Served) -> None:
    result, after, _ = apply(served, of(server("a", "2"), server("b", "1"), entry="strict"), Nginx("a 2", "a 1"))
    assert [(q.served, q.message) for q in result.quarantined] == [(Stand.STUB, "refused a 2")]
    assert after.fragments["servers/a.conf"].text == "a stub"


def test_an_unchanged_text_that_nginx_takes_no_more_gets_its_stub(served: Served) -> None:
    result, after, _ = apply(served, of(server("a", "1"), server("b", "1"), entry="strict"), Nginx("a 1"))
    assert [(q.path, q.served) for q in result.quarantined] == [("servers/a.conf", Stand.STUB)]
    assert after.fragments["nginx.conf"].text == "strict"


def test_when_the_stub_is_refused_too_everything_stays(served: Served) -> None:
    result, after, issued = apply(served, WANTED, Nginx("a "))
    assert issued == "Write Test Write Test Write Test Discard"
    assert (result.outcome, result.message) == (Outcome.REFUSED, "refused a stub in servers/a.conf:1")
    assert after.fragments == served.fragments


def test_our_own_file_has_no_stand_in(served: Served) -> None:
    result, _, issued = apply(served, of(server("a", "2"), entry="broken"), Nginx("broken"))
    assert (result.outcome, issued) == (Outcome.REFUSED, "Write Test Discard")


def test_a_file_we_did_not_write_blames_nobody(served: Served) -> None:
    def elsewhere(command: Command) -> Answer | None:
        return Refused(Refusal("bad", "/etc/x.conf", 3)) if isinstance(command, machine.Test) else None

    assert apply(served, WANTED, elsewhere)[2] == "Write Test Discard"


def test_nginx_is_left_alone_when_only_the_refused_text_was_new(served: Served) -> None:
    result, after, issued = apply(served, of(server("a", "2"), server("b", "1")), Nginx("a 2"))
    assert issued == "Write Test Write Test Discard"
    assert (result.outcome, result.generation, result.reload_reason) == (Outcome.DEGRADED, 1, "")
    assert after.number == 1
    back, _, issued = apply(after, of(server("a", "1"), server("b", "1")))
    assert (back.outcome, issued) == (Outcome.UNCHANGED, "Write Test Discard")


def test_a_refused_text_is_not_tried_again_until_it_changes(served: Served) -> None:
    nginx = Nginx("a 2")
    after = apply(served, WANTED, nginx)[1]
    again, after, _ = apply(after, of(server("a", "2"), server("b", "3")), nginx)
    assert (again.outcome, nginx.tests) == (Outcome.DEGRADED, 3)
    assert again.quarantined[0].message == "refused a 2"
    changed, after, _ = apply(after, of(server("a", "3"), server("b", "3")), nginx)
    assert (changed.outcome, nginx.tests) == (Outcome.APPLIED, 4)


def test_a_refused_text_is_tried_again_when_the_settings_for_all_change(served: Served) -> None:
    after = apply(served, WANTED, Nginx("a 2"))[1]
    result, after, _ = apply(after, of(server("a", "2"), server("b", "2"), entry="other"))
    assert result.outcome == Outcome.APPLIED
    assert after.fragments["servers/a.conf"].text == "a 2"


def test_the_last_good_text_outlives_several_bad_ones(served: Served) -> None:
    after = apply(served, WANTED, Nginx("a 2"))[1]
    after = apply(after, of(server("a", "3"), server("b", "2")), Nginx("a 3"))[1]
    assert after.fragments["servers/a.conf"].text == "a 1"


def test_a_removed_host_is_forgotten(served: Served) -> None:
    after = apply(served, WANTED, Nginx("a 2"))[1]
    result, after, _ = apply(after, of(server("b", "2")))
    assert (result.outcome, after.refused, after.quarantined) == (Outcome.APPLIED, {}, ())


def test_a_path_in_the_message_blames_all_that_name_it(served: Served) -> None:
    bad = False

    def respond(command: Command) -> Answer | None:
        nonlocal bad
        if isinstance(command, machine.Write):
            bad = any("/x.pem" in f.text for f in command.fragments.fragments.values())
        if isinstance(command, machine.Test) and bad:
            return Refused(Refusal('cannot load "/x.pem"', named_path="/x.pem"))
        return None

    wanted = of(server("a", "uses /x.pem"), server("b", "2"), server("c", "uses /x.pem"))
    result, _, issued = apply(served, wanted, respond)
    assert [(q.path, q.served) for q in result.quarantined] == [
        ("servers/a.conf", Stand.LAST_GOOD),
        ("servers/c.conf", Stand.STUB),
    ]
    assert issued.count("Test") == 2


# -- bisection


@pytest.mark.parametrize("guilty", range(16))
def test_an_unnamed_error_is_found_in_log2_tests(guilty: int) -> None:
    before = apply(Served(), of(*(server(f"h{n:02}", "1") for n in range(16))))[1]
    nginx = Nginx(unnamed=lambda texts: texts[f"servers/h{guilty:02}.conf"].endswith("2"))
    result, after, _ = apply(before, of(*(server(f"h{n:02}", "2") for n in range(16))), nginx)
    assert [q.path for q in result.quarantined] == [f"servers/h{guilty:02}.conf"]
    assert sum(f.text.endswith(" 2") for f in after.fragments.values()) == 15
    assert nginx.tests <= 1 + (1 + 4) + 1


def test_an_unnamed_error_that_was_there_before_blames_nobody(served: Served) -> None:
    nginx = Nginx(unnamed=lambda _: True)
    result, _, issued = apply(served, WANTED, nginx)
    assert (result.outcome, result.message, nginx.tests) == (Outcome.REFUSED, "hash too small", 2)
    assert issued.endswith("Discard")


def test_a_named_error_behind_an_unnamed_one(served: Served) -> None:
    """Held back fragments show their last good text, and that may be refused by name."""
    nginx = Nginx("a 1", unnamed=lambda texts: texts["servers/b.conf"] == "b 2")
    result, after, _ = apply(served, WANTED, nginx)
    assert result.outcome == Outcome.DEGRADED
    assert after.fragments["servers/b.conf"].text == "b 1"
    assert "servers/b.conf" in [q.path for q in result.quarantined]


def test_too_many_bad_fragments_are_dealt_with_over_several_attempts() -> None:
    wanted = of(*(server(f"h{n:03}", "bad") for n in range(150)), server("good", "1"))
    nginx = Nginx(" bad")
    result, after, _ = apply(Served(), wanted, nginx)
    assert (result.outcome, nginx.tests) == (Outcome.REFUSED, machine.MAX_TESTS)
    result, after, _ = apply(after, wanted, nginx)
    assert (result.outcome, len(result.quarantined)) == (Outcome.DEGRADED, 150)


# -- after a restart


@pytest.mark.parametrize(
    ("answering", "adopted", "fails", "issued", "fault"),
    [
        (7, True, "", "", ""),
        (8, True, "", "Switch Reload Probe", ""),
        (0, True, "Reload", "Switch Reload Switch Restart Probe", ""),
        (0, False, "", "Test Switch Restart Probe", ""),
        (0, False, "Restart", "Test Switch Restart", "Restart failed"),
        (0, False, "Probe", "Test Switch Restart Probe", "Probe failed"),
    ],
)
def test_resuming(answering: int, adopted: bool, fails: str, issued: str, fault: str) -> None:
    def respond(command: Command) -> Answer | None:
        name = type(command).__name__
        return Failed(f"{name} failed") if name == fails else None

    got, commands = drive(resume_steps(7, answering, adopted), respond)
    assert (names(commands), got) == (issued, fault)


def test_a_last_good_generation_that_this_nginx_refuses_is_not_started() -> None:
    got, commands = drive(
        resume_steps(7, 0, adopted=False),
        lambda c: Refused(Refusal("unknown directive", "nginx.conf", 4)) if isinstance(c, machine.Test) else None,
    )
    assert (names(commands), got) == ("Test", "unknown directive in nginx.conf:4")


def test_one_changed_server_is_tested_without_the_others(served: Served) -> None:
    tested: list[tuple[str, ...]] = []
    steps = apply_steps(served, WANTED, 2, "routes")
    command = next(steps)
    while type(command).__name__ != "Switch":
        if isinstance(command, machine.Test):
            tested.append(command.servers)
        command = steps.send(Done())
    changed = {path for path, f in WANTED.fragments.items() if served.fragments.get(path) != f}
    assert [set(servers) for servers in tested] == [{path for path in changed if path.startswith("servers/")}]


WITH_UPSTREAMS = FragmentSet.of(
    [*of(server("a", "1"), server("b", "1")).fragments.values(), Fragment("upstreams.conf", "one\ntwo\n")]
)


@pytest.mark.parametrize(
    ("upstreams", "issued"),
    [
        ("one\n", "Write Switch Reload Probe Keep"),
        ("one\ntwo\nthree\n", "Write Test Switch Reload Probe Keep"),
    ],
)
def test_text_that_is_only_taken_away_needs_no_test(upstreams: str, issued: str) -> None:
    before = apply(Served(), WITH_UPSTREAMS)[1]
    less = [*of(server("a", "1")).fragments.values(), Fragment("upstreams.conf", upstreams)]
    result, after, got = apply(before, FragmentSet.of(less))
    assert (result.outcome, got) == (Outcome.APPLIED, issued)
    assert "servers/b.conf" not in after.fragments


def test_where_the_reload_without_a_test_fails_the_next_attempt_tests_all(served: Served) -> None:
    failures = iter([Failed("old workers accept")])

    def first_probe(command: Command) -> Answer | None:
        return next(failures, None) if isinstance(command, machine.Probe) else None

    less = of(server("a", "1"))
    result, after, issued = apply(served, less, first_probe)
    assert (result.outcome, issued) == (Outcome.REFUSED, "Write Switch Reload Probe Switch Reload Probe Discard")
    assert apply(after, less)[2] == "Write Test Switch Reload Probe Keep"


QUARANTINED = Quarantine("servers/a.conf", (), "bad", Stand.STUB)
DOUBTS = {
    "surprised": lambda served: replace(served, surprised=True),
    "quarantined": lambda served: replace(served, quarantined=(QUARANTINED,)),
    "silent": lambda served: replace(served, answers=False),
}


@pytest.mark.parametrize("doubt", DOUBTS)
def test_all_is_tested_where_there_is_doubt(served: Served, doubt: str) -> None:
    steps = apply_steps(DOUBTS[doubt](served), WANTED, 2, "routes")
    next(steps)
    assert steps.send(Done()) == machine.Test(2)
