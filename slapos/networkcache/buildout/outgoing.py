"""Files that wait to be published: copies that nobody else changes."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from ..localstore import LocalStore


class Outgoing:
    """The files of one run, in a folder of its own: beside the local store that
    `local_store` gives, or, where that is None, among the temporary files."""

    def __init__(self, local_store: Callable[[], LocalStore | None]):
        self._local_store = local_store
        self._folder: str | None = None
        self._lock = threading.Lock()

    def new_file(self) -> IO[bytes]:
        """A new file, open for writing, that stays when it is closed."""
        return tempfile.NamedTemporaryFile(
            dir=self._get_folder(), prefix="outgoing-", delete=False
        )

    def copy(self, path: str) -> str:
        """The path of a copy of the file at `path`, whose owner may change it."""
        with open(path, "rb") as original, self.new_file() as file:
            shutil.copyfileobj(original, file, 1 << 20)
        return file.name

    def close(self) -> None:
        """Remove what is left."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _get_folder(self) -> str:
        with self._lock:
            if self._folder is None:
                local = self._local_store()
                self._folder = (
                    tempfile.mkdtemp(prefix="networkcache-")
                    if local is None
                    else local.new_folder()
                )
            return self._folder
