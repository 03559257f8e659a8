"""One formatter for everything we log: JSON lines for collectors, short coloured lines for people.

Fields come from `extra={...}`; an `object` that is an `ObjectKey` becomes `kind`, `namespace` and `name` (which `extra`
itself cannot carry: `name` belongs to the logger). Guarantees: one record is one line, whatever text it holds; bytes
are never printed, secret or not; loggers of other packages never reach DEBUG, where the Kubernetes client prints the
bodies of answers, Secrets included.

Only the standard library is imported, because every command pays for it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from controller.model.refs import ObjectKey

Format = Literal["auto", "json", "text"]

OURS = "controller"
"""The logger above all of ours."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LEVELS = {"CRITICAL": "critical", "ERROR": "error", "WARNING": "warning", "INFO": "info", "DEBUG": "debug"}
_COLOURS = {"CRITICAL": "1;31", "ERROR": "31", "WARNING": "33", "INFO": "32", "DEBUG": "2"}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN = re.compile(r"[^\s\"'=\\{}\[\]]+")


def setup(format: Format = "auto", level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send all logs of the process to `stream` (stdout), in one format. May be called again.

    `auto` is `text` on a terminal and `json` elsewhere. `level` is ours; other packages speak from WARNING on, and
    from INFO on where we are at DEBUG.
    """
    target = sys.stdout if stream is None else stream
    terminal = target.isatty()
    text = terminal if format == "auto" else format == "text"
    output = logging.StreamHandler(target)
    output.setFormatter(TextFormatter(colour=terminal) if text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(logging.INFO if level <= logging.DEBUG else logging.WARNING)
    logging.getLogger(OURS).setLevel(level)
    logging.captureWarnings(True)


def level_of(verbosity: int) -> int:
    """The level for klog's `-v`: 0 warnings, 1 to 3 also what changes, from 4 on why.

    https://github.com/kubernetes/community/blob/master/contributors/devel/sig-instrumentation/logging.md
    """
    if verbosity <= 0:
        return logging.WARNING
    return logging.INFO if verbosity < 4 else logging.DEBUG


class JsonFormatter(logging.Formatter):
    """`{"time": …, "level": …, "logger": …, "message": …, fields…}`; `error` and `traceback` where one was raised."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _rfc3339(record.created),
            "level": _level_name(record),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in _fields(record):
            line.setdefault(name, _plain_value(value))
        return json.dumps(line, ensure_ascii=True, separators=(",", ":"))


class TextFormatter(logging.Formatter):
    """`12:00:00.123 WARNING reconcile  message  field=value …`, with the traceback on lines of its own."""

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        where = record.name.removeprefix(f"{OURS}.")
        fields = dict(_fields(record))
        trace = str(fields.pop("traceback", ""))
        shown = " ".join(f"{name}={_word(value)}" for name, value in fields.items())
        level = self._paint(_COLOURS.get(record.levelname, ""), f"{record.levelname:<7}")
        line = f"{self._paint('2', clock)} {level} {self._paint('2', where)}  {_one_line(record.getMessage())}"
        line += f"  {self._paint('36', shown)}" if shown else ""
        return f"{line}\n{_printable(trace)}" if trace else line

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code else text


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    for name, value in vars(record).items():
        if name in _STANDARD:
            continue
        if isinstance(value, ObjectKey):
            yield from _object_fields("" if name == "object" else f"{name}_", value)
        else:
            yield name, value
    if record.exc_info and record.exc_info[1] is not None:
        fault = record.exc_info[1]
        yield "error", f"{type(fault).__name__}: {fault}"
        yield "traceback", "".join(traceback.format_exception(fault)).rstrip()


def _object_fields(prefix: str, key: ObjectKey) -> Iterator[tuple[str, object]]:
    yield f"{prefix}kind", str(key.kind)
    if key.namespace:
        yield f"{prefix}namespace", key.namespace
    yield f"{prefix}name", key.name


def _plain_value(value: Any) -> object:
    """As JSON knows it. What is neither a number, text nor a collection is shown by `str`, which redacts secrets."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return round(value, 6) if value - value == 0 else str(value)
        case str():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case ObjectKey():
            return str(value)
        case Mapping():
            return {str(name): _plain_value(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain_value(item) for item in value]
        case set() | frozenset():
            return sorted(str(_plain_value(item)) for item in value)
        case _:
            return str(value)


def _word(value: object) -> str:
    plain = _plain_value(value)
    if isinstance(plain, str):
        return plain if _PLAIN.fullmatch(plain) and plain.isprintable() else json.dumps(plain)
    return json.dumps(plain, separators=(",", ":"))


def _one_line(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _printable(trace: str) -> str:
    return "\n".join(_one_line(line) for line in trace.split("\n"))


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level_name(record: logging.LogRecord) -> str:
    return _LEVELS.get(record.levelname, record.levelname.lower())
