"""Folders in which something is made that is renamed to its place at the end. Nobody but
their owner may enter them, and they go when they are no longer used, however that comes."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

logger = logging.getLogger("slapos.networkcache")


@contextmanager
def work_folder(parent: str, purpose: str) -> Iterator[str]:
    """A new folder in `parent`, for as long as this lasts; `purpose` is a part of its name,
    see `remove_left_over`."""
    folder, lock = _locked_folder(parent, _beginning(purpose))
    try:
        yield folder
    finally:
        try:
            remove_tree(folder)
        finally:
            os.close(lock)


def _locked_folder(parent: str, beginning: str) -> tuple[str, int]:
    """A new folder, and a descriptor that keeps it locked."""
    while True:
        folder = tempfile.mkdtemp(prefix=beginning, dir=parent)
        # It has no lock for a moment, in which `remove_left_over` may take it.
        with suppress(FileNotFoundError):
            lock = open_folder(folder)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.isdir(folder):
                return folder, lock
            os.close(lock)


def open_folder(folder: str) -> int:
    """A descriptor of it; a link is none."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def remove_left_over(parent: str, purpose: str) -> None:
    """Remove what one who was killed has left in `parent`, of the same purpose; not what
    somebody is at, who may be another node with the same folder."""
    with suppress(FileNotFoundError):
        for name in os.listdir(parent):
            if name.startswith(_beginning(purpose)):
                _remove_unlocked(os.path.join(parent, name))


def _remove_unlocked(folder: str) -> None:
    """What is of another user is left to that one. What cannot be removed is in nobody's
    way."""
    try:
        lock = open_folder(folder)
    except OSError as error:
        logger.debug("%s is left: %s", folder, error)
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_tree(folder)
    except BlockingIOError:
        pass
    except OSError as error:
        logger.warning("%s cannot be removed: %s", folder, error)
    finally:
        os.close(lock)


def _beginning(purpose: str) -> str:
    return f".networkcache-{purpose}-"


def remove_tree(folder: str) -> None:
    """Remove a tree in which there may be folders that are only read."""
    _open_up(folder)
    for path, names, _ in os.walk(folder):
        for name in names:
            _open_up(os.path.join(path, name))
    shutil.rmtree(folder)


def _open_up(folder: str) -> None:
    with suppress(PermissionError):  # of somebody else: to remove it may work still
        if not os.path.islink(folder):
            os.chmod(folder, 0o700)
