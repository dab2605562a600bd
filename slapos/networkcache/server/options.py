"""The options of `networkcache server run`; known without aiohttp, to show the help."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidConfiguration

CONTENT_LIMIT = 16 << 30
"""Bytes of a content, where the operator says nothing."""
STALL = 60.0
"""Seconds without progress after which a client is dropped."""


@dataclass(frozen=True)
class Options:
    """What `networkcache server run` is told.

    `root` is the folder of everything that is kept, `access_log` a file, or None for
    standard error, `content_limit` bytes, `stall` and `shutdown` seconds.
    """

    root: Path
    host: str = "127.0.0.1"
    port: int = 8080
    anonymous: bool = False
    workers: int = 1
    tls_port: int | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    access_log: Path | None = None
    content_limit: int = CONTENT_LIMIT
    stall: float = STALL
    shutdown: float = 60.0

    def check(self) -> None:
        """Raises `InvalidConfiguration` for options that contradict each other."""
        if self.workers < 1:
            raise InvalidConfiguration(f"expected 1 worker or more, got {self.workers}")
        tls = (self.tls_port, self.tls_certificate, self.tls_key)
        if any(part is not None for part in tls) and None in tls:
            raise InvalidConfiguration(
                "--tls-port, --tls-certificate and --tls-key go together: give all three"
            )
        if self.anonymous and not is_loopback(self.host):
            raise InvalidConfiguration(
                "--allow-anonymous-upload is for a loopback address only, and"
                f" {self.host} is none: leave out one of the two"
            )


def is_loopback(host: str) -> bool:
    """Whether the host of a URL is this computer for certain, without asking a DNS."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
