"""One renderer for each type of feature: a typed value in, the lines of a `Part` out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from controller.model.features import Feature
from controller.model.features.proxying import ConnectionHeader, ForwardedPrefix, HostHeader, Proxying
from controller.render.families import proxying
from controller.render.part import Context, Part, merged

RENDERERS: dict[type[Feature], Callable[[Any, Context], Part]] = {
    Proxying: proxying.render,
    HostHeader: proxying.host_header,
    ConnectionHeader: proxying.connection_header,
    ForwardedPrefix: proxying.forwarded_prefix,
}
"""The order of the lines in a location is that of the features, which is that of `registry.FAMILIES`."""


def render_features(features: Iterable[Feature], context: Context) -> Part:
    """All features of one location or server as one part. Raises `KeyError` for a type without a renderer: a bug."""
    return merged(RENDERERS[type(feature)](feature, context) for feature in features)
