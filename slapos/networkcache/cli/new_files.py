"""Files that a command makes, a private key for one: nothing that is there is ever written
over, and all of them are made or none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from ..errors import InvalidInput, NetworkcacheError


class AlreadyThere(NetworkcacheError):
    """A file that was to be made."""


def check_new(paths: Sequence[str]) -> None:
    """Raises `AlreadyThere`, and `InvalidInput` for paths at which nothing can be made."""
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise InvalidInput(f"the files to be made cannot both be {paths[0]}")
    for path in paths:
        if os.path.lexists(path):
            raise AlreadyThere(
                f"{path} is there already: nothing was written; move it away first"
            )
        folder = os.path.dirname(path) or "."
        if not os.path.isdir(folder):
            raise InvalidInput(f"the folder {folder} is not there: make it first")


def write_new(files: Sequence[tuple[str, int, bytes]]) -> None:
    """Make each path with its mode and its bytes; where one fails, none of them stays."""
    with contextlib.ExitStack() as undo:
        for path, mode, content in files:
            # O_EXCL: neither a file nor a link that came in between is written to.
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            undo.callback(os.unlink, path)
            with open(fd, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(fd)
        undo.pop_all()
