"""A headless Chromium that is spoken to by its own protocol (https://chromedevtools.github.io/devtools-protocol/).

Guarantees: a profile of its own that is gone afterwards; the process ends with the block it was started in; everything
that a page asks for, throws or logs is kept and can be asked for. Debian's package is installed where no Chromium is.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from e2e.images.engine import install

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium-headless-shell",)
_COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Page.javascriptDialogOpening")
_START_SECONDS = 30.0
_ANSWER_SECONDS = 20.0


def program() -> str:
    """The browser, installed where it is missing."""
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if found is None:
        install("Chromium", PACKAGES)
        found = next(path for name in PROGRAMS if (path := shutil.which(name)))
    return found


class Tab:
    """One page. `events` are all that the browser told of it so far."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []

    async def listen(self) -> None:
        """Takes what comes; to be run as a task."""
        async for message in self._socket:
            found = message.json()
            if "id" in found:
                self._waiting.pop(found["id"]).set_result(found)
            else:
                self.events.append(found)

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result. Raises `AssertionError` with the browser's own message."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        found = await asyncio.wait_for(answer, _ANSWER_SECONDS)
        assert "error" not in found, found
        result: dict[str, Any] = found["result"]
        return result

    async def open(self, url: str) -> None:
        """Returns when the page is loaded."""
        already = self._loaded()
        await self.send("Page.navigate", url=url)
        async with asyncio.timeout(_ANSWER_SECONDS):
            while self._loaded() == already:
                await asyncio.sleep(0.02)

    async def value(self, expression: str) -> Any:
        """What the expression comes to in the page."""
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def size(self, width: int, height: int) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def media(self, kind: str = "", scheme: str = "light") -> None:
        """`kind` is `print` or empty, `scheme` is `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.send("Emulation.setEmulatedMedia", media=kind, features=features)

    async def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        found = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def complaints(self) -> list[dict[str, Any]]:
        """Errors, whatever was logged, and dialogs."""
        return [event for event in self.events if event["method"] in _COMPLAINTS]

    def requested(self) -> list[str]:
        """Every URL that was asked for."""
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]

    def _loaded(self) -> int:
        return sum(event["method"] == "Page.loadEventFired" for event in self.events)


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Tab]:
    """A tab of a browser that runs inside the block. `folder` takes its profile and its log."""
    command = [
        program(), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run",
        "--disable-background-networking", "--remote-allow-origins=*", f"--user-data-dir={folder / 'profile'}",
        "about:blank",
    ]  # fmt: skip
    log = folder / "browser.log"
    with log.open("wb") as output:
        # Debian's program is a shell script that waits for the browser: both are one group, and end together.
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        port = await _port(log, process)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (page,) = [t for t in await answer.json(content_type=None) if t["type"] == "page"]
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                listening = asyncio.create_task(tab.listen())
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await tab.send(f"{domain}.enable")
                yield tab
                listening.cancel()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _port(log: Path, process: subprocess.Popen[bytes]) -> int:
    """Where it listens, from what it says at the start."""
    async with asyncio.timeout(_START_SECONDS):
        while not (found := re.search(r"DevTools listening on ws://[^:]+:(\d+)/", log.read_text(errors="replace"))):
            assert process.poll() is None, log.read_text(errors="replace")
            await asyncio.sleep(0.05)
    return int(found[1])
