"""A network of its own, in which there is nothing but loopback, and a log of whom a
program tries to reach."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

Wrap = tuple[str, ...]
"""A command that runs the command which follows it."""

TRACED = ("strace", "-f", "-qq", "-yy", "--seccomp-bpf", "-e", "trace=connect,listen")
_PEER = re.compile(
    r"sin6?_port=htons\((?P<port>\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )"
    r'"(?P<host>[^"]+)"'
)
_LISTENS = re.compile(r"listen\(\d+<TCP(?:v6)?:\[.*?:(\d+)\]>")


def missing() -> str:
    """What this computer lacks for it; nothing if it lacks nothing."""
    for command in ("unshare", "nsenter", "ip", "strace"):
        if not shutil.which(command):
            return f"{command} is not there: apt-get install util-linux iproute2 strace"
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        return "only root can make a network of its own"
    if subprocess.run([*TRACED, "true"], capture_output=True).returncode:
        return "strace may not trace here"
    return ""


@contextmanager
def loopback_only() -> Iterator[Wrap]:
    """What runs a command in a new network, which lasts as long as this does."""
    script = "ip link set lo up && echo up && exec cat"
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout.readline() == "up\n"
        yield ("nsenter", f"--net=/proc/{holder.pid}/ns/net", "--")
        holder.stdin.close()


def traced(log: Path) -> Wrap:
    """What runs a command, and its children, and writes to `log` whom they connect to."""
    return (*TRACED, "-o", str(log))


def peers(log: Path) -> set[str]:
    """Whom a traced command tried to reach, as ``host:port``, less itself and its own
    children; a name server counts too."""
    text = log.read_text()
    own = set(_LISTENS.findall(text))
    found = [match for match in map(_PEER.search, _connects(text)) if match]
    return {f"{peer['host']}:{peer['port']}" for peer in found if peer["port"] not in own}


def _connects(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if " connect(" in line)
