"""An Explanation for people and for programs: lines of text, and a value for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from controller.explain.locations import Loser
from controller.explain.matcher import Explanation
from controller.explain.servers import CertificateChoice, expiry_of
from controller.model.configuration import Location, MatchKind
from controller.observe.findings import diagnostic_json

Tone = Literal["", "good", "warning", "bad", "dim"]
_KINDS = {MatchKind.EXACT: "Exact", MatchKind.PREFIX: "Prefix", MatchKind.REGEX: "expression"}


class Line(NamedTuple):
    """One line of the report. `label` is empty where a line continues the one above; `tone` is for whoever colours."""

    label: str
    text: str
    tone: Tone = ""


def plain(lines: Iterable[Line]) -> str:
    """Without colours, for pipes: labels in a column."""
    return "".join(f"{line.label:<13} {_printable(line.text)}".rstrip() + "\n" for line in lines)


def lines_of(story: Explanation) -> tuple[Line, ...]:
    """The report from the request to the findings."""
    return tuple(_lines(story))


def to_dict(story: Explanation) -> dict[str, object]:
    """For JSON. Keys stay as they are; what was not reached is None or an empty list."""
    upstream, server = story.upstream, story.server
    return {
        "request": {"method": story.method, "url": f"{story.url.scheme}://{story.url.authority}{story.url.target}"},
        "host": story.host,
        "path": story.path,
        "server": {"host": server.host, "why": story.server_why, "regex": server.regex} if server else None,
        "certificate": _certificate_json(story.certificate),
        "location": _location_json(story.location, story.location_why),
        "answer": {
            "status": story.status,
            "why": story.why,
            "redirect_to": story.redirect_to or None,
            "rewritten": story.rewritten.uri if story.rewritten else None,
        },
        "upstream": {
            "id": upstream.id,
            "namespace": upstream.service.namespace,
            "service": upstream.service.name,
            "port": upstream.dns_port,
            "external": upstream.external,
        }
        if upstream
        else None,
        "endpoints": None if story.endpoints is None else list(story.endpoints),
        "certain": not story.undecided,
        "undecided": [_location_json(*loser) for loser in story.undecided],
        "others": [_location_json(*loser) for loser in story.losers],
        "notes": list(story.notes),
        "diagnostics": [diagnostic_json(finding) for finding in story.diagnostics],
    }


def _lines(story: Explanation) -> Iterator[Line]:
    yield Line("request", f"{story.method} {story.url.scheme}://{story.url.authority}{story.url.target}")
    if story.certificate:
        yield _certificate_line(story.certificate)
    if story.server:
        name = story.server.host or "the catch-all"
        yield Line("host", f"{name} ({story.server_why})" if story.server.host else story.server_why)
        yield Line("path", story.path)
    if story.location:
        yield Line("location", f"{location_text(story.location)} ({story.location_why})")
    if story.rewritten:
        yield Line("rewritten to", story.rewritten.uri)
    yield from _answer_lines(story)
    yield from _loser_lines("undecided", story.undecided, "warning")
    yield from _loser_lines("others", story.losers, "dim")
    for note in story.notes:
        yield Line("note", note)
    for finding in story.diagnostics:
        yield Line("finding", str(finding), "bad" if finding.severity == "error" else "warning")


def _answer_lines(story: Explanation) -> Iterator[Line]:
    if story.upstream:
        service = story.upstream.service
        outside = ", outside the cluster" if story.upstream.external else ""
        yield Line(
            "backend", f"{service}, port {story.upstream.dns_port} (upstream {story.upstream.id}{outside})", "good"
        )
    if story.endpoints:
        yield from (Line("" if n else "endpoints", text) for n, text in enumerate(story.endpoints))
    if story.status is not None:
        arrow = f" to {story.redirect_to}" if story.redirect_to else ""
        yield Line("answer", f"{story.status}{arrow}: {story.why}", "bad" if story.status >= 400 else "good")
    elif story.why:
        yield Line("answer", f"none: {story.why}", "bad")


def _loser_lines(label: str, losers: Iterable[Loser], tone: Tone) -> Iterator[Line]:
    for number, loser in enumerate(losers):
        yield Line("" if number else label, f"{location_text(loser.location)}: {loser.why}", tone)


def _certificate_line(choice: CertificateChoice) -> Line:
    certificate = choice.certificate
    if certificate is None:
        return Line("certificate", f"self-signed ({choice.why})", "warning")
    source = f"{certificate.secret}" if certificate.secret else certificate.id
    doubt = "" if choice.covers else "; it does not cover this name"
    text = f"{source}, until {expiry_of(certificate)} ({choice.why}{doubt})"
    return Line("certificate", text, "" if choice.covers else "warning")


def location_text(location: Location) -> str:
    """`Prefix /cart of Ingress shop/web spec.rules[0].http.paths[1]`."""
    path = f"{_KINDS[location.match.kind]} {location.match.path}"
    if location.origin is None:
        return f"{path} (built in)"
    return f"{path} of {location.origin.ingress} {location.origin.field}"


def _location_json(location: Location | None, why: str) -> dict[str, object] | None:
    if location is None:
        return None
    origin = location.origin
    return {
        "kind": str(location.match.kind),
        "path": location.match.path,
        "why": why,
        "ingress": {"namespace": origin.ingress.namespace, "name": origin.ingress.name} if origin else None,
        "field": origin.field.text if origin else None,
        "service": location.service or None,
        "port": location.port or None,
    }


def _certificate_json(choice: CertificateChoice | None) -> dict[str, object] | None:
    if choice is None:
        return None
    found = choice.certificate
    secret = found.secret if found else None
    return {
        "secret": {"namespace": secret.namespace, "name": secret.name} if secret else None,
        "self_signed": found is None,
        "names": list(found.names) if found else [],
        "not_after": found.not_after if found else None,
        "covers_name": choice.covers,
        "why": choice.why,
    }


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
