"""A real server, and two network caches in memory, for the tests that need them; nothing
here is shared by two of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from wire import TIMEOUT

from slapos.networkcache.digest import Digest
from slapos.networkcache.testing import NetworkCache


class Server:
    """A running ``networkcache server run`` process with a root of its own.

    `url`, and `tls_url` where it speaks TLS, have no path; `log` is the access log and
    `errors` what it wrote to standard error.
    """

    def __init__(self, root: Path, *options: str, anonymous: bool = True, wrap=()):
        self.root = root
        self.log = root.with_name(root.name + ".access.log")
        self.errors = root.with_name(root.name + ".errors")
        self.options = ("--port", "0", "--access-log", str(self.log), *options)
        if anonymous:
            self.options = ("--allow-anonymous-upload", *self.options)
        self._wrap = wrap
        self.start()

    def start(self) -> None:
        """Start it, again after `stop` or `kill`; returns once it is ready."""
        command = [*self._wrap, sys.executable, "-m", "slapos.networkcache"]
        command += ["server", "run", "--root", str(self.root), *self.options]
        with self.errors.open("ab") as errors:
            # No terminal, whose end a SIGHUP would be.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.url = self._address()
        self.tls_url = self._address() if "--tls-port" in self.options else None

    def _address(self) -> str:
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            self.process.wait(TIMEOUT)
            raise RuntimeError(f"no server: {line!r}\n{self.errors.read_text()}")
        return line.split()[-1]

    @property
    def cache_url(self) -> str:
        return f"{self.url}/shacache"

    @property
    def dir_url(self) -> str:
        return f"{self.url}/shadir"

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(TIMEOUT)
        self.process.stdout.close()
        return self.process.returncode

    def kill(self) -> None:
        """``kill -9``."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(TIMEOUT)
        self.process.stdout.close()

    def requests(self, count: int = 0) -> list[dict]:
        """The lines of the access log; waits until there are `count` of them."""
        end = time.monotonic() + TIMEOUT
        while True:
            lines = self.log.read_text("ascii").splitlines(keepends=True)
            lines = [json.loads(line) for line in lines if line.endswith("\n")]
            if len(lines) >= count:
                return lines
            assert time.monotonic() < end, f"{len(lines)} of {count} requests logged"
            time.sleep(0.02)


@contextmanager
def _servers(folder: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def make(*options: str, root: Path | None = None, **how) -> Server:
        root = root or folder / f"server{len(servers)}"
        servers.append(Server(root, *options, **how))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers: ``make_server("--workers", "2")``, ``anonymous=False``."""
    with _servers(tmp_path) as make:
        yield make


@pytest.fixture(scope="module")
def make_shared_server(tmp_path_factory) -> Iterator[Callable[..., Server]]:
    """The same for a whole file."""
    with _servers(tmp_path_factory.mktemp("shared")) as make:
        yield make


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """A server that takes anonymous uploads."""
    return make_server()


@pytest.fixture(scope="module")
def shared_server(make_shared_server: Callable[..., Server]) -> Server:
    """The same for a whole file, for tests that mind nothing which others left there."""
    return make_shared_server()


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A directory key of its own for each test, for where a server is shared."""
    name = request.node.name.partition("[")[0]
    return f"{name}:{Digest.of(request.node.name.encode()).hex[:8]}"


@pytest.fixture
def near() -> Iterator[NetworkCache]:
    with NetworkCache() as cache:
        yield cache


@pytest.fixture
def far() -> Iterator[NetworkCache]:
    """A second one, for when the first has nothing or lies."""
    with NetworkCache() as cache:
        yield cache


@pytest.fixture
def unshare() -> list[str]:
    """A command before another that lets it mount filesystems that nobody else sees."""
    before = ["unshare", "--mount"]
    probe = "mount -t tmpfs -o size=1m none /mnt"
    try:
        subprocess.run([*before, "sh", "-c", probe], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small tmpfs needs root: run these tests with sudo")
    return before
