"""What a build needs to reach the package registries from here: the settings of pip and of the environment.

They go in as secrets and as arguments that docker itself keeps out of images, so no host name and no certificate of
this machine is in any image or file of the project.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_PASSED_ON = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_BUNDLE = "/run/secrets/ca-bundle"


@contextmanager
def build_arguments() -> Iterator[list[str]]:
    """Arguments for `docker build`; the files they name are there until the context is left."""
    settings = _pip_settings()
    with TemporaryDirectory(prefix="headrace-build-") as folder:
        arguments = ["--network", "host"]
        arguments += [part for name in _PROXIES if name in os.environ for part in ("--build-arg", name)]
        bundle = settings.get("cert") or os.environ.get("SSL_CERT_FILE", "")
        passed_on = {name: value for name, value in settings.items() if name in _PASSED_ON}
        if bundle and Path(bundle).is_file():
            arguments += ["--secret", f"id=ca-bundle,src={bundle}"]
            passed_on["cert"] = _BUNDLE
        if passed_on:
            config = Path(folder) / "pip.conf"
            config.write_text("\n".join(["[global]", *(f"{name} = {value}" for name, value in passed_on.items()), ""]))
            arguments += ["--secret", f"id=pip-config,src={config}"]
        yield arguments


def _pip_settings() -> Mapping[str, str]:
    """As `pip config list` tells them: files first, then the environment, which wins."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    lines = re.findall(r"^(\S+?)\.([a-z-]+)='(.*)'$", told, re.MULTILINE)
    return {name: value for section, name, value in sorted(lines, key=lambda line: line[0] == ":env:")}
