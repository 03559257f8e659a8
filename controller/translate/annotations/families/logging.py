"""Annotations about logs, but for `enable-access-log`, which every location has."""

from __future__ import annotations

from collections.abc import Iterable

from controller.model.features import LocationFeature
from controller.model.features.logging import RewriteLog
from controller.translate.annotations import values
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.reader import Reader

REWRITE_LOG = Annotation("enable-rewrite-log", values.boolean)
ANNOTATIONS = (REWRITE_LOG,)


def read(reader: Reader) -> Iterable[LocationFeature]:
    if reader.value(REWRITE_LOG, False):
        yield RewriteLog()
