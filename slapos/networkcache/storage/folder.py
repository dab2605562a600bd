"""Contents as files: ``<root>/v1/ab/cd/<digest>``.

A content is written to a file of its own in ``<root>/v1/tmp``, which is locked with
flock as long as it is written: the kernel lets go of the lock when the process dies,
however it dies, so that an unlocked file there is always a left-over. (A process number
in the name would say less: numbers are used again, and mean nothing in another container
on the same folder.) It is then synced, renamed, and the folder synced.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from ..digest import PIECE, Digest
from ..errors import NotFound, StorageFull
from . import Content, ContentStore
from .durable import check_writable, disk_faults, failure, make_folder, sync_folder
from .writer import CheckedWriter

_DIGEST = re.compile(r"[0-9a-f]{128}\Z")
_SHARD = re.compile(r"[0-9a-f]{2}\Z")


class FileContent(Content):
    """An open file. What was opened stays readable when its name is deleted."""

    def __init__(self, fd: int, path: str):
        self._fd = fd
        self.path = path
        self.size = os.fstat(fd).st_size

    def read(self, start: int, length: int) -> bytes:
        try:
            return os.pread(self._fd, length, start)
        except OSError as error:
            raise failure(f"read {self.path}", error) from error

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class FolderContents(ContentStore):
    """Contents in the folder `root`, which is made where it is not there yet.

    Several processes may use one root. Left-overs of dead ones are removed here, unless
    it is not to `tidy` up. Raises `StorageFailure` where the root cannot be written.
    """

    def __init__(self, root: str | os.PathLike[str], *, tidy: bool = True):
        self.root = os.path.abspath(os.fspath(root))
        self._top = os.path.join(self.root, "v1")
        self.temporary = os.path.join(self._top, "tmp")
        with disk_faults(f"make the folder {self.temporary}"):
            make_folder(self.temporary)
            sync_folder(self._top)
        check_writable(self._top)
        check_writable(self.temporary)
        self._space = _Space(self._top)
        self._durable = bytearray(1 << 16)
        if tidy:
            remove_leftovers(self.temporary)

    def path(self, digest: Digest) -> str:
        """Where the content is, or would be."""
        hex = digest.hex
        return f"{self._top}/{hex[:2]}/{hex[2:4]}/{hex}"

    def open(self, digest: Digest) -> Content:
        path = self.path(digest)
        try:
            return FileContent(os.open(path, os.O_RDONLY | os.O_CLOEXEC), path)
        except FileNotFoundError:
            raise NotFound(f"no content {digest.hex[:16]}…") from None
        except OSError as error:
            raise failure(f"open {path}", error) from error

    def size(self, digest: Digest) -> int:
        path = self.path(digest)
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            raise NotFound(f"no content {digest.hex[:16]}…") from None
        except OSError as error:
            raise failure(f"read {path}", error) from error

    def writer(self, digest: Digest | None = None, size: int | None = None) -> _Writer:
        self._space.reserve(size or 0)
        try:
            with disk_faults(f"write in {self.temporary}"):
                fd, path = locked_file(self.temporary)
        except BaseException:
            self._space.release(size or 0)
            raise
        return _Writer(self, fd, path, digest, size)

    def delete(self, digest: Digest) -> None:
        path = self.path(digest)
        try:
            os.unlink(path)
        except FileNotFoundError:
            raise NotFound(f"no content {digest.hex[:16]}…") from None
        except OSError as error:
            raise failure(f"delete {path}", error) from error

    def __iter__(self) -> Iterator[Digest]:
        return (digest for _, digest in self.files() if digest is not None)

    def files(self) -> Iterator[tuple[str, Digest | None]]:
        """Every path of a content, and of what else is there: None stands for what is none,
        a whole folder too. Those on their way are left out."""
        with disk_faults(f"list {self._top}"):
            for first, shards in _shards(self._top):
                if not shards:
                    if first.path != self.temporary:
                        yield first.path, None
                    continue
                for second, names in _shards(first.path):
                    if not names:
                        yield second.path, None
                        continue
                    shard = first.name + second.name
                    for name in os.listdir(second.path):
                        known = _DIGEST.match(name) and name.startswith(shard)
                        yield f"{second.path}/{name}", Digest(name) if known else None

    def _sync_name(self, digest: Digest) -> None:
        """Make the name of a content durable, and its folder's the first time."""
        shard = os.path.dirname(self.path(digest))
        number = int(digest.hex[:4], 16)
        sync_folder(shard)
        # Another process may have made the folder and not synced its name yet. After
        # one sync that we saw return it is there for good: folders are never removed.
        if not self._durable[number]:
            sync_folder(os.path.dirname(shard))
            sync_folder(self._top)
            self._durable[number] = True


