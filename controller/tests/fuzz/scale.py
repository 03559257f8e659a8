"""How much the fuzz tests do: `--hypothesis-profile=fuzz` is the long run (`make fuzz`), else a fortieth of it."""

from __future__ import annotations

from hypothesis import settings

FULL = settings.get_current_profile_name() == "fuzz"
CONFIGURATIONS = 20_000 if FULL else 500
SAMPLE = 200 if FULL else 20
"""Configurations that the real nginx tests."""

SHARDS = 8 if FULL else 2
SECONDS = 60.0 if FULL else 4.0
"""How long the data plane is fuzzed."""
