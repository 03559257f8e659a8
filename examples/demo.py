"""The demo: a "pod" on every address that the examples name, and `headrace run` in front of them.

Ctrl-C ends both. Needs no root and no cluster; the pods are small servers that say their name and what they were asked.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import yaml

EXAMPLES = Path(__file__).parent
HTTP_PORT, HTTPS_PORT, HEALTHZ_PORT = 8080, 8443, 10254

READY = f"""
Headrace serves the examples. In another terminal, try:

  curl http://hello.localhost:{HTTP_PORT}/
  curl http://shop.localhost:{HTTP_PORT}/cart/42
  curl -i http://secure.localhost:{HTTP_PORT}/
  curl -k https://secure.localhost:{HTTPS_PORT}/
  curl -H 'Host: foo.mydomain.com' http://localhost:{HTTP_PORT}/
  curl http://localhost:{HEALTHZ_PORT}/metrics

Edit a file below examples/ and ask again. Ctrl-C ends the demo.
"""


def pods() -> list[tuple[str, str, int]]:
    """(Service, address, port) of every endpoint in the examples."""
    found = []
    for path in sorted(EXAMPLES.glob("**/*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document and document["kind"] == "EndpointSlice":
                service = document["metadata"]["labels"]["kubernetes.io/service-name"]
                port = document["ports"][0]["port"]
                found += [(service, address, port) for e in document["endpoints"] for address in e["addresses"]]
    return found


async def serve_pod(service: str, address: str, port: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, target, _ = head.split(" ", 2)
                body = f"{service} at {address} received {method} {target}\n".encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body))
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    await asyncio.start_server(answer, address, port)


async def tell_when_ready() -> None:
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", HEALTHZ_PORT)
            writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
            status = await reader.readline()
            writer.close()
            if b" 200 " in status:
                print(READY, flush=True)
                return
        except OSError:
            pass
        await asyncio.sleep(0.1)


async def main() -> int:
    for pod in pods():
        await serve_pod(*pod)
    controller = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "controller", "run", "--manifests", str(EXAMPLES), "--state-dir", ".state/demo",
        "--http-port", str(HTTP_PORT), "--https-port", str(HTTPS_PORT), "--healthz-port", str(HEALTHZ_PORT),
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, controller.send_signal, signal.SIGTERM)
    ready = asyncio.create_task(tell_when_ready())
    code = await controller.wait()
    ready.cancel()
    return code


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
