"""Label selectors as `kubectl -l` takes them."""

from __future__ import annotations

import pytest

from controller.translate.labels import LabelSelector

LABELS = {"team": "shop", "env": "prod", "example.com/tier": "1"}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("team=shop", True),
        ("team==shop", True),
        ("team=blog", False),
        ("team!=blog", True),
        ("absent!=x", True),
        ("team in (blog, shop)", True),
        ("team notin (blog, shop)", False),
        ("absent notin (x)", True),
        ("env", True),
        ("!env", False),
        ("!absent", True),
        ("team=shop,env=prod", True),
        ("team=shop, env=dev", False),
        ("example.com/tier=1", True),
    ],
)
def test_a_selector_takes_what_kubectl_takes(selector: str, matches: bool) -> None:
    assert LabelSelector.parse(selector).matches(LABELS) is matches


@pytest.mark.parametrize("text", ["team=", "=x", "team in shop", "a b", "!", "a,,b"])
def test_what_is_no_selector_is_refused_or_asks_for_an_empty_value(text: str) -> None:
    if text == "team=":
        assert not LabelSelector.parse(text).matches(LABELS)
        return
    with pytest.raises(ValueError, match="not a label selector"):
        LabelSelector.parse(text)
