"""What families of annotations ask for, one module per family: typed values, never text for nginx.

A feature lands on each location of its Ingress (`LocationFeature`) or on the whole host (`ServerFeature`, where the
oldest Ingress of the host that brings a feature of that type wins). `controller.render.families` has one renderer for
each type. Equal features are equal values, so a host whose features did not change is not rendered again.
"""

from __future__ import annotations

from typing import ClassVar


class LocationFeature:
    """Base of what a location does besides choosing a backend."""

    __slots__ = ()
    for_default_backend: ClassVar[bool] = True
    """Whether it also counts where an Ingress without rules is the default backend of the catch-all."""


class ServerFeature:
    """Base of what a host does as a whole."""

    __slots__ = ()


Feature = LocationFeature | ServerFeature
