"""What a person or a log collector sees of a record."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from controller.model.refs import Kind, ObjectKey
from controller.model.secretbytes import SecretBytes
from controller.observe.logs import TextFormatter, level_of, setup

logger = logging.getLogger("controller.somewhere")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def unchanged_logging() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("controller")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    logging.captureWarnings(False)


def test_json_line_has_fields_and_object() -> None:
    out = io.StringIO()
    setup("auto", logging.INFO, out)
    key = ObjectKey(Kind.INGRESS, "shop", "web")
    logger.warning("host taken", extra={"object": key, "owner": ObjectKey(Kind.SECRET, "a", "b"), "hosts": ("x", "y")})
    line = json.loads(out.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "controller.somewhere",
        "message": "host taken",
        "kind": "Ingress",
        "namespace": "shop",
        "name": "web",
        "owner_kind": "Secret",
        "owner_namespace": "a",
        "owner_name": "b",
        "hosts": ["x", "y"],
    }


@pytest.mark.parametrize("format", ["json", "text"])
def test_secrets_are_never_printed(format: str) -> None:
    out = io.StringIO()
    setup("json" if format == "json" else "text", logging.INFO, out)
    secret = SecretBytes(b"hunter2")
    fields = {"key": secret, "nested": {"a": [secret, b"hunter2", bytearray(b"hunter2")]}, "raw": b"hunter2"}
    logger.error("pair %s refused", secret, extra=fields)
    assert "hunter2" not in out.getvalue()
    assert "redacted" in out.getvalue()


@pytest.mark.parametrize("format", ["json", "text"])
def test_one_record_is_one_line_whatever_it_holds(format: str) -> None:
    out = io.StringIO()
    setup("json" if format == "json" else "text", logging.INFO, out)
    logger.info("a\nb\x1b[31m %s", "c\r\u2028d\udc80", extra={"path": '/x"\ny\x1b]0;'})
    text = out.getvalue()
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text


def test_traceback_is_a_field() -> None:
    out = io.StringIO()
    setup("json", logging.INFO, out)
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("build failed")
    line = json.loads(out.getvalue())
    assert line["error"] == "ValueError: broken"
    assert "test_logs.py" in line["traceback"]


def test_text_is_readable_and_coloured_on_a_terminal_only() -> None:
    screen, pipe = Terminal(), io.StringIO()
    setup("auto", logging.INFO, screen)
    logger.info("applied", extra={"generation": 7, "reason": "host added", "ok": True})
    assert "\x1b[32mINFO" in screen.getvalue()
    setup("text", logging.INFO, pipe)
    logger.info("applied", extra={"generation": 7, "reason": "host added", "ok": True})
    assert pipe.getvalue().endswith('INFO    somewhere  applied  generation=7 reason="host added" ok=true\n')


def test_levels_follow_klog() -> None:
    levels = [logging.WARNING, logging.INFO, logging.INFO, logging.INFO, logging.DEBUG, logging.DEBUG]
    assert [level_of(v) for v in range(6)] == levels


def test_other_packages_never_reach_debug() -> None:
    out = io.StringIO()
    setup("json", logging.DEBUG, out)
    logging.getLogger("kubernetes.client.rest").debug("response body: %s", "secret of the cluster")
    logger.debug("why")
    assert "secret of the cluster" not in out.getvalue()
    assert json.loads(out.getvalue())["message"] == "why"


def test_setup_twice_prints_once() -> None:
    out = io.StringIO()
    setup("json", logging.INFO, out)
    setup("json", logging.INFO, out)
    logger.info("once")
    assert len(out.getvalue().splitlines()) == 1


def test_values_json_does_not_know() -> None:
    record = logging.makeLogRecord(
        {"msg": "x", "levelname": "INFO", "name": "controller.a", "v": float("nan"), "s": {2, 1}}
    )
    assert TextFormatter().format(record).endswith('x  v=nan s=["1","2"]')
