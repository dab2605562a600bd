"""``slapos.networkcache:download-unpacked``: what is in an archive, by its URL."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import zc.buildout

from ..errors import InvalidArchive
from ..printable import readable
from ..unpacking import unpack
from . import options as reading
from .fetching import Wanted, fetched
from .part import Part, place_of


class Recipe(Part):
    """Unpacks the archive as the folder of the part, or as its `destination`."""

    def __init__(
        self, buildout: Mapping[str, Any], name: str, options: MutableMapping[str, str]
    ):
        self._buildout = buildout["buildout"]
        self._wanted = Wanted.of(options)
        self._strip = reading.boolean(options, "strip-top-level-dir")
        place = place_of(buildout, name, options, self._wanted.checksums)
        super().__init__(name, place, place.path)
        options["location"] = options["target"] = place.path

    def build(self, path: str) -> None:
        with fetched(self._wanted, self._buildout) as file:
            try:
                unpack(file, path, strip_top=self._strip)
            except InvalidArchive as error:
                url = readable(self._wanted.url)
                raise zc.buildout.UserError(f"{url} is not unpacked: {error}") from None
