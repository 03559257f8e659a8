"""Runs `headrace run --manifests` as a process for live tests, and asks it as a client would."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from controller.tests.ports import free_ports


@dataclass(frozen=True)
class Answer:
    """What a client sees. `json` is the backend's account of the request, where a backend answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def backend(self) -> str | None:
        """Which backend answered, or None where nginx did."""
        if not self.body.startswith(b"{"):
            return None
        name: str = self.json["backend"]
        return name


@dataclass
class Headrace:
    """One running controller over a directory of manifests."""

    directory: Path
    manifests: Path
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    source: tuple[str, ...] = ()
    program: tuple[str, ...] = ("-m", "controller")
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.http, self.https, self.health = free_ports(3)
        self.log = self.directory / "log.jsonl"
        self.state = self.directory / "state"

    def start(self, *, wait: bool = True) -> Headrace:
        command = [sys.executable, *self.program, "run"]
        command += self.source or ("--manifests", str(self.manifests))
        command += ["--http-port", str(self.http), "--https-port", str(self.https), "--healthz-port", str(self.health)]
        command += ["--bind-address", "127.0.0.1", "--healthz-host", "127.0.0.1"]
        command += ["--state-dir", str(self.state), *self.flags]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **self.environment}
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process and self.process.poll() is not None:
                break
            try:
                if self.ask_health("/readyz").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"not ready:\n{self.log.read_text()[-6000:]}")

    def stop(self, kill: bool = False) -> None:
        """SIGTERM and wait; `kill` is a crash, after which nginx lives on."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def __enter__(self) -> Headrace:
        try:
            return self.start()
        except BaseException:
            self.__exit__()  # nobody else will: one that did not get ready would run on for ever
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()
        end_nginx(self.state)

    # -- asking

    def get(
        self,
        url: str,
        *,
        host: str | None = None,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 10,
        source: str = "127.0.0.1",
        first: bytes = b"",
    ) -> Answer:
        """`url` is `http://name/path` or `https://name/path`; the name goes into Host and SNI, not into DNS.

        `source` is the client's own address; `first` goes ahead of everything, as a PROXY protocol line does.
        """
        scheme, _, rest = url.partition("://")
        name, slash, path = rest.partition("/")
        connection = self._connect(scheme, name, timeout, source, first)
        try:
            connection.putrequest(method, slash + path or "/", skip_host=True, skip_accept_encoding=True)
            sent = {"Host": host if host is not None else name, **(headers or {})}
            if body is not None:
                sent["Content-Length"] = str(len(body))
            for key, value in sent.items():
                connection.putheader(key, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def _connect(self, scheme: str, name: str, timeout: float, source: str, first: bytes) -> http.client.HTTPConnection:
        port = self.http if scheme == "http" else self.https
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        connection.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0))
        connection.sock.sendall(first)
        if scheme == "https":
            server_name = name.partition(":")[0] or None
            connection.sock = trusting_context().wrap_socket(connection.sock, server_hostname=server_name)
        return connection

    def raw(self, *pieces: bytes, tls: str | None = None, until: bytes | None = None, timeout: float = 5) -> bytes:
        """Sends bytes as they are, one piece after the other, and returns what comes until the other side closes.

        `tls` is the SNI, if any; `until` is what the caller waits for, where that is not the end.
        """
        port = self.http if tls is None else self.https
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as plain:
            connection = plain if tls is None else trusting_context().wrap_socket(plain, server_hostname=tls or None)
            for number, piece in enumerate(pieces):
                time.sleep(0.1 if number else 0)
                connection.sendall(piece)
            received = b""
            try:
                while (until is None or until not in received) and (data := connection.recv(65_536)):
                    received += data
            except ConnectionResetError:
                pass
            return received

    def ask_health(self, path: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.health, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """Sum of all samples of a metric."""
        text = self.ask_health("/metrics").body.decode()
        lines = (line for line in text.splitlines() if line.startswith((name + " ", name + "{")))
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def certificate(self, name: str | None) -> bytes:
        """The leaf certificate (DER) that a client with this SNI gets."""
        plain = socket.create_connection(("127.0.0.1", self.https), timeout=5)
        with trusting_context().wrap_socket(plain, server_hostname=name) as tls:
            return tls.getpeercert(binary_form=True) or b""

    # -- objects

    def write(self, name: str, *documents: dict[str, Any]) -> None:
        """Writes one file of manifests, at once as a whole."""
        target = self.manifests / name
        temporary = self.directory / f"{name}.new"
        temporary.write_text(yaml.safe_dump_all(documents))
        temporary.rename(target)

    def until(self, condition: Any, seconds: float = 5, message: str = "") -> float:
        """Waits until the condition holds; returns how long it took. Then no worker of before takes connections."""
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            try:
                if condition():
                    took = time.monotonic() - start
                    self._let_old_workers_go()
                    return took
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.02)
        raise AssertionError(f"not within {seconds} s: {message}\n{self.log.read_text()[-4000:]}")

    def _let_old_workers_go(self) -> None:
        """nginx starts new workers 100 ms before it tells the old ones to take no more connections."""
        deadline = time.monotonic() + 1
        while two_sets_of_workers(self.state) and time.monotonic() < deadline:
            time.sleep(0.01)


def trusting_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def two_sets_of_workers(state_dir: Path) -> bool:
    """Whether more workers take connections than the present configuration has; nginx names those that do not."""
    try:
        pid = (state_dir / "nginx.pid").read_text().strip()
        entry = (state_dir / "current" / "nginx.conf").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        titles = [Path(f"/proc/{child}/cmdline").read_bytes().rstrip(b"\0 ") for child in children]
    except OSError:
        return False
    wanted = re.search(r"^worker_processes (\d+);", entry, re.MULTILINE)
    return wanted is not None and titles.count(b"nginx: worker process") > int(wanted[1])


def end_nginx(state_dir: Path) -> None:
    """Ends an nginx that a killed controller left behind."""
    try:
        pid = int((state_dir / "nginx.pid").read_text())
        os.kill(pid, signal.SIGQUIT)
    except (OSError, ValueError):
        pass
