"""The two servers as processes, and what is put into them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from incumbents import old_server

__all__ = ["Server", "Services", "old_server", "our_server"]


class Services(Protocol):
    """Where the two services of a network cache are."""

    @property
    def cache_url(self) -> str: ...
    @property
    def dir_url(self) -> str: ...


class Server(Services, Protocol):
    """Either server: where its services are, and its process."""

    @property
    def pid(self) -> int: ...


@dataclass
class OurServer:
    """``networkcache server run``, running; use `our_server`."""

    url: str
    pid: int

    @property
    def cache_url(self) -> str:
        return f"{self.url}/shacache"

    @property
    def dir_url(self) -> str:
        return f"{self.url}/shadir"


@contextmanager
def our_server(root: Path) -> Iterator[OurServer]:
    """Run our server as it runs by default, its access log in a file."""
    command = [sys.executable, "-m", "slapos.networkcache", "server", "run"]
    root.mkdir(parents=True, exist_ok=True)
    with (root / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--root", root, "--port", "0", "--allow-anonymous-upload"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("listening on "):
                break
        else:
            raise RuntimeError(f"the server broke down:\n{(root / 'log').read_text()}")
        yield OurServer(line.split()[2].rstrip("/"), process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=60)
