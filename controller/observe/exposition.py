"""Metric families as text, for those that grow with the cluster: requests, endpoints, certificates.

The client library takes about 10 µs for a sample, so a hundred thousand of them would stop the event loop for a
second. Here a sample is one string, made from labels that were escaped once, and the text is made in slices between
which the loop turns. All other metrics stay with the library.

Formats: https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal, NamedTuple

SLICE = 2_000
"""Lines written in one turn of the event loop: well below 5 ms."""


class Family(NamedTuple):
    """One metric. `name` as in the text format, so a counter of ours ends in `_total`; `lines` has no line ends.

    `lines` is read while the loop turns: it must not trip over changes of what it reads.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    lines: Iterable[str]

    def header(self, *, open_metrics: bool) -> str:
        name, kind = self.name, str(self.kind)
        if open_metrics and kind == "counter":
            # OpenMetrics has no counters without _total, and the names of ingress-nginx have none.
            name, kind = (name.removesuffix("_total"), kind) if name.endswith("_total") else (name, "unknown")
        elif open_metrics and name.endswith(("_info", "_count", "_sum", "_bucket", "_created", "_total")):
            kind = "unknown"
        return f"# HELP {name} {_escaped_help(self.help)}\n# TYPE {name} {kind}\n"


def labels(**values: str) -> str:
    """`a="x",b="y"`, escaped, in the order given and without braces."""
    return ",".join(f'{name}="{escaped(value)}"' for name, value in values.items())


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def sample(name: str, labelled: str, value: float) -> str:
    return f"{name}{{{labelled}}} {value}" if labelled else f"{name} {value}"


async def write(families: Iterable[Family], *, open_metrics: bool) -> bytes:
    """All families; lets the loop turn after each slice."""
    parts: list[str] = []
    for family in families:
        parts.append(family.header(open_metrics=open_metrics))
        lines = iter(family.lines)
        while piece := "\n".join(islice(lines, SLICE)):
            parts.append(piece + "\n")
            await asyncio.sleep(0)
    return "".join(parts).encode()


def bounded(
    items: Iterable[tuple[tuple[str, ...], float]], limit: int, overflow: str
) -> Iterator[tuple[tuple[str, ...], float]]:
    """The first `limit` items; the values of the rest summed up under labels that all read `overflow`."""
    rest, width, left_out = 0.0, 1, False
    for position, (values, number) in enumerate(items):
        if position < limit:
            yield values, number
        else:
            rest, width, left_out = rest + number, len(values), True
    if left_out:
        yield (overflow,) * width, rest


def _escaped_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
