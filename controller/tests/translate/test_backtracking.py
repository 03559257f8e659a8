"""Regular expressions that can take very long, and those of everyday life, which must not be taken for one."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from controller.translate.backtracking import check_backtracking

SLOW = (
    r"/(a+)+b", r"/(?i)(a+)+$", r"/(?=(a+)+b)", r"/(?!(x+)+y)z", r"/(?#x)(a+)+b", r"/(?|a+|a+)+b", r"/(?^:(a+)+b)",
    r"/(?P<n>a+)+b$", r"/(a{1,20}){1,20}b", r"/((a{0,15}){0,15}){0,15}b", r"/(a+){20}b", r"/(a|aa){20}b", r"/(?R)?a",
    r"/(a(?1)?)+b", r"/(?(1)a|b)", r"/(?-1)a", r"/a*a*a*a*a*a*a*a*a*a*b$", r"/\w+\w+\w+\w+\w+\w+\w+\w+!$",
    r"/[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*[a-z]*X$", "/" + "a?" * 26 + "a" * 26 + "$", r"/(.*.*.*.*.*.*.*.*x)",
)  # fmt: skip
QUICK = (
    r"/api(/|$)(.*)", r"/v[0-9]+/(.*)", r"/([a-f0-9]{8}-){3}x", r"/(\d{5})+$", r"/([0-9]{1,3}\.){3}[0-9]{1,3}$",
    r"/(?i)foo",
    r"/(?!admin).*", r"/(?:en|de|fr)/?(.*)", r"/[a-z]+/[a-z]+/[a-z]+/[a-z]+/[a-z]+/[a-z]+/[a-z]+/[a-z]+$",
    r"/shop(/[^/]+)*/?$",
    r"/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", r"/(.*)/(.*)\.(jpg|png)$",
    r"/([a-z0-9-]+\.)*js$",
    r"/\d{4}-\d{2}-\d{2}(T\d{2}:\d{2})?$", r"/(?<!x)y", r"/a{2};x", r"/([0-9a-f]{2}){16}$", r"/(a-?){0,3}b",
    r"/(https?://)?x",
    r"/([a-z]{2}(-[A-Z]{2})?)/?$", r"/([^/]+)/([^/]+)/?(.*)", r"/a*a*a*a*a*a*a*a*",
)  # fmt: skip


@pytest.mark.parametrize("pattern", SLOW)
def test_slow(pattern: str) -> None:
    with pytest.raises(ValueError, match="very long"):
        check_backtracking(pattern)


@pytest.mark.parametrize("pattern", QUICK)
def test_quick(pattern: str) -> None:
    check_backtracking(pattern)


@pytest.mark.parametrize("part", ["a*", "a?", "[ab]?b?", "(a|b)?", "a", "a{1,9}", "(?=a)", "(?i)", "(?i)a*", ".*/"])
def test_the_longest_is_decided_on_at_once(part: str) -> None:
    pattern = "/" + part * (3900 // len(part))
    begun = time.process_time()
    with suppress(ValueError):
        check_backtracking(pattern)
    assert time.process_time() - begun < 0.5