class _Space:
    """The free space of a filesystem, less what transfers in progress announced.

    Reservations hold among the writers of one store. What another process writes is
    seen as it is written, and at the latest when the disk says that it is full.
    """

    def __init__(self, path: str):
        self._path = path
        self._lock = threading.Lock()
        self._reserved = 0

    def reserve(self, size: int) -> None:
        """Set `size` bytes aside; raises `StorageFull` where they are not there."""
        if not size:
            return
        with self._lock:
            with disk_faults(f"measure the free space of {self._path}"):
                status = os.statvfs(self._path)
            free = status.f_bavail * status.f_frsize - self._reserved
            if size > free:
                raise StorageFull(
                    f"cannot store {size} bytes under {self._path}: {max(free, 0)} bytes"
                    " are free and not promised to transfers in progress"
                )
            self._reserved += size

    def release(self, size: int) -> None:
        with self._lock:
            self._reserved -= size


class _Writer(CheckedWriter):
    path: str

    def __init__(
        self,
        store: FolderContents,
        fd: int,
        path: str,
        digest: Digest | None,
        size: int | None,
    ):
        super().__init__(digest, size)
        self._store = store
        self._fd = fd
        self.path = path
        self._reserved = size or 0

    def _take(self, piece: bytes) -> None:
        rest = memoryview(piece)
        with disk_faults(f"write in {self._store.temporary}"):
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        self._release(min(len(piece), self._reserved))

    def _publish(self, digest: Digest) -> None:
        target = self._store.path(digest)
        with disk_faults(f"store {target}"):
            # Before the sync of the file: a journal takes both to the disk at once.
            os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
            if _sync_existing(target, self._count, digest):
                os.unlink(self.path)
            else:
                os.fsync(self._fd)
                os.rename(self.path, target)
            self._store._sync_name(digest)
        self._let_go()

    def _discard(self) -> None:
        with suppress(OSError):
            os.unlink(self.path)
        self._let_go()

    def _let_go(self) -> None:
        with suppress(OSError):  # what it would say was said by fsync
            os.close(self._fd)
        self._release(self._reserved)

    def _release(self, size: int) -> None:
        if size:
            self._reserved -= size
            self._store._space.release(size)


def _sync_existing(path: str, size: int, digest: Digest) -> bool:
    """Whether the content is there already, and if so make its bytes durable.

    A file that has other bytes by now, or cannot be read, is to be replaced: what comes
    is right, and may be the last that there is of it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.fstat(fd).st_size != size or not _has_digest(fd, digest):
            return False
        os.fsync(fd)
        return True
    finally:
        os.close(fd)


def _has_digest(fd: int, digest: Digest) -> bool:
    with suppress(OSError):
        return Digest.of_pieces(iter(lambda: os.read(fd, PIECE), b"")) == digest
    return False


def _shards(folder: str) -> Iterator[tuple[os.DirEntry[str], bool]]:
    """What is in `folder`, and whether it is a folder for contents."""
    with os.scandir(folder) as entries:
        for entry in list(entries):
            yield entry, _SHARD.match(entry.name) is not None and entry.is_dir()


def locked_file(folder: str) -> tuple[int, str]:
    """A new file in `folder`, open for writing and locked until that is closed, and its
    path."""
    while True:
        path = os.path.join(folder, secrets.token_hex(16))
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            # It had no lock for a moment, in which `remove_leftovers` may have taken it.
            if os.fstat(fd).st_nlink:
                return fd, path
        except BaseException:
            os.close(fd)
            with suppress(OSError):
                os.unlink(path)
            raise
        os.close(fd)


def leftovers(folder: str) -> list[str]:
    """The paths of the temporary files in `folder` that no living process writes."""
    with disk_faults(f"list {folder}"):
        paths = [os.path.join(folder, name) for name in os.listdir(folder)]
    return [path for path in paths if _if_unlocked(path, lambda _: None)]


def remove_leftovers(folder: str) -> int:
    """Remove the temporary files in `folder` that no living process writes.

    Returns how many there were. Safe while other processes write there.
    """
    with disk_faults(f"list {folder}"):
        names = os.listdir(folder)
    return sum(_if_unlocked(os.path.join(folder, name), os.unlink) for name in names)


def _if_unlocked(path: str, do: Callable[[str], None]) -> bool:
    """`do` it unless the file is locked; whether that was done."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        do(path)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
