"""What `headrace migrate report` says of all of them: hardly any work, and soon said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

APPS = Path(__file__).parent / "apps"


def test_nearly_all_carry_over() -> None:
    command = [sys.executable, "-m", "controller", "migrate", "report", str(APPS), "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, "one of them misses the authority of its clients"
    report = json.loads(done.stdout)
    fates = {f"{each['namespace']}/{each['name']}": each["fate"] for each in report["ingresses"]}
    assert len(fates) >= 60
    needs_work = {name for name, fate in fates.items() if fate not in ("carried-over", "differs", "without-effect")}
    assert needs_work == {"api/partner", "legacy/old"}, "the latter has an API version that clusters dropped"
    assert fates["api/partner"] == "closes"
