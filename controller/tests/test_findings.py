"""Findings are logged when they come and when they go, whichever objects stand for them."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from controller.findings import FindingsLog
from controller.model.diagnostics import Diagnostic, Effect, Report, Severity
from controller.model.refs import FieldPath, Kind, ObjectKey

OWNER = ObjectKey(Kind.INGRESS, "team", "shop")
ONE = Diagnostic("path-taken", Severity.WARNING, OWNER, FieldPath("spec"), "One.", Effect.PATH_UNSERVED)
TWO = replace(ONE, message="Two.")


def test_changes_are_told_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = FindingsLog()
    assert log.tell(Report((ONE,))) == (ONE,)
    assert log.tell(Report((replace(ONE), TWO))) == (TWO,)
    assert log.tell(Report((replace(TWO),))) == ()
    assert log.tell(Report(())) == ()
    assert [record.message for record in caplog.records] == [
        "finding",
        "finding",
        "finding resolved",
        "finding resolved",
    ]
