"""Requests made from the rules of a user's own Ingresses, so that two controllers can be asked the same. Pure.

Only GET, HEAD and OPTIONS. Each host and path gives one request that fits, one below it, one that nearly fits and one
with the slash at its end the other way round; hosts give their root and a path that nobody has; annotations give what
only they answer: preflights, canaries, aliases, the sibling of a host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import quote

from controller.k8s.ingress import Ingress
from controller.migrate.samples import sample_of
from controller.model.configuration import Configuration
from controller.model.refs import ObjectKey
from controller.translate.annotations import values

NOBODY = "headrace-migrate"
"""A path segment and a label that nobody has."""

STRANGER = "https://stranger.invalid"
_SAFE = "/%:@!$&'()*+,;=~-._"

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, order=True)
class Request:
    """One request. `host` goes into Host and SNI; `why` says which rule it tries, `ingress` whose rule that is."""

    scheme: str
    host: str
    method: str
    target: str
    headers: Headers = ()
    why: str = ""
    ingress: ObjectKey | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}{self.target}"

    def __str__(self) -> str:
        sent = "".join(f" [{name}: {value}]" for name, value in self.headers)
        return f"{self.method} {self.url}{sent}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to ask. Patterns are for `host/path` of rules; an empty `include` takes all."""

    schemes: tuple[str, ...] = ("http", "https")
    hosts: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    headers: Headers = ()

    def takes(self, host: str, path: str) -> bool:
        text = f"{host}{path}"
        fits = not self.include or any(fnmatchcase(text, pattern) for pattern in self.include)
        return fits and not any(fnmatchcase(text, pattern) for pattern in self.exclude)


@dataclass(frozen=True, slots=True)
class _Part:
    """A request without scheme and host."""

    method: str
    target: str
    why: str
    headers: Headers = ()


def requests_of(
    ingresses: Mapping[ObjectKey, Ingress], configuration: Configuration, prefix: str, wanted: Wanted
) -> tuple[Request, ...]:
    """In the order of hosts and paths, none twice. `prefix` is that of annotations."""
    found: dict[tuple[object, ...], Request] = {}
    for key, ingress in sorted(ingresses.items()):
        named = {
            name.removeprefix(f"{prefix}/"): text.strip()
            for name, text in (ingress.metadata.annotations or {}).items()
            if name.startswith(f"{prefix}/")
        }
        for host, part in _of_ingress(ingress, named, configuration, wanted):
            for scheme in wanted.schemes:
                headers = (*wanted.headers, *part.headers)
                request = Request(scheme, host, part.method, part.target, headers, part.why, key)
                found.setdefault((scheme, host, part.method, part.target, headers), request)
    return tuple(sorted(found.values()))


def _of_ingress(
    ingress: Ingress, named: Mapping[str, str], configuration: Configuration, wanted: Wanted
) -> Iterator[tuple[str, _Part]]:
    for rule in ingress.spec.rules:
        paths = [(p.path or "/", p.path_type) for p in rule.http.paths] if rule.http else []
        paths = [(path, kind) for path, kind in paths if wanted.takes(rule.host or "*", path)]
        if not paths:
            continue
        server = configuration.servers.get(rule.host.lower())
        regex = server is not None and server.regex
        for host in _hosts(rule.host.lower(), named, wanted):
            for part in (*_of_host(), *(part for path in paths for part in _of_path(*path, regex, named))):
                yield host, part
    if ingress.spec.default_backend is not None and wanted.takes("*", "/"):
        for host in _hosts("", named, wanted):
            yield from ((host, part) for part in _of_host())


def _hosts(host: str, named: Mapping[str, str], wanted: Wanted) -> Iterable[str]:
    """Names to ask for one host of a rule: its own, or one it stands for; aliases and the sibling with www."""
    if not host:
        return wanted.hosts or (f"{NOBODY}.invalid",)
    if host.startswith("*."):
        fitting = tuple(name for name in wanted.hosts if name.partition(".")[2] == host[2:])
        return fitting or (f"{NOBODY}{host[1:]}",)
    aliases = [name.strip().lower() for name in named.get("server-alias", "").split(",")]
    found = [host, *(name for name in aliases if name and all(c.isalnum() or c in "-." for c in name))]
    if _is_true(named, "from-to-www-redirect"):
        found.append(host.removeprefix("www.") if host.startswith("www.") else f"www.{host}")
    return dict.fromkeys(found)


def _of_host() -> Iterator[_Part]:
    yield _Part("GET", "/", "the root of the host")
    yield _Part("HEAD", "/", "the root of the host, head only")
    yield _Part("GET", f"/{NOBODY}/no-such-path", "a path that no rule names")


def _of_path(path: str, kind: str, regex: bool, named: Mapping[str, str]) -> Iterator[_Part]:
    expression = regex and kind != "Exact"
    sample = sample_of(path) if expression else path
    if sample is None or not sample.startswith("/"):
        return  # an expression nobody can guess a path for
    target = quote(sample, safe=_SAFE)
    yield _Part("GET", target, f"{kind} {path}")
    yield _Part("GET", f"{target}?a=1&b=%20", f"{kind} {path}, with arguments")
    yield _Part("GET", f"{target.rstrip('/')}/{NOBODY}", f"below {kind} {path}")
    if target.rstrip("/"):
        turned = target.rstrip("/") if target.endswith("/") else f"{target}/"
        yield _Part("GET", turned, f"{kind} {path}, its last slash the other way round")
        yield _Part("GET", f"{target.rstrip('/')}x", f"nearly {kind} {path}")
    for source in (_of_cors, _of_canary):
        yield from source(target, named)


def _of_cors(target: str, named: Mapping[str, str]) -> Iterator[_Part]:
    if not _is_true(named, "enable-cors"):
        return
    listed = [item.strip() for item in named.get("cors-allow-origin", "*").split(",") if item.strip()]
    allowed = next((o.replace("*.", f"{NOBODY}.") for o in listed if o not in ("*", "null")), "https://example.com")
    asked = ("Access-Control-Request-Method", "POST")
    for origin, who in ((allowed, "an origin of the list"), (STRANGER, "another origin")):
        yield _Part("OPTIONS", target, f"preflight of {who}", (("Origin", origin), asked))
        yield _Part("GET", target, f"asked by a page of {who}", (("Origin", origin),))


def _of_canary(target: str, named: Mapping[str, str]) -> Iterator[_Part]:
    if not _is_true(named, "canary"):
        return
    header, cookie = named.get("canary-by-header", ""), named.get("canary-by-cookie", "")
    if header and _is_token(header):
        value = named.get("canary-by-header-value", "")
        for text in dict.fromkeys([value or "always", "never"]):
            if text.isprintable():
                yield _Part("GET", target, f"canary by header, {text}", ((header, text),))
    if cookie and _is_token(cookie):
        for text in ("always", "never"):
            yield _Part("GET", target, f"canary by cookie, {text}", (("Cookie", f"{cookie}={text}"),))


def _is_true(named: Mapping[str, str], name: str) -> bool:
    read: Callable[[str], bool] = values.boolean
    try:
        return bool(named.get(name)) and read(named[name])
    except ValueError:
        return False


def _is_token(name: str) -> bool:
    return name.isascii() and all(char.isalnum() or char in "-_." for char in name)
