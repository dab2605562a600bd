"""The HTTP surface: schemathesis makes requests of ``examples/server/openapi.yaml``, and
looks at what a running server answers.

It is in the place of a server in front, so that uploads come from accounts, too: through
the header in which that passes on the certificates of clients.
"""

from __future__ import annotations

import http.client
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import fuzzers
from accounts import Operator

from slapos.networkcache.server.accounts.authorisation import (
    CERTIFICATE_HEADER,
    SECRET_HEADER,
)

DESCRIPTION = fuzzers.ROOT / "examples" / "server" / "openapi.yaml"
OPTIONS = ("--workers", "2", "--max-content-size", "64 KiB")
"""Of the server: two processes, so that requests meet, and a limit that can be reached."""
AT_ONCE = 2
"""Processes of schemathesis. Threads of one disturb each other."""
QUOTA = 4 << 10
"""Bytes that the account may keep: the longest content is beyond that."""
PATIENCE = 120
"""Seconds beyond the time given after which schemathesis hangs."""


class Server(Protocol):
    """One that runs, with a log of all it answers; see ``conftest.Server``."""

    url: str
    root: Path
    log: Path
    errors: Path

    def stop(self) -> int: ...


Start = Callable[..., Server]
"""Starts a server with options; ``conftest.make_server``."""


@dataclass(frozen=True)
class Report:
    """What came of it: `statuses` counts the requests by method, service, status and code,
    `faults` are what must not be, as text."""

    statuses: Counter[tuple[str, str, int, str]]
    faults: Sequence[str]

    @property
    def inputs(self) -> int:
        """Requests that the server answered, as its own log has them."""
        return sum(self.statuses.values())

    def __str__(self) -> str:
        lines = [f"surface: {self.inputs} requests, {len(self.faults)} faults"]
        rows: dict[str, Counter[str]] = {}
        for (method, service, status, code), count in sorted(self.statuses.items()):
            row = rows.setdefault(service if status != 405 else "/...", Counter())
            row[f"{method} {status} {code}".rstrip() if status != 405 else "405"] += count
        for service, row in sorted(rows.items()):
            counts = ", ".join(f"{answer} {count}" for answer, count in row.items())
            lines.append(f"    {service:12} {counts}")
        return "\n".join([*lines, *self.faults])


def fuzz(start: Start, seconds: int, folder: Path) -> Report:
    """Try a server for so long; leaves what the fuzzer has to say in `folder`."""
    secret = folder / "secret"
    secret.touch(0o600)
    secret.write_text("a secret of the proxy in front")
    server = start(*OPTIONS, "--proxy-secret-file", str(secret))
    front = folder / "front.json"
    front.write_text(json.dumps(_front(server, secret.read_text(), folder)))
    outputs = [folder / f"schemathesis{number}.txt" for number in range(AT_ONCE)]
    runs = [_schemathesis(server, seconds, front, output) for output in outputs]
    faults = []
    try:
        for run, output in zip(runs, outputs, strict=True):
            if run.wait(seconds + PATIENCE):
                faults.append(output.read_text())
    finally:
        for run in runs:
            run.kill()
            run.wait()
    faults += _wrong_with(server)
    return Report(_statuses(server.log), faults)


def _front(server: Server, secret: str, folder: Path) -> list[dict[str, str]]:
    """What a server in front may say of who uploads, as headers: an account with a quota
    and one right; one that is revoked, one that has expired, one that nobody knows."""
    operator = Operator(server.root, folder)
    shown = [
        operator.add("limited", "pypi", quota=QUOTA),
        operator.add("revoked", "pypi"),
        operator.add("expired", "pypi", age=7200),
        operator.issue("unknown"),
    ]
    operator.revoke("revoked")
    return [
        {SECRET_HEADER: secret, CERTIFICATE_HEADER: quote(files.certificate.read_text())}
        for files in shown
    ]


def _schemathesis(
    server: Server, seconds: int, front: Path, output: Path
) -> subprocess.Popen[bytes]:
    command = [
        *(fuzzers.python(), "-m", "schemathesis.cli", "--no-color"),
        *("--config-file", fuzzers.HERE / "schemathesis.toml"),
        *("run", DESCRIPTION, "--url", server.url, "--max-time", str(seconds)),
    ]
    hooks = fuzzers.HERE / "small_world.py"
    with output.open("wb") as file:
        return subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=fuzzers.variables(SCHEMATHESIS_HOOKS=str(hooks), FRONT=str(front)),
            cwd=output.parent,
        )


def _wrong_with(server: Server) -> list[str]:
    """What is wrong with the server itself after all that."""
    faults = []
    connection = http.client.HTTPConnection(server.url.partition("//")[2], timeout=20)
    connection.request("GET", "/healthz")
    if (status := connection.getresponse().status) != 200:
        faults.append(f"the server answers {status} to /healthz")
    connection.close()
    if code := server.stop():
        faults.append(f"the server ended with exit code {code}")
    # A library may warn of what a damaged certificate holds.
    if "Traceback" in (said := server.errors.read_text()):
        faults.append(f"the server complained:\n{said}")
    return faults


def _statuses(log: Path) -> Counter[tuple[str, str, int, str]]:
    """Of each request in the access log."""
    statuses = Counter[tuple[str, str, int, str]]()
    for line in log.read_text("ascii").splitlines():
        said = json.loads(line)
        service = "/" + said["path"].partition("?")[0][1:].partition("/")[0]
        key = (said["method"], service, said["status"], said["error"] or "")
        statuses[key] += 1
    return statuses
