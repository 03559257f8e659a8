"""Asks the container, the way a user does: by host name, over plain HTTP or TLS."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """`body` is what JSON says, where it is JSON."""

    status: int
    body: Any


def get(port: int, host: str, path: str = "/", timeout: float = 10.0) -> Answer:
    """Over plain HTTP at 127.0.0.1. Raises OSError."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)) as connection:
        return _ask(connection, host, path)


def get_tls(port: int, host: str, authority: Path, path: str = "/") -> Answer:
    """Over TLS, trusting `authority` alone. Raises ssl.SSLError where the certificate is not for `host`."""
    context = ssl.create_default_context(cafile=str(authority))
    with socket.create_connection(("127.0.0.1", port), timeout=10.0) as plain:
        connection = http.client.HTTPConnection(host)
        connection.sock = context.wrap_socket(plain, server_hostname=host)
        with closing(connection):
            return _ask(connection, host, path)


def _ask(connection: http.client.HTTPConnection, host: str, path: str) -> Answer:
    connection.request("GET", path, headers={"Host": host})
    response = connection.getresponse()
    text = response.read().decode(errors="replace")
    try:
        return Answer(response.status, json.loads(text))
    except ValueError:
        return Answer(response.status, text)


def eventually(ask: Callable[[], Answer], status: int, within: float = 20.0) -> Answer:
    """The first answer with `status`, at most `within` seconds from now; then whatever comes instead is raised."""
    until = time.monotonic() + within
    while True:
        try:
            answer = ask()
            if answer.status == status:
                return answer
            fault: Exception = AssertionError(f"{answer}, not {status}")
        except OSError as refused:
            fault = refused
        if time.monotonic() > until:
            raise fault
        time.sleep(0.1)
