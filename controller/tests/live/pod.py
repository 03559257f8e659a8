"""A pod as a process of its own: prints its port, answers with what it received, and on SIGTERM ends at once.

At the signal it answers what it has received, closes each connection the moment nothing more is there, and is gone;
nobody gets time to notice. With the argument `close` it keeps no connection, so that a request never meets one that
is just being closed. Plain sockets, so that it knows at every moment what it has; a script, so that it starts fast.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator


class Connection:
    """Takes bytes, answers whole requests."""

    def __init__(self, opened: socket.socket, *, keep: bool) -> None:
        self.socket = opened
        self._keep = keep
        self._received = b""

    def read(self) -> bool:
        """Answer what has come. False when nothing more is to be expected."""
        try:
            data = self.socket.recv(65_536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._received += data
        for head, body in self._requests():
            seen = {"backend": "pod", "target": head.split(" ")[1], "body": body.decode()}
            text = json.dumps(seen).encode()
            connection = b"" if self._keep else b"Connection: close\r\n"
            self.socket.sendall(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (connection, len(text), text))
            if not self._keep:
                return False
        return bool(data)

    def end(self) -> bool:
        """Close, unless something is there, or still to come, that wants its answer first."""
        try:
            if not self._keep or self._received or self.socket.recv(1, socket.MSG_PEEK):
                return False
        except BlockingIOError:
            pass
        except OSError:
            return True
        self.socket.close()
        return True

    def _requests(self) -> Iterator[tuple[str, bytes]]:
        while (end := self._received.find(b"\r\n\r\n") + 4) > 3:
            head = self._received[:end].decode()
            sizes = [int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:")]
            whole = end + (sizes[0] if sizes else 0)
            if len(self._received) < whole:
                return
            body, self._received = self._received[end:whole], self._received[whole:]
            yield head, body


class Pod:
    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._connections: set[Connection] = set()
        self._ending = False

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        os.write(sys.stdout.fileno(), b"%d\n" % self._listener.getsockname()[1])
        while not self._ending:
            for key, _ in self._selector.select(0.01):
                self._accept() if key.data is None else self._read(key.data)
        _refuse_silently(self._listener)
        time.sleep(0.002)  # connections that are half open
        self._accept()
        self._listener.close()
        while self._connections:
            for connection in list(self._connections):
                if not connection.read() or connection.end():
                    self._connections.discard(connection)
        os._exit(0)  # the interpreter takes its time to end

    def _end(self, *_: object) -> None:
        self._ending = True

    def _accept(self) -> None:
        while True:
            try:
                opened, _ = self._listener.accept()
            except OSError:
                return
            opened.setblocking(False)
            connection = Connection(opened, keep=self._keep)
            self._connections.add(connection)
            self._selector.register(opened, selectors.EVENT_READ, connection)

    def _read(self, connection: Connection) -> None:
        if not connection.read():
            self._selector.unregister(connection.socket)
            self._connections.discard(connection)
            connection.socket.close()


def _refuse_silently(listener: socket.socket) -> None:
    """From now on the kernel begins no connection on our behalf, which we would never see and which it would reset.

    A packet filter that keeps all but SYN (socket(7), SO_ATTACH_FILTER): load the flags of the TCP header, skip one
    instruction where SYN is not set, drop, keep.
    """
    instructions = [(0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *words) for words in instructions))
    listener.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HL", len(instructions), ctypes.addressof(program)))


if __name__ == "__main__":
    Pod(keep="close" not in sys.argv).run()
