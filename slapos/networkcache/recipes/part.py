"""What the recipes share: where a part is put, and that it gets there at once.

With ``shared = true`` a part is put below a folder of ``buildout:shared-part-list``, under
its name and a hash of its options, by the rules of slapos.recipe.build: so it is found
again by other buildouts, and stays when it is uninstalled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import stat
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import zc.buildout
from zc.buildout.rmtree import rmtree

from ..errors import NetworkcacheError
from ..printable import readable
from ..urls import Checksum
from . import options as reading

_MARK = ".buildout-shared.json"
_BASE = "_profile_base_location_"


@dataclass(frozen=True)
class Place:
    """Where a part is put: `path`.

    `given` tells that its user chose it: then nothing that is there is removed.
    `signature` is what marks a shared part as whole, None of one that is not shared.
    """

    path: str
    given: bool = False
    signature: bytes | None = None

    @property
    def mark(self) -> str:
        return os.path.join(self.path, _MARK)

    @property
    def is_complete(self) -> bool:
        """Whether a shared part is there already."""
        return self.signature is not None and os.path.exists(self.mark)

    def check(self) -> None:
        """Raise `zc.buildout.UserError` where something is that must not be removed."""
        if not self.given or not os.path.lexists(self.path):
            return
        if os.path.isdir(self.path) and not os.listdir(self.path):
            return
        raise zc.buildout.UserError(
            f"{self.path} is there already: remove it, or choose another place"
        )

    def clear(self) -> None:
        """Remove what is there. Raises what `check` does."""
        self.check()
        _remove(self.path)

    def take(self, new: str) -> None:
        """Put what was made at `new` here, by one rename."""
        if self.signature is not None:
            self._share(new)
            return
        if not self.given:
            _remove(self.path)
        elif os.path.isdir(self.path) and not os.path.isdir(new):
            os.rmdir(self.path)
        os.rename(new, self.path)

    def _share(self, new: str) -> None:
        assert self.signature is not None
        with open(os.path.join(new, _MARK), "wb") as file:
            file.write(self.signature)
        if not self.is_complete:
            _remove(self.path)
        try:
            os.rename(new, self.path)
        except OSError:
            if not self.is_complete:  # else somebody else made the same meanwhile
                raise
            return
        _make_read_only(self.path)


def place_at(buildout: Mapping[str, Any], name: str, given: str) -> Place:
    """The place that is `given` by the user of a part, else that of any part."""
    if given.strip():
        return Place(os.path.abspath(given.strip()), given=True)
    return Place(os.path.join(buildout["buildout"]["parts-directory"], name))


def place_of(
    buildout: Mapping[str, Any],
    name: str,
    options: Mapping[str, str],
    checksums: Sequence[Checksum],
) -> Place:
    """The place of a part that has a `destination`, or may be shared if it has
    `checksums`: two with the same options must be the same.

    To be called before a recipe adds options of its own, which would change the hash.
    Raises `zc.buildout.UserError`.
    """
    own = place_at(buildout, name, options.get("destination", ""))
    if not reading.boolean(options, "shared"):
        return own
    if not checksums:
        raise zc.buildout.UserError(
            "with shared = true, one of md5sum, sha256sum and sha512sum must be given"
        )
    if own.given:
        raise zc.buildout.UserError("with shared = true, destination cannot be given")
    return _shared_place(buildout, name, options) or own


def _shared_place(
    buildout: Mapping[str, Any], name: str, options: Mapping[str, str]
) -> Place | None:
    """Where it is whole already, else where it may be written; None if it is nowhere."""
    signature = _signature(options)
    digest = hashlib.md5(signature, usedforsecurity=False).hexdigest()
    folders = shared_folders(buildout["buildout"])
    places = [Place(os.path.join(f, name, digest), False, signature) for f in folders]
    whole = [place for place in places if place.is_complete]
    pairs = zip(folders, places, strict=True)
    writable = [place for folder, place in pairs if os.access(folder, os.W_OK)]
    return next(iter(whole + writable), None)


def shared_folders(section: Mapping[str, str]) -> list[str]:
    """Those that the section ``[buildout]`` lists for shared parts."""
    listed = section.get("shared-part-list", "").splitlines()
    return [folder.strip().rstrip("/") for folder in listed if folder.strip()]


def _signature(options: Mapping[str, str]) -> bytes:
    """What makes two parts the same; byte for byte that of slapos.recipe.build."""
    base = options.get(_BASE)
    texts = {
        key: value.replace(base, "${:%s}" % _BASE) if base else value  # noqa: UP031
        for key, value in options.items()
        if key != _BASE
    }
    return json.dumps(texts, ensure_ascii=False, indent=2, sort_keys=True).encode()


class Part(ABC):
    """A section of a buildout; `build` is all that a recipe has to add.

    `target` is what must be there for the part to be installed.
    """

    def __init__(self, name: str, place: Place, target: str):
        self.name = name
        self.place = place
        self.target = target
        self.logger = logging.getLogger(name)

    @abstractmethod
    def build(self, path: str) -> None:
        """Make the file or folder `path`, from which it is moved to its place."""

    def install(self) -> list[str]:
        """Make the part; the paths that go when it is uninstalled."""
        place = self.place
        if place.is_complete:
            self.logger.info("shared at %s", place.path)
            return []
        place.check()
        parent = os.path.dirname(place.path)
        with self._complaining():
            os.makedirs(parent, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".installing-", dir=parent) as private:
                new = os.path.join(private, "part")
                self.build(new)
                place.take(new)
        if place.signature is not None:
            self.logger.info("shared at %s from now on", place.path)
            return []
        return [place.path]

    def update(self) -> list[str] | None:
        """Make the part again only if it is gone."""
        return None if os.path.lexists(self.target) else self.install()

    @contextlib.contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except (NetworkcacheError, OSError) as error:
            raise zc.buildout.UserError(readable(error)) from None


def _remove(path: str) -> None:
    """A file or a tree, if it is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _make_read_only(root: str) -> None:
    for folder, _, files in os.walk(root):
        for path in (folder, *(os.path.join(folder, file) for file in files)):
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                os.chmod(path, mode & 0o555)
