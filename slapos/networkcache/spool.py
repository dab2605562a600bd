"""What could not be sent: finished pairs and their contents, for the next run to send.

A letter says under which key which pairs are to be put, and the content lies beside it:
``<folder>/v1/<target>/<name>.letter`` and ``.content``. It is there once the letter is,
which comes last and goes first. Nothing here is ever signed anew.

Kept for a time and within bounds: after 30 days it is dropped, and when it is too much,
the oldest give way to the newest, which nodes ask for now; a server that is gone for good
cannot fill it. What is kept twice is kept once, in its newest words. Nothing is synced to
the disk: what a crash of the machine damaged is seen when it is hashed, before anybody is
given it, and dropped too. The target is named by its digest only, since its URLs may hold a
password.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .bounded_folder import LEFT_OVER, BoundedFolder, Held, claimed, files_in, remove
from .config import Source
from .digest import Check, Digest, pieces_of
from .entry import Key, Pair
from .errors import StorageFailure, WrongContent
from .printable import readable
from .private_folder import check_private_folder, make_folders, make_private_folder
from .storage.durable import disk_faults

logger = logging.getLogger("slapos.networkcache")

KEPT = 30 * 24 * 3600
"""Seconds that something waits in the spool."""
_LETTER, _CONTENT, _PART = ".letter", ".content", ".part"


def spool_of(store: Path) -> Path:
    """The folder of the spool that goes with a local store."""
    return store / "spool"


@dataclass(frozen=True)
class Unsent:
    """What `target` is to get: `pairs` under `key`, and first the content of `digest` and
    `size`, which is in the file at `path`."""

    target: Source
    key: Key
    pairs: tuple[Pair, ...]
    digest: Digest
    size: int
    path: str


class Spool:
    """Keeps in `folder` what could not be sent, `size` bytes of it at most.

    The folder is made when something is kept, and is refused as that of the local store.
    `clock` gives the POSIX time. Safe to use from many threads and processes.
    """

    def __init__(self, folder: Path, size: int, clock: Callable[[], float] = time.time):
        self.folder = folder
        self.size = size
        self._clock = clock
        self._top = os.path.join(os.path.abspath(folder), "v1")
        self._bound = BoundedFolder(os.path.dirname(self._top), size, self._held)

    def keep(
        self,
        target: Source,
        key: Key,
        pairs: Sequence[Pair],
        digest: Digest,
        size: int,
        path: str,
    ) -> None:
        """Keep `pairs` and the content, whose file at `path` is linked or copied.

        It is all kept, or `StorageFull` or `StorageFailure` is raised and nothing is.
        """
        letter = _write(key, pairs, digest, size)
        self._bound.check(size + len(letter))
        make_private_folder(self.folder)
        place = os.path.join(self._folder_of(target), _name(key.text, digest.hex))
        # Claimed, so that an older letter about the same does not go with this content.
        with disk_faults(f"keep in {self.folder}"), claimed(place + _LETTER):
            make_folders(os.path.dirname(place))
            part = f"{place}-{secrets.token_hex(8)}{_PART}"
            try:
                _link(path, part)
                os.replace(part, place + _CONTENT)
                remove(part)  # to replace a file by another name of itself does nothing
                with open(part, "xb") as file:
                    file.write(letter)
                now = int(self._clock() * 1e9)
                os.utime(part, ns=(now, now))
                os.replace(part, place + _LETTER)
            except BaseException:
                remove(part)
                if not os.path.exists(place + _LETTER):
                    remove(place + _CONTENT)
                raise
        with suppress(StorageFailure):  # it is kept; the count anew will find it
            self._bound.added(place + _LETTER, size + len(letter))

    def has(self, target: Source) -> bool:
        """Whether there is anything that `target` is to get."""
        return bool(_letters(self._folder_of(target)))

    def waiting(self, target: Source) -> Iterator[Unsent]:
        """What `target` is to get, oldest first, each this caller's alone until it asks
        for the next. What is not `done` by then waits for the next run.

        Contents are hashed on the way: what is damaged is dropped, and never given.
        Raises `StorageFailure`.
        """
        if not os.path.lexists(self.folder):
            return
        check_private_folder(self.folder)
        with disk_faults(f"read in {self.folder}"):
            letters = _letters(self._folder_of(target))
        for letter in letters:
            with disk_faults(f"read {letter}"), claimed(letter) as ours:
                if ours and (unsent := self._read(target, letter)) is not None:
                    yield unsent

    def done(self, unsent: Unsent) -> None:
        """It was sent, or will never be taken: it waits no longer. Raises
        `StorageFailure`."""
        with disk_faults(f"remove {unsent.path}"):
            _drop(_beside(unsent.path, _LETTER))

    def _read(self, target: Source, letter: str) -> Unsent | None:
        if self._clock() - os.stat(letter).st_mtime > KEPT:
            _drop(letter)
            return None
        path = _beside(letter, _CONTENT)
        try:
            with open(letter, "rb") as file:
                key, pairs, digest, size = _parse(file.read())
            check = Check(digest, size)
            with open(path, "rb") as file:
                for piece in pieces_of(file):
                    check.update(piece)
            check.finish()
        except (FileNotFoundError, ValueError, WrongContent) as error:
            logger.info("what could not be sent is damaged: dropped: %s", readable(error))
            _drop(letter)
            return None
        except OSError as error:  # it may be read the next time
            logger.info("what could not be sent cannot be read: %s", error)
            return None
        return Unsent(target, key, pairs, digest, size, path)

    def _folder_of(self, target: Source) -> str:
        return os.path.join(self._top, _name(target.cache_url, target.dir_url))

    def _held(self) -> Iterator[Held]:
        """All that is there, less what is left over or too old, which is removed."""
        for entry in files_in(self._top):
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if entry.name.endswith(_LETTER):
                    give_way = partial(_drop_unclaimed, entry.path)
                    size = status.st_size + os.stat(_beside(entry.path, _CONTENT)).st_size
                    too_old = self._clock() - status.st_mtime > KEPT
                    if not too_old or not give_way():
                        yield Held(entry.path, size, status.st_mtime, give_way)
                elif not os.path.exists(_beside(entry.path, _LETTER)):
                    # Not the time of change: a link has that of the file it was made of.
                    too_old = self._clock() - status.st_ctime > LEFT_OVER
                    if not too_old or not remove(entry.path):
                        yield Held(entry.path, status.st_size, status.st_ctime)


def _name(*of: str) -> str:
    return Digest.of("\n".join(of).encode("utf-8", "backslashreplace")).hex[:40]


def _beside(path: str, suffix: str) -> str:
    return os.path.splitext(path)[0] + suffix


def _letters(folder: str) -> list[str]:
    """Those in the folder, oldest first."""
    letters = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_LETTER):
                with suppress(FileNotFoundError):
                    letters.append((entry.stat().st_mtime_ns, entry.path))
    return [path for _, path in sorted(letters)]


def _drop(letter: str) -> None:
    for path in (letter, _beside(letter, _CONTENT)):
        with suppress(FileNotFoundError):
            os.unlink(path)


def _drop_unclaimed(letter: str) -> bool:
    """Whether it is gone: not if somebody is sending it."""
    try:
        with claimed(letter) as ours:
            if ours:
                _drop(letter)
            return ours
    except OSError:
        return False


def _link(path: str, place: str) -> None:
    try:
        os.link(os.path.realpath(path), place)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, another's file, a disk without links
        shutil.copyfile(path, place)


def _write(key: Key, pairs: Sequence[Pair], digest: Digest, size: int) -> bytes:
    stated = {"key": key.text, "sha512": digest.hex, "size": size, "pairs": pairs}
    return json.dumps(stated).encode()


def _parse(letter: bytes) -> tuple[Key, tuple[Pair, ...], Digest, int]:
    """Raises ValueError."""
    try:
        stated = json.loads(letter)
        return (
            Key.parse(stated["key"]),
            tuple(map(Pair.parse, stated["pairs"])),
            Digest.parse(stated["sha512"]),
            int(stated["size"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no letter: {error}") from None
