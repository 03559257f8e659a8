"""Two answers to one request: where they differ, and which of the differences are known. Pure.

What changes by itself is not compared: dates, request ids, values of cookies, what concerns one connection. Ports of
redirects are compared after taking away the port of the side that was asked, since both may listen elsewhere than in
production.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from controller.migrate.asking import Address, Answer
from controller.migrate.requests import Request
from controller.model.diagnostics import Diagnostic, Effect
from controller.translate.annotations.differences import DIFFERENCES
from controller.translate.annotations.registry import VERDICTS, Verdict

IGNORED = frozenset(
    """
    date age expires last-modified x-request-id x-correlation-id x-runtime x-response-time traceparent server-timing
    connection keep-alive transfer-encoding content-length content-encoding accept-ranges alt-svc server via set-cookie
    location
    """.split()
)
"""Headers that are not compared as text; cookies and redirects have a comparison of their own."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs. `what` is `status`, `redirect`, `header NAME`, `cookie NAME`, `backend`, `body`,
    `certificate` or `error`. `known` says why, where that is known."""

    what: str
    old: str
    new: str
    known: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`headers` are further ones to ignore, in lower case. `backends`: answers name theirs, so bodies do not count."""

    old: Address
    new: Address
    headers: frozenset[str] = frozenset()
    backends: bool = False
    bodies: bool = True

    def differences(self, request: Request, old: Answer, new: Answer) -> tuple[Difference, ...]:
        """Nothing where both failed in the same way."""
        if old.error or new.error:
            return (Difference("error", _outcome(old), _outcome(new)),) if old.error != new.error else ()
        found = []
        if old.status != new.status:
            found.append(Difference("status", str(old.status), str(new.status)))
        before, after = (_redirect(a, side, request.scheme) for a, side in ((old, self.old), (new, self.new)))
        if before != after:
            found.append(Difference("redirect", before or "none", after or "none"))
        if old.certificate != new.certificate:
            found.append(Difference("certificate", old.certificate, new.certificate))
        if old.status == new.status:
            found += self._same_status(old, new)
        return tuple(found)

    def _same_status(self, old: Answer, new: Answer) -> Iterable[Difference]:
        yield from _headers(old, new, IGNORED | self.headers)
        yield from _cookies(old, new)
        if self.backends:
            if old.backend != new.backend:
                yield Difference("backend", old.backend or "none", new.backend or "none")
        elif self.bodies and old.status < 300 and old.digest != new.digest:
            yield Difference("body", old.digest or "empty", new.digest or "empty")


def explained(
    found: Iterable[Difference], request: Request, named: Mapping[str, str], findings: Iterable[Diagnostic]
) -> tuple[Difference, ...]:
    """The same, each with what the rules of routing, the findings and the annotations of the Ingress say of it.

    `named` are annotations by their names without prefix.
    """
    found = tuple(found)
    slash = request.target.partition("?")[0] + "/"
    added = any(d.what == "redirect" and urlsplit(d.old).path == slash for d in found)
    closed = next((f.message for f in findings if f.effect in _UNSERVED), "")
    of_owner = _of_annotations(named)
    return tuple(replace(d, known=_reason(d, request, added, closed) or of_owner) for d in found)


_UNSERVED = (Effect.PATH_UNSERVED, Effect.HOST_UNSERVED, Effect.OBJECT_IGNORED)


def _reason(difference: Difference, request: Request, slash_added: bool, closed: str) -> str:
    what = difference.what
    if what == "status" and difference.new == "503" and closed:
        return closed
    if what in ("status", "redirect") and slash_added:
        return "A Prefix path with a slash at its end takes the path without it, too; a 301 added the slash."
    if what == "certificate":
        return "A self-signed certificate is another one each time; where the host has a Secret, both show the same."
    if what == "header strict-transport-security":
        return "HSTS follows hsts, hsts-max-age, hsts-include-subdomains and hsts-preload of the ConfigMap."
    if request.method == "OPTIONS" and what == "header content-type":
        return "A preflight is answered with 204, which has no body and so no type."
    return ""


def _of_annotations(named: Mapping[str, str]) -> str:
    """What annotations of the Ingress do differently; what is refused counts for more."""
    refused = [name for name in sorted(named) if VERDICTS.get(name) is Verdict.REFUSED]
    if refused:
        return f"{', '.join(refused)} is refused: `headrace migrate report` says what takes its place."
    return " ".join(f"{name}: {DIFFERENCES[name]}" for name in sorted(named) if name in DIFFERENCES)


def _headers(old: Answer, new: Answer, ignored: frozenset[str]) -> Iterable[Difference]:
    names = dict.fromkeys(name for name, _ in (*old.headers, *new.headers))
    for name in sorted(names.keys() - ignored):
        before, after = ", ".join(old.values(name)), ", ".join(new.values(name))
        if _normal(before) != _normal(after):
            yield Difference(f"header {name}", before or "none", after or "none")


def _normal(value: str) -> str:
    return ", ".join(sorted(part.strip().lower() for part in value.split(",")))


def _cookies(old: Answer, new: Answer) -> Iterable[Difference]:
    before, after = ({c[0]: c[1] for c in map(_cookie, a.values("set-cookie"))} for a in (old, new))
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield Difference(f"cookie {name}", before.get(name, "none"), after.get(name, "none"))


def _cookie(text: str) -> tuple[str, str]:
    """Name and attributes; its value and dates are its own business."""
    pair, *attributes = (part.strip() for part in text.split(";"))
    kept = sorted(a.lower() if "=" not in a else _attribute(a) for a in attributes if a)
    return pair.partition("=")[0], "; ".join(a for a in kept if not a.startswith("expires=")) or "no attributes"


def _attribute(text: str) -> str:
    name, _, value = text.partition("=")
    return f"{name.lower()}={value}"


def _redirect(answer: Answer, side: Address, scheme: str) -> str:
    """The target without the ports of this side, and without those that go without saying."""
    (target,) = answer.values("location")[:1] or ("",)
    parts = urlsplit(target)
    try:
        port = parts.port
    except ValueError:
        return target
    own = {place[1] for place in side.places.values()} | {80, 443}
    if parts.scheme and parts.hostname and port in own:
        return parts._replace(netloc=parts.hostname).geturl()
    return target


def _outcome(answer: Answer) -> str:
    return f"failed: {answer.error}" if answer.error else f"{answer.status}"
