"""The options of `networkcache server run`; known without aiohttp, to show the help."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ...errors import InvalidConfiguration
from ...urls import redact

PORT = 8080
"""The port, where the operator names neither one nor a Unix socket."""
CONTENT_LIMIT = 16 << 30
"""Bytes of a content, where the operator says nothing."""
STALL = 60.0
"""Seconds without progress after which a client is dropped."""
MIN_FREE = 256 << 20
"""Bytes of the disk that stay free, where the operator says nothing: the database goes on
to need some."""
UPSTREAM_TTL = 60.0
"""Seconds for which what an upstream said of a key is not asked for again."""


class UpstreamUrls(NamedTuple):
    """Where another network cache is."""

    cache: str
    directory: str


@dataclass(frozen=True)
class Options:
    """What `networkcache server run` is told.

    Listening: `host` and `port`, `socket` (a Unix socket for a server in front),
    `tls_port`, `tls_certificate`, `tls_key`, `proxy_secret_file`, `accel_redirect` (the
    path under which a server in front has the contents), `public_url` (where clients reach
    it, shown to people), `show_names` (of accounts and upstreams, to everybody),
    `workers`. Uploads: `anonymous`, `content_limit` bytes. Others:
    `upstreams`, nearest first, `upstream_ttl` seconds, `upstream_ca_file`,
    `upstream_cert_file`, `upstream_key_file`, `upload_through`. Space: `max_size` bytes of
    contents, `min_free` bytes of the disk, `keep` seconds for which what nobody asks for is
    kept. `check_rate` bytes a second are checked in the background. `root` is the folder of
    everything that is kept, `access_log` a file, or None for standard error, `stall` and
    `shutdown` seconds.
    """

    root: Path
    host: str = "127.0.0.1"
    port: int | None = None
    socket: Path | None = None
    tls_port: int | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    proxy_secret_file: Path | None = None
    accel_redirect: str | None = None
    public_url: str | None = None
    show_names: bool = False
    workers: int = 1
    anonymous: bool = False
    content_limit: int = CONTENT_LIMIT
    upstreams: tuple[UpstreamUrls, ...] = ()
    upstream_ttl: float = UPSTREAM_TTL
    upstream_ca_file: Path | None = None
    upstream_cert_file: Path | None = None
    upstream_key_file: Path | None = None
    upload_through: bool = False
    max_size: int | None = None
    min_free: int = MIN_FREE
    keep: float | None = None
    check_rate: int = 0
    access_log: Path | None = None
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
        if (self.upstream_cert_file is None) != (self.upstream_key_file is None):
            raise InvalidConfiguration(
                "--upstream-cert-file and --upstream-key-file go together: give both"
            )
        directories = [urls.directory for urls in self.upstreams]
        if twice := next((u for u in directories if directories.count(u) > 1), None):
            raise InvalidConfiguration(
                f"two --upstream have the directory {redact(twice)}: leave out one of them"
            )
        if self.upload_through and not self.upstreams:
            raise InvalidConfiguration(
                "--upload-through sends uploads on to an --upstream, and there is none"
            )
        if self.accel_redirect is not None:
            self._check_accel_redirect(self.accel_redirect)

    def _check_accel_redirect(self, prefix: str) -> None:
        if not (prefix.startswith("/") and prefix.endswith("/")):
            raise InvalidConfiguration(
                "--accel-redirect is a path that begins and ends with a slash, such as"
                f" /contents/, got {prefix!r}"
            )
        if self.socket is None:
            raise InvalidConfiguration(
                "--accel-redirect is for a server in front that comes through --socket:"
                " give both"
            )

    def fixed(self) -> dict[str, object]:
        """The options that only a restart changes."""
        return {name: getattr(self, name) for name in _FIXED}

    def with_fixed(self, other: Options) -> Options:
        """These options, with those of `other` that only a restart changes."""
        return replace(self, **other.fixed())  # type: ignore[arg-type]


_FIXED = ("root", "host", "port", "socket", "tls_port", "workers")


def is_loopback(host: str) -> bool:
    """Whether the host of a URL is this computer for certain, without asking a DNS."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
