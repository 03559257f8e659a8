"""Ask nginx whether it would take a configuration, and read its first complaint.

`nginx -t` does not disturb a running master: it skips addresses that are in use. Relative `include`s are looked
up beside the file that `-c` names, so a generation can be tested before it is in force.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from controller.dataplane.narrow import SOME_ENTRY, narrowed
from controller.dataplane.result import Refusal
from controller.model.errors import NginxRefused

_ERROR = re.compile(r"\[(?:emerg|alert|crit)\] (?:\d+#\d+: )?(.*)")
_PLACE = re.compile(r"^(.*) in (/.+?):(\d+)$")
_QUOTED_PATH = re.compile(r'"(/[^"]+)"')


def read_refusal(stderr: str, generation: Path) -> Refusal:
    """The first error in what nginx said; if there is none, its last line.

    Most errors end in ` in FILE:LINE`. Those about certificates, CRLs and log files name only that file; a hash
    that is too small for its names says nothing of the kind.
    """
    found = _ERROR.search(stderr)
    lines = stderr.strip().splitlines() or ["nginx said nothing"]
    message = found.group(1).strip() if found else lines[-1]
    place = _PLACE.match(message)
    if place:
        text, file, line = place.groups()
        path = Path(file)
        inside = path.relative_to(generation).as_posix() if path.is_relative_to(generation) else file
        return Refusal(text, inside, int(line))
    named = _QUOTED_PATH.search(message)
    return Refusal(describe_start(message), named_path=named.group(1) if named else "")


def describe_start(message: str) -> str:
    """Add the way out to nginx's own words about an address it cannot listen on.

    >>> describe_start("bind() to 0.0.0.0:80 failed (98: Address in use)")
    'bind() to 0.0.0.0:80 failed (98: Address in use): another process listens there; end it or choose another port'
    """
    if message.startswith("bind() to ") and "(98:" in message:
        return f"{message}: another process listens there; end it or choose another port"
    if message.startswith("bind() to ") and "(13:" in message:
        return f"{message}: ports below 1024 need the capability NET_BIND_SERVICE"
    return message


@contextmanager
def some_servers_only(generation: Path, texts: Mapping[str, str], servers: Sequence[str]) -> Iterator[str]:
    """The name of an entry file beside nginx.conf for a test of these servers, there for as long as it is needed.

    Raises `NginxRefused` where the texts are not as we write them, OSError where the disk fails.
    """
    try:
        files = narrowed(texts, servers)
    except ValueError as fault:
        raise NginxRefused(str(fault)) from fault
    try:
        for name, text in files.items():
            (generation / name).write_text(text)
        yield SOME_ENTRY
    finally:
        for name in files:
            (generation / name).unlink(missing_ok=True)


async def check(
    binary: str, prefix: str, generation: Path, deadline: float = 60.0, entry: str = "nginx.conf"
) -> Refusal | None:
    """Test the file `entry` of a generation; None when nginx takes it. `deadline` in seconds.

    Standard output is inherited, since the configuration may name /dev/stdout. Raises `NginxRefused` when nginx cannot
    be run or does not come to an end.
    """
    argv = (binary, "-p", prefix, "-e", "stderr", "-q", "-t", "-c", str(generation / entry))
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except OSError as fault:
        raise NginxRefused(f"cannot run {binary}: {fault}") from fault
    try:
        async with asyncio.timeout(deadline):
            _, stderr = await process.communicate()
    except TimeoutError as late:
        raise NginxRefused(f"nginx -t did not end within {deadline:g} s") from late
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return None
    return read_refusal(stderr.decode(errors="replace"), generation)
