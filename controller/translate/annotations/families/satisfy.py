"""`satisfy`: whether one of access list, password and authentication service is enough."""

from __future__ import annotations

import re
from collections.abc import Iterable

from controller.model.features import LocationFeature
from controller.model.features.authentication import Satisfy
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar

SATISFY = Annotation("satisfy", Grammar(re.compile("any|all"), "any or all", str))
ANNOTATIONS = (SATISFY,)


def read(reader: Reader) -> Iterable[LocationFeature]:
    """Anything else counts as all, which lets nobody in who would not get in otherwise."""
    wanted = reader.value(SATISFY, "")
    if wanted:
        yield Satisfy(any=wanted == "any")
