"""A folder of this user's own: not another's, not one that others write in, and not one
that others could lead elsewhere.

Whoever may write in the folder that a program trusts can make it read, send or remove
what they choose. A folder that fails here is left alone, and the log says what to do.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .errors import StorageFailure
from .storage.durable import disk_faults

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_LINKS = 40
"""How many links the kernel follows on one way."""


def make_private_folder(folder: Path) -> None:
    """Make the folder where it is not there, with its parents, for this user alone.

    Raises `StorageFailure` as `check_private_folder` does, before anything is made.
    """
    path = os.path.abspath(folder)
    if not os.path.lexists(path):
        _check_way(path)  # another's link may not even choose where a folder is made
        with disk_faults(f"make the folder {path}"):
            make_folders(path)
    check_private_folder(folder)


def check_private_folder(folder: Path) -> None:
    """Raise `StorageFailure` unless the folder is there, and this user's own."""
    path = os.path.abspath(folder)
    _check_way(path)
    with disk_faults(f"use the folder {path}"):
        status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        raise _refusal(path, "it is a link: name the folder that it leads to")
    if not stat.S_ISDIR(status.st_mode):
        raise _refusal(path, "it is no folder: choose another")
    if status.st_uid != os.geteuid():
        raise _refusal(
            path,
            f"it belongs to user {status.st_uid}, and this is user {os.geteuid()}:"
            " choose a folder of this user",
        )
    if status.st_mode & _OTHERS_WRITE:
        raise _refusal(
            path,
            "others may write in it: remove it, or look at what is in it and then"
            f" chmod go-w {path}",
        )


def make_folders(path: str) -> None:
    """Make the folder and its parents where they are not there, for this user alone:
    whatever the umask, and unlike `os.makedirs` the parents too."""
    try:
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        make_folders(os.path.dirname(path))
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def _check_way(path: str) -> None:
    """Refuse links of other users, as far as the way to `path` is there already."""
    with disk_faults(f"use the folder {path}"), suppress(FileNotFoundError):
        for place, owner in _links(os.path.dirname(path)):
            if owner not in (0, os.geteuid()):
                raise _refusal(
                    path,
                    f"{place}, on the way to it, is a link of user {owner}: choose another"
                    " folder",
                )


def _links(path: str) -> Iterator[tuple[str, int]]:
    """The links that the kernel follows on its way to the absolute `path`, those in what
    they lead to included, each with its owner."""
    here = "/"
    ahead = path.split("/")[::-1]
    followed = 0
    while ahead:
        name = ahead.pop()
        if name in ("", "."):
            continue
        if name == "..":
            here = os.path.dirname(here)
            continue
        place = os.path.join(here, name)
        status = os.lstat(place)
        if not stat.S_ISLNK(status.st_mode):
            here = place
            continue
        if followed == _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        followed += 1
        yield place, status.st_uid
        target = os.readlink(place)
        here = "/" if target.startswith("/") else here
        ahead += target.split("/")[::-1]


def _refusal(path: str, why: str) -> StorageFailure:
    return StorageFailure(f"{path} is not used: {why}")
