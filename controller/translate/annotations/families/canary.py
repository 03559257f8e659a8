"""Annotations that make an Ingress a canary: other pods for some of the requests of another Ingress."""

from __future__ import annotations

import re

from controller.model.features.balancing import CanaryRules
from controller.translate.annotations import values
from controller.translate.annotations.annotation import Annotation
from controller.translate.annotations.families.affinity import cookie_name
from controller.translate.annotations.reader import Reader
from controller.translate.annotations.values import Grammar
from controller.translate.backtracking import check_backtracking
from controller.translate.paths import check_regex

_REGEX = r"[A-Za-z0-9 ,_.~/:^$\[\](){}*+?|&=\\-]{1,256}"


def _checked(text: str) -> str:
    check_regex(text)
    try:
        re.compile(text)
    except re.error as error:  # what else PCRE takes is little, and nginx would refuse the host for the rest
        raise ValueError(f"it is not a regular expression: {error.msg}") from error
    check_backtracking(text)
    return text


header_name = Grammar(re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}"), "a header name", str)
header_value = Grammar(re.compile(r"[A-Za-z0-9._~/:-]+"), "letters, digits and - . _ ~ / :", str)
pattern = Grammar(re.compile(_REGEX), "a regular expression of at most 256 characters", _checked)
count = Grammar(re.compile(r"\+?0*[0-9]{1,9}"), "a whole number, 0 or more", int)
total = Grammar(re.compile(r"[+-]?0*[0-9]{1,9}"), "a whole number", int)
behavior = Grammar(re.compile("sticky|legacy"), "sticky or legacy", str)

CANARY = Annotation("canary", values.boolean)
BY_HEADER = Annotation("canary-by-header", header_name)
HEADER_VALUE = Annotation("canary-by-header-value", header_value)
HEADER_PATTERN = Annotation("canary-by-header-pattern", pattern)
BY_COOKIE = Annotation("canary-by-cookie", cookie_name)
WEIGHT = Annotation("canary-weight", count)
WEIGHT_TOTAL = Annotation("canary-weight-total", total)
BEHAVIOR = Annotation("affinity-canary-behavior", behavior)

ANNOTATIONS = (CANARY, BY_HEADER, HEADER_VALUE, HEADER_PATTERN, BY_COOKIE, WEIGHT, WEIGHT_TOTAL, BEHAVIOR)
LEAST_TOTAL = 100


def of_ingress(reader: Reader) -> CanaryRules | None:
    """None for an Ingress that is no canary; the other annotations mean nothing there."""
    behaves = reader.value(BEHAVIOR, "sticky")
    if not reader.value(CANARY, False):
        return None
    header = reader.value(BY_HEADER, "")
    value, searched = reader.value(HEADER_VALUE, ""), reader.value(HEADER_PATTERN, "")
    if header and not (value or searched) and (reader.text(HEADER_VALUE) or reader.text(HEADER_PATTERN)):
        header = ""  # it must not mean always and never instead
    return CanaryRules(
        header=header,
        header_value=value if header else "",
        header_pattern=searched if header and not value else "",
        cookie=reader.value(BY_COOKIE, ""),
        weight=reader.value(WEIGHT, 0),
        total=max(reader.value(WEIGHT_TOTAL, LEAST_TOTAL), LEAST_TOTAL),
        sticky=behaves == "sticky",
    )
