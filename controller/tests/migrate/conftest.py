"""The fixtures of the live tests, for those tests here that ask running controllers."""

from __future__ import annotations

from controller.tests.live.conftest import backends, run

__all__ = ["backends", "run"]
