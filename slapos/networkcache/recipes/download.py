"""``slapos.networkcache:download``: a file by its URL."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, MutableMapping
from typing import Any

from . import options as reading
from .fetching import Wanted, fetched
from .part import Part, place_of


class Recipe(Part):
    """Puts the file into a folder of its own, or at its `destination`."""

    def __init__(
        self, buildout: Mapping[str, Any], name: str, options: MutableMapping[str, str]
    ):
        self._buildout = buildout["buildout"]
        self._wanted = Wanted.of(options)
        self._mode = reading.mode(options)
        place = place_of(buildout, name, options, self._wanted.checksums)
        filename = os.path.basename(options.get("filename", "").strip())
        self._file = "" if place.given else filename or name
        super().__init__(name, place, os.path.join(place.path, self._file).rstrip("/"))
        if not place.given:
            options["location"] = place.path
        options["target"] = self.target

    def build(self, path: str) -> None:
        if self._file:
            os.mkdir(path)
            path = os.path.join(path, self._file)
        with fetched(self._wanted, self._buildout) as file:
            # Never a link: what is in a download cache would change with it.
            shutil.copyfile(file, path)
        if self._mode is not None:
            os.chmod(path, self._mode)
