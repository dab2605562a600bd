"""Sends contents to a network cache, streamed, and only what it lacks."""

from __future__ import annotations

from typing import IO

from .config import Config, Source
from .digest import Digest, Digests
from .errors import InvalidConfiguration, NotPublished, Reason
from .transport import Budget, Limits, Transport

CLOCK_LIMIT = 300
"""Seconds that this machine's clock may be off the server's."""

_PATIENCE = 60.0
"""Seconds that a server may take to put a large content in its place."""
UPLOAD_LIMITS = Limits(first_byte=_PATIENCE)
"""For each attempt of an upload that its user waits for."""


def upload_budget(config: Config) -> Budget:
    """For an upload that its user waits for: it bears such a server once."""
    return Budget(max(config.time_budget, _PATIENCE))


class Uploader:
    """Sends contents to one network cache, for one run. It signs nothing, and so needs
    no key.

    `config` names the upload URLs and the files for https; `upload` another target.
    Raises `InvalidConfiguration` where there is none.
    """

    def __init__(
        self,
        config: Config,
        *,
        upload: Source | None = None,
        budget: Budget | None = None,
        limits: Limits | None = None,
    ):
        target = upload or config.upload
        if target is None:
            raise InvalidConfiguration(
                "uploading needs upload-cache-url and upload-dir-url"
            )
        self.budget = budget or Budget(config.time_budget)
        self.transport = Transport(
            target,
            self.budget,
            cache_tls=config.cache_tls,
            dir_tls=config.dir_tls,
            limits=limits or Limits(),
        )

    def close(self) -> None:
        self.transport.close()

    def store(self, file: IO[bytes], content: Digests) -> bool:
        """Upload a content that the server lacks; whether it had to be sent.

        Raises `NotPublished`, `Refusal` and `SourceFailure`.
        """
        missing = not self.transport.has(content.sha512)
        self.check_clock()
        if missing:
            self.send(file, content.sha512, content.size)
        return missing

    def send(self, file: IO[bytes], digest: Digest, size: int) -> None:
        """Upload a content, be it there or not."""

        def rewind() -> IO[bytes]:
            file.seek(0)
            return file

        self.transport.store(digest, size, rewind)

    def check_clock(self) -> None:
        """Raise `NotPublished` where the server's last answer tells another time."""
        offset = self.transport.clock_offset
        if offset is not None and abs(offset) > CLOCK_LIMIT:
            raise NotPublished(
                Reason.CLOCK,
                f"this clock is {abs(offset):.0f} s off the server's: nothing is published",
            )
