"""Bars as SVG: one row for each figure, its ratio to bare nginx, and a line where the goal is.

Text is set in the reader's font, colours work on a light and on a dark page, and the same figures give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from e2e.bench.figures import Figure

_ROW, _TOP, _LABEL, _BAR, _TAIL = 26, 56, 500, 380, 130
_COLOURS = {"met": "#2e8b57", "missed": "#c8553d", "no goal": "#5b7fa6"}
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}.title{font-size:15px;font-weight:600}.quiet{fill:#666}"
    "line{stroke:#222}.paper{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.quiet{fill:#999}line{stroke:#ddd}.paper{fill:#161b22}}"
)


def ratios(title: str, figures: Sequence[Figure]) -> str:
    """A plot of the figures that have something bare to stand beside; empty where none has."""
    rows = [(figure, figure.ratio) for figure in figures if figure.ratio is not None]
    if not rows:
        return ""
    scale = _BAR / max(1.25, *(ratio for _, ratio in rows))
    body = "".join(_row(number, figure, ratio, scale) for number, (figure, ratio) in enumerate(rows))
    height = _TOP + _ROW * len(rows) + 12
    one = _LABEL + scale
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LABEL + _BAR + _TAIL} {height}" role="img">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f'<rect class="paper" width="100%" height="100%"/><text class="title" x="12" y="24">{escape(title)}</text>'
        f'<text class="quiet" x="{one:.1f}" y="44" text-anchor="middle">bare nginx = 1</text>{body}'
        f'<line x1="{one:.1f}" x2="{one:.1f}" y1="{_TOP - 6}" y2="{height - 12}" stroke-dasharray="3 3"/></svg>\n'
    )


def _row(number: int, figure: Figure, ratio: float, scale: float) -> str:
    top = _TOP + _ROW * number
    name = f"{figure.name}, {figure.hosts:,} hosts" if figure.hosts > 1 else figure.name
    goal, end = "", ratio
    if figure.goal is not None and figure.judges == "ratio":
        place, end = _LABEL + figure.goal * scale, max(ratio, figure.goal)
        goal = f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{top}" y2="{top + 18}" stroke-width="2"/>'
    bar = f'x="{_LABEL}" y="{top}" width="{ratio * scale:.1f}" height="18" rx="2" fill="{_COLOURS[figure.verdict]}"'
    return (
        f'<text x="{_LABEL - 10}" y="{top + 14}" text-anchor="end">{escape(name)}</text>'
        f"<rect {bar}/>"
        f'{goal}<text x="{_LABEL + end * scale + 8:.1f}" y="{top + 14}">{ratio:.2f} {_verdict(figure)}</text>'
    )


def _verdict(figure: Figure) -> str:
    return "" if figure.verdict == "no goal" else figure.verdict
