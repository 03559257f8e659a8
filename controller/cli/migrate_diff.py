"""`headrace migrate diff`: asks both controllers, prints where their answers differ."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from controller.cli.main import FINE, PROBLEMS
from controller.migrate.asking import Address, Answer, Asker, Manner
from controller.migrate.compare import Comparison, Difference, explained
from controller.migrate.requests import Request, Wanted, requests_of
from controller.migrate.shown import printable
from controller.model.diagnostics import Diagnostic
from controller.model.errors import UsageError
from controller.model.options import Options
from controller.model.refs import ObjectKey
from controller.offline import Look

SHAPE = 1


@dataclass(slots=True)
class Outcome:
    """`unstable`: what the old side answered differently to the same request; not counted as a difference."""

    asked: int = 0
    differing: list[tuple[Request, tuple[Difference, ...]]] = field(default_factory=list)
    failed: list[tuple[Request, str]] = field(default_factory=list)
    unstable: list[tuple[Request, tuple[str, ...]]] = field(default_factory=list)


def compare(args: argparse.Namespace, look: Look, options: Options) -> int:
    """Exit code 1 where answers differ or where neither side answers."""
    old, new = Address.parse(args.old), Address.parse(args.new)
    wanted = _wanted(args, old, new)
    ingresses = look.store.ingresses()
    served = {key: ingresses[key] for key in look.translation.ingresses}
    requests = requests_of(served, look.translation.configuration, options.annotations_prefix, wanted)
    if not requests:
        raise UsageError("no rule gives a request; the class, --include or --exclude may be the reason")
    if args.dry_run:
        for request in requests:
            print(printable(f"{request}  ({request.why})"))
        return FINE
    asker = Asker(_manner(args))
    ignored = frozenset(name.lower() for name in args.ignore_header)
    backends = bool(args.backend_header or args.backend_body)
    how = Comparison(old, new, ignored, backends, bodies=not args.ignore_body)
    outcome = _ask(asker, how, requests, _Known(look, options.annotations_prefix))
    print(_json(args, outcome) if args.output == "json" else "\n".join(_lines(outcome)))
    return PROBLEMS if outcome.differing or outcome.failed else FINE


@dataclass(slots=True)
class _Known:
    """What is known about each Ingress: annotations by name without prefix, and findings."""

    look: Look
    prefix: str

    def explain(self, request: Request, found: tuple[Difference, ...]) -> tuple[Difference, ...]:
        key = request.ingress
        named: Mapping[str, str] = {}
        if key is not None and (ingress := self.look.store.ingresses().get(key)):
            all_ = ingress.metadata.annotations or {}
            named = {n.removeprefix(f"{self.prefix}/"): v for n, v in all_.items() if n.startswith(f"{self.prefix}/")}
        return explained(found, request, named, self._findings(key))

    def _findings(self, key: ObjectKey | None) -> tuple[Diagnostic, ...]:
        return tuple(f for f in self.look.translation.report.diagnostics if f.object == key)


def _ask(asker: Asker, how: Comparison, requests: tuple[Request, ...], known: _Known) -> Outcome:
    outcome = Outcome()
    for request, before, after in asker.pairs(requests, how.old, how.new):
        outcome.asked += 1
        _show_progress(outcome.asked, len(requests))
        if before.error and before.error == after.error:
            outcome.failed.append((request, before.error))
            continue
        found = how.differences(request, before, after)
        if found:
            found = _stable(asker, how, request, before, found, outcome)
        if found:
            outcome.differing.append((request, known.explain(request, found)))
    return outcome


def _show_progress(asked: int, of: int) -> None:
    """For a person who waits; nothing where standard error is no terminal."""
    if sys.stderr.isatty() and (asked % 10 == 0 or asked == of):
        print(f"\rasked {asked} of {of} ", end="\n" if asked == of else "", file=sys.stderr, flush=True)


def _stable(
    asker: Asker, how: Comparison, request: Request, before: Answer, found: tuple[Difference, ...], outcome: Outcome
) -> tuple[Difference, ...]:
    """Without what the old side answers differently when it is asked again."""
    twice = Comparison(how.old, how.old, how.headers, how.backends, how.bodies)
    moving = {each.what for each in twice.differences(request, before, asker.again(request, how.old))}
    if moving:
        outcome.unstable.append((request, tuple(sorted(moving))))
    return tuple(each for each in found if each.what not in moving)


def _wanted(args: argparse.Namespace, old: Address, new: Address) -> Wanted:
    both = [scheme for scheme in ("http", "https") if scheme in old.places and scheme in new.places]
    schemes = tuple(scheme for scheme in both if args.only in (None, scheme))
    if not schemes:
        raise UsageError("there is no scheme that both URLs name")
    headers = tuple(_header(text) for text in args.header)
    hosts = tuple(host.strip().lower() for host in args.host_header)
    for host in hosts:
        if not re.fullmatch(r"[a-z0-9._-]+", host):
            raise UsageError(f"--host-header takes a host name, not {host!r}")
    return Wanted(schemes, hosts, tuple(args.include), tuple(args.exclude), headers)


def _manner(args: argparse.Namespace) -> Manner:
    if not (args.rate > 0 and args.concurrency > 0 and args.timeout > 0):
        raise UsageError("--rate, --concurrency and --timeout are more than 0")
    try:
        body = re.compile(args.backend_body.encode()) if args.backend_body else None
    except re.error as error:
        raise UsageError(f"--backend-body: {error}") from error
    return Manner(args.rate, min(args.concurrency, 32), args.timeout, args.backend_header, body)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z0-9-]+", name.strip()) or not value.strip().isprintable():
        raise UsageError(f"--header takes 'NAME: VALUE', not {text!r}")
    return name.strip(), value.strip()


def _lines(outcome: Outcome) -> Iterator[str]:
    for request, found in outcome.differing:
        yield printable(f"{request}")
        where = f", of Ingress {request.ingress.path}" if request.ingress else ""
        yield printable(f"  {request.why}{where}")
        for each in found:
            yield printable(f"  {each.what}: {each.old} -> {each.new}")
            if each.known:
                yield printable(f"    known: {each.known}")
        yield ""
    for reason, group in groupby(sorted(outcome.failed, key=lambda f: f[1]), key=lambda f: f[1]):
        yield printable(f"neither side answered {len(list(group))} requests: {reason}")
    if outcome.unstable:
        yield f"{len(outcome.unstable)} answers of the old side vary by themselves and were not compared in that"
    same = outcome.asked - len(outcome.differing) - len(outcome.failed)
    known = sum(1 for _, found in outcome.differing if all(each.known for each in found))
    counted = f"{outcome.asked} requests to each side: {same} alike, {len(outcome.differing)} different"
    yield counted + (f" ({known} of them for known reasons)" if known else "")


def _json(args: argparse.Namespace, outcome: Outcome) -> str:
    return json.dumps(
        {
            "shape": SHAPE,
            "old": args.old,
            "new": args.new,
            "summary": {
                "requests": outcome.asked,
                "same": outcome.asked - len(outcome.differing) - len(outcome.failed),
                "different": len(outcome.differing),
                "failed": len(outcome.failed),
                "unstable": len(outcome.unstable),
            },
            "differences": [
                {
                    **_request(request),
                    "differences": [{"what": d.what, "old": d.old, "new": d.new, "known": d.known} for d in found],
                }
                for request, found in outcome.differing
            ],
            "failed": [{**_request(request), "error": error} for request, error in outcome.failed],
            "unstable": [{**_request(request), "what": list(what)} for request, what in outcome.unstable],
        },
        indent=2,
    )


def _request(request: Request) -> dict[str, object]:
    key = request.ingress
    return {
        "method": request.method,
        "url": request.url,
        "headers": [list(pair) for pair in request.headers],
        "why": request.why,
        "ingress": {"namespace": key.namespace, "name": key.name} if key else None,
    }
