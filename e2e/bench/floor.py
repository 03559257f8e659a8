"""Bare nginx of the same hosts: the least that a change of the configuration costs this nginx, by `nginx -s reload`.

Each host has an upstream and, where ours has one, a certificate in a file; the master is told by the signal that
`nginx -s reload` sends. The state of many hosts stands in one file, that of a new one in another.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.dataplane.binary import find_nginx
from controller.tests.live.objects import key_pair
from controller.tests.ports import free_ports
from e2e.bench import bare, sides
from e2e.bench.cost import Program
from e2e.bench.crowd import PORT, Host, certificate
from e2e.bench.probe import Door


class Floor:
    """A static configuration of `hosts`, and nginx on it."""

    def __init__(self, directory: Path, hosts: list[Host]) -> None:
        self.door = Door(*free_ports(2))
        self._directory, self._more = directory, directory / "more"
        self._more.mkdir(parents=True)
        directory.chmod(0o755)
        (directory / "tls.pem").write_bytes(b"".join(key_pair("default")))
        (directory / "hosts.conf").write_text("".join(map(self._written, hosts)))
        doors = f"127.0.0.1:{self.door.http} default_server", f"127.0.0.1:{self.door.https} ssl default_server"
        none = f"server {{ listen {'; listen '.join(doors)}; return 404; }}"
        kept = f"include {directory}/hosts.conf;", f"include {self._more}/*.conf;"
        (directory / "nginx.conf").write_text(bare.framed(directory, "access_log off;", none, *kept))

    @contextmanager
    def running(self) -> Iterator[Program]:
        """It may not listen yet."""
        command = [find_nginx(), "-p", str(self._directory), "-c", str(self._directory / "nginx.conf"), "-e", "stderr"]
        with (self._directory / "error.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        sides.rank_alike((process.pid,))
        self.program = Program(process.pid)
        try:
            yield self.program
        finally:
            process.terminate()
            process.wait()

    def add(self, host: Host) -> float:
        """When the master was told."""
        (self._more / f"{host.label}.conf").write_text(self._written(host))
        return self._reload()

    def remove(self, host: Host) -> float:
        (self._more / f"{host.label}.conf").unlink()
        return self._reload()

    def _reload(self) -> float:
        os.kill(self.program.master, signal.SIGHUP)
        return time.monotonic()

    def _written(self, host: Host) -> str:
        listen, tls = f"listen 127.0.0.1:{self.door.http};", ""
        if host.tls:
            pair = self._directory / f"{host.label}.pem"
            pair.write_bytes(b"".join(certificate(host.name)))
            listen += f" listen 127.0.0.1:{self.door.https} ssl;"
            tls = f"ssl_certificate {pair}; ssl_certificate_key {pair};"
        upstream = f"upstream {host.label} {{ server {host.address}:{PORT}; keepalive 8; }}"
        server = f"server_name {host.name}; {listen} {tls} location / {{ proxy_pass http://{host.label}; }}"
        return f"{upstream}\nserver {{ {server} }}\n"
