"""What is logged of a location."""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.features import LocationFeature


@dataclass(frozen=True, slots=True)
class RewriteLog(LocationFeature):
    """`enable-rewrite-log`: each rewrite is told in the error log."""
