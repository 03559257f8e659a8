"""What tests of cookies and of balancing share: pods on addresses of their own, cookies taken apart, many requests."""

from __future__ import annotations

import http.client
import json
import math
from collections import Counter
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from controller.tests.live.backends import Backend, Backends
from controller.tests.live.headrace import Answer, Headrace
from controller.tests.live.objects import Object, ingress
from controller.tests.ports import free_port

PREFIX = "Prefix"


class Cookie(NamedTuple):
    """One Set-Cookie; names of attributes are in lower case, flags have an empty value."""

    name: str
    value: str
    attributes: dict[str, str]

    @property
    def sent(self) -> dict[str, str]:
        """The header with which a browser sends it back."""
        return {"Cookie": f"{self.name}={self.value}"}

    @property
    def lasts(self) -> float:
        """Expires, in seconds since the epoch. Browsers take the hyphens of RFC 850."""
        return parsedate_to_datetime(self.attributes["expires"].replace("-", " ")).timestamp()


def cookie_of(answer: Answer) -> Cookie | None:
    text = answer.headers.get("set-cookie")
    if text is None:
        return None
    pair, *rest = (part.strip() for part in text.split(";"))
    name, _, value = pair.partition("=")
    parts = (part.partition("=") for part in rest)
    return Cookie(name, value, {key.lower(): value for key, _, value in parts})


def given(answer: Answer) -> Cookie:
    found = cookie_of(answer)
    assert found is not None, f"no cookie: {answer.headers}"
    return found


def pods(backends: Backends, name: str, *numbers: int) -> tuple[Backend, ...]:
    """`name1` at 127.0.0.1 and so on, all on one port, as pods of one Service have."""
    port = free_port()
    return tuple(backends.start(f"{name}{number}", f"127.0.0.{number}", port) for number in numbers)


def route(name: str, service: str, *, path: str = "/", kind: str = PREFIX, **annotations: str) -> Object:
    """An Ingress of that name for the host `<name>.test`; write `canary_weight="5"` for the annotation."""
    written = {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(name, (f"{name}.test", path, kind, service), annotations=written)


def canary(name: str, service: str, *, of: str, path: str = "/", kind: str = PREFIX, **annotations: str) -> Object:
    """A canary for the requests of `route(of)`."""
    written = {"canary": "true"} | {key.replace("_", "-"): value for key, value in annotations.items()}
    return ingress(name, (f"{of}.test", path, kind, service), annotations=written)


def findings(headrace: Headrace, name: str) -> list[dict[str, Any]]:
    """What is told about the Ingress of that name."""
    report = json.loads(headrace.ask_health("/debug/diagnostics").body)["diagnostics"]
    return [finding for finding in report if finding["object"].get("name") == name]


def codes(headrace: Headrace, name: str) -> list[str]:
    return sorted(str(finding["code"]) for finding in findings(headrace, name))


def tally(
    headrace: Headrace, host: str, times: int, path: str = "/", headers: Callable[[int], dict[str, str]] = lambda _: {}
) -> Counter[str]:
    """Which backend answers how often, over one connection; `503` and the like where none does."""
    connection = http.client.HTTPConnection("127.0.0.1", headrace.http, timeout=10)
    found: Counter[str] = Counter()
    try:
        for number in range(times):
            connection.request("GET", path.replace("N", str(number)), headers={"Host": host, **headers(number)})
            answer = connection.getresponse()
            body = answer.read()
            found[json.loads(body)["backend"] if body.startswith(b"{") else str(answer.status)] += 1
    finally:
        connection.close()
    return found


def likely(successes: int, trials: int, share: float, doubt: float = 1e-7) -> bool:
    """Whether a fair draw with that share gives as few or as many successes more often than `doubt`; exact."""
    chances = [math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(trials + 1)]
    return min(sum(chances[: successes + 1]), sum(chances[successes:])) > doubt
