"""`headrace run`: the controller and its nginx."""

from __future__ import annotations

import argparse
import asyncio
import logging

from controller.app import serve
from controller.cli.flags import ignored_flags, settings_of
from controller.observe import logs

logger = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 after a drain that was asked for, 1 where it could not start or go on."""
    settings = settings_of(args)
    logs.setup(args.log_format, logs.level_of(settings.verbosity))
    for flag in ignored_flags(args):
        logger.warning("flag without effect", extra={"flag": flag})
    return asyncio.run(serve(settings))
