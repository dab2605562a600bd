"""Uploading and signing, as a `NetworkcacheClient` does it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import IO, Any

from ..binding import Request, check_binding
from ..config import Config
from ..digest import Digest, Digests, pieces_of
from ..entry import Entry, Key, Kind, Pair
from ..errors import NotBelieved, NotPublished, Reason
from ..printable import readable
from ..protocol import encode_put
from ..publisher import Publisher, hindrance_of
from ..uploader import UPLOAD_LIMITS, Uploader, upload_budget
from ..urls import has_secret
from .exceptions import logger
from .reading import fetch_from

Members = Mapping[str, Any]


class Publishing:
    """What is sent to the upload URLs: signed on the word of the program, where there is a
    key. Nothing is opened before the first upload."""

    def __init__(self, config: Config):
        self._config = config
        self._how: dict[str, Any] = {
            "budget": upload_budget(config),
            "limits": UPLOAD_LIMITS,
        }

    def close(self) -> None:
        for opened in ("_uploader", "_publisher"):
            if opened in vars(self):
                getattr(self, opened).close()

    def store(self, file: IO[bytes]) -> Digest:
        """Upload a content. Raises as `Uploader.store` does."""
        with _rewound(file) as whole:
            content = Digests.of(pieces_of(whole))
            self._uploader.store(whole, content)
        return content.sha512

    def publish(self, key: str, file: IO[bytes], members: Members) -> Digest:
        """Upload a content, and the entry that `key` means it. Raises as
        `Publisher.publish` does, and `InvalidInput`."""
        with _rewound(file) as whole:
            content = Digests.of(pieces_of(whole))
            self._publish(Key.parse(key), whole, content, members)
        return content.sha512

    def index(self, key: str, digest: Digest, members: Members) -> None:
        """The entry alone. What is signed says the size of the content too, so it is read
        from the server that has it."""
        target = self._uploader.transport.source
        with fetch_from(target, self._config, digest) as file:
            self.publish(key, file, members)

    def _publish(self, key: Key, file: IO[bytes], content: Digests, given: Members) -> None:
        members = {**_members_in(key), **given}
        if any(isinstance(m, str) and has_secret(m) for m in members.values()):
            raise NotPublished(Reason.SECRET_URL, "there is a secret in a URL")
        entry = Entry.make(key, content, int(time.time()), members)
        try:
            check_binding(entry, Request(key, any_kind=True))
        except NotBelieved as error:
            _warn_of_disbelief(key, readable(error))
        if self._config.private_key_file is not None:
            self._publisher.publish(key, file, content, members)
        else:
            self._put_unsigned(key, file, content, entry)

    def _put_unsigned(
        self, key: Key, file: IO[bytes], content: Digests, entry: Entry
    ) -> None:
        _warn_of_disbelief(key, "there is no signature-private-key-file to sign it with")
        if hindrance := hindrance_of(self._config, entry.string("url") or ""):
            raise hindrance
        self._uploader.store(file, content)
        self._uploader.transport.put(key, encode_put(Pair(entry.text, "")))

    @cached_property
    def _uploader(self) -> Uploader:
        return Uploader(self._config, **self._how)

    @cached_property
    def _publisher(self) -> Publisher:
        publisher = Publisher(self._config, **self._how)
        for warning in publisher.warnings:
            logger.warning("%s", warning)
        return publisher


def _warn_of_disbelief(key: Key, why: str) -> None:
    logger.warning("Nobody will believe the entry of %s: %s", key, why)


def _members_in(key: Key) -> dict[str, str]:
    """What the key of a distribution says by itself, and old programs do not repeat."""
    name, equals, version = key.suffix.rpartition("=")
    if key.kind is not Kind.DISTRIBUTION or not equals:
        return {}
    return {"name": name, "version": version}


@contextlib.contextmanager
def _rewound(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """A file at its beginning; what cannot seek is copied from where it is."""
    try:
        file.seek(0)
    except (AttributeError, OSError):  # a response or a pipe
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            yield copy
    else:
        yield file
