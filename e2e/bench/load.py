"""One load on one port: what wrk and h2load count, as values.

Both are asked for what they say and checked: a load with failed requests is no measurement and raises.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client"}
"""Debian's package of each program."""
LOAD_CPU = "0"
"""The processor of load and backend; the proxy has the other ones."""
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Unmeasurable(Exception):
    """This machine lacks something, or a load did not do what it should; the message is for people."""


@dataclass(frozen=True)
class Load:
    """How to load: `scheme` http, https or grpc; `hosts` are asked in turns; `new` opens a connection per request."""

    scheme: str
    path: str = "/"
    hosts: tuple[str, ...] = ("localhost",)
    connections: int = 32
    new: bool = False


@dataclass(frozen=True)
class Outcome:
    """`rate` in requests/s, `p50` and `p99` in seconds, `requests` in all."""

    rate: float
    p50: float
    p99: float
    requests: int


def prepare() -> None:
    """The programs are there afterwards; raises Unmeasurable, which says what to install, where that cannot be."""
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if not missing:
        return
    install = ["apt-get", "install", "-y", "-qq", *missing]
    if shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True)
        subprocess.run(install, check=False, capture_output=True)
    if any(not shutil.which(program) for program in PACKAGES):
        raise Unmeasurable(f"the benchmark needs {' and '.join(missing)}; as root: {' '.join(install)}")


def put(load: Load, port: int, seconds: float, scratch: Path) -> Outcome:
    """Load the port for `seconds`; raises Unmeasurable where an answer was no success."""
    return (_h2load if load.scheme == "grpc" else _wrk)(load, port, seconds, scratch)


def _wrk(load: Load, port: int, seconds: float, scratch: Path) -> Outcome:
    """The first host has to be a name that the machine knows: wrk resolves it, and sends it as SNI."""
    script = scratch / "load.lua"
    script.write_text(_script(load, port))
    url = f"{load.scheme}://{load.hosts[0]}:{port}{load.path}"
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{max(round(seconds), 1)}s", "--latency", f"-s{script}", url]
    said = _run(command)
    if "Non-2xx" in said or "Socket errors" in said:
        raise Unmeasurable(f"{url}: {said}")
    quantiles = {percent: _seconds(value) for percent, value in re.findall(r"^\s+(\d\d)%\s+(\S+)$", said, re.M)}
    count = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if not (count and rate and "50" in quantiles):
        raise Unmeasurable(said)
    return Outcome(float(rate[1]), quantiles["50"], quantiles["99"], int(count[1]))


def _script(load: Load, port: int) -> str:
    """Requests are made once, before the load."""
    connection = "close" if load.new else "keep-alive"
    lines = "\\r\\n".join((f"GET {load.path} HTTP/1.1", "Host: %s", f"Connection: {connection}", "", ""))
    names = ", ".join(f'"{host}"' for host in load.hosts)
    return f"""
function setup(thread) thread.addr = wrk.lookup("127.0.0.1", "{port}")[1] end
local made, turn = {{}}, 0
for i, host in ipairs({{ {names} }}) do made[i] = string.format("{lines}", host) end
request = function()
  turn = turn % #made + 1
  return made[turn]
end
"""


def _h2load(load: Load, port: int, seconds: float, scratch: Path) -> Outcome:
    log = scratch / "h2load.log"
    log.unlink(missing_ok=True)
    url = f"https://{load.hosts[0]}:{port}{load.path}"
    options = ["-t1", f"-c{min(load.connections, 8)}", "-m16", f"-D{max(round(seconds), 1)}", f"--log-file={log}"]
    headers = ["-H", "content-type: application/grpc", "-H", "te: trailers", "-d", str(_message(scratch))]
    said = _run(["h2load", *options, *headers, f"--connect-to=127.0.0.1:{port}", url])
    rate = re.search(r"([\d.]+) req/s", said)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", said)
    if not (rate and counts) or counts[2] != "0" or int(counts[1]) < 1:
        raise Unmeasurable(f"{url}: {said}")
    times = sorted(int(line.split("\t")[2]) / 1e6 for line in log.read_text().splitlines())
    return Outcome(float(rate[1]), times[len(times) // 2], times[len(times) * 99 // 100], int(counts[1]))


def _message(scratch: Path) -> Path:
    """One message of gRPC: not compressed, no bytes (its wire protocol, "Length-Prefixed-Message")."""
    body = scratch / "message"
    body.write_bytes(bytes(5))
    return body


def _run(command: list[str]) -> str:
    done = subprocess.run(["taskset", "-c", LOAD_CPU, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unmeasurable(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def _seconds(text: str) -> float:
    number = re.match(r"([\d.]+)(us|ms|s|m)$", text)
    if not number:
        raise Unmeasurable(f"no time: {text}")
    return float(number[1]) * _SECONDS[number[2]]
