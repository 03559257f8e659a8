"""What the families of annotations do to a request, as far as it can be said before it is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import MISSING, fields

from controller.model.configuration import Location, Server
from controller.model.features import Feature
from controller.model.features.balancing import Canary, Stickiness
from controller.model.features.redirects import AppRoot, Redirect


def root_redirect(server: Server, host: str, scheme: str, path: bytes, args: str) -> str | None:
    """Where `app-root` sends a request for the root of the host."""
    root = next((feature for feature in server.features if isinstance(feature, AppRoot)), None)
    if root is None or path != b"/":
        return None
    query = f"?{args}" if root.with_query and args else ""
    return f"{scheme}://{host}{root.path}{query}"


def redirect_of(location: Location) -> Redirect | None:
    """The redirect that answers everything of this location."""
    return next((feature for feature in location.policy.features if isinstance(feature, Redirect)), None)


def notes(features: Iterable[Feature]) -> Iterable[str]:
    """One line for each feature: its name, and what in it is not as usual."""
    for feature in features:
        if isinstance(feature, Canary):
            yield _canary(feature)
        elif isinstance(feature, Stickiness):
            yield f"clients stay at their pods by the cookie {feature.cookie}"
        elif not isinstance(feature, AppRoot | Redirect):
            name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(feature).__name__).lower()
            told = ", ".join(f"{key.replace('_', ' ')} {_shown(value)}" for key, value in _unusual(feature))
            yield f"{name}: {told}" if told else name


def _canary(feature: Canary) -> str:
    """Who gets the canary, in the order in which that is decided."""
    rules = feature.rules
    said = rules.header_value or rules.header_pattern or "always"
    ways = [f"clients whose cookie {feature.binding} says so"] if feature.binding else []
    ways += [f"the header {rules.header}: {said}"] if rules.header else []
    ways += [f"the cookie {rules.cookie}=always"] if rules.cookie else []
    ways += [f"{rules.weight} of {rules.total} requests"] if rules.weight else []
    whose = f"the canary {feature.namespace}/{feature.ingress} (Service {feature.service}, port {feature.port})"
    return f"{whose} gets {', '.join(ways) or 'no requests'}"


def _unusual(feature: Feature) -> Iterable[tuple[str, object]]:
    for field in fields(feature):  # type: ignore[arg-type]
        value = getattr(feature, field.name)
        if field.default is MISSING or value != field.default:
            yield field.name, value


def _shown(value: object) -> str:
    if isinstance(value, tuple | frozenset):
        return " ".join(_shown(item) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
