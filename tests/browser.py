"""Chromium without a screen, told by its DevTools protocol what to do; Debian package
``chromium``."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from wire import TIMEOUT

PHONE, DESK = (390, 844), (1280, 800)


def missing() -> str:
    """What this computer lacks for it; nothing if it lacks nothing."""
    if shutil.which("chromium") is None:
        return "chromium is not there: apt-get install chromium"
    return ""


class Tab:
    """One page after the other, in a window of a size and of light or dark colours.

    `said` is what the browser logged of the page: errors, violations of its policy.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: Any):
        self._loop = loop
        self._socket = socket
        self._numbers = itertools.count(1)
        self.said: list[str] = []
        self._loaded = False
        for domain in ("Page", "Log", "Runtime", "Security"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have the browser do it; what it answers."""
        return self._loop.run_until_complete(self._do(method, parameters))

    async def _do(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._receive()
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    async def _receive(self) -> dict[str, Any]:
        message = await asyncio.wait_for(self._socket.receive_json(), TIMEOUT)
        match message.get("method"):
            case "Log.entryAdded":
                self.said.append(message["params"]["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.said.append(str(message["params"]))
            case "Page.loadEventFired":
                self._loaded = True
        return message

    def look(self, size: tuple[int, int], *, dark: bool) -> None:
        """From now on pages are as wide and high as `size`, in CSS pixels."""
        width, height = size
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.do("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Load a page, all of it."""
        self.said.clear()
        self._loaded = False
        assert "errorText" not in self.do("Page.navigate", url=url)
        self._loop.run_until_complete(self._load())

    async def _load(self) -> None:
        while not self._loaded:
            await self._receive()

    def submit(self) -> None:
        """Press Enter in the field that has the focus; all of the page that comes of it."""
        self._loaded = False
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        self.do("Input.dispatchKeyEvent", type="keyDown", **key)
        self._loop.run_until_complete(self._load())

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives in the page."""
        answer = self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, path: Path) -> None:
        """A picture of the whole page."""
        shot = self.do("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def chromium(folder: Path) -> Iterator[Tab]:
    """A browser whose profile is in `folder`."""
    command = [
        "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update",
        "--hide-scrollbars", "--remote-debugging-port=0", f"--user-data-dir={folder}",
        "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    loop = asyncio.new_event_loop()
    session = None
    try:
        session = loop.run_until_complete(_session())
        socket = loop.run_until_complete(_connect(session, folder))
        yield Tab(loop, socket)
    finally:
        if session is not None:
            loop.run_until_complete(session.close())
        loop.close()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(TIMEOUT)


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()


async def _connect(session: aiohttp.ClientSession, folder: Path) -> Any:
    port = await _port(folder / "DevToolsActivePort")
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        pages = await answer.json()
    [address] = [p["webSocketDebuggerUrl"] for p in pages if p["type"] == "page"]
    return await session.ws_connect(address, max_msg_size=0)


async def _port(file: Path) -> int:
    end = time.monotonic() + TIMEOUT
    while not (file.exists() and file.read_text().count("\n")):
        assert time.monotonic() < end, "chromium does not start"
        await asyncio.sleep(0.05)
    return int(file.read_text().split()[0])
