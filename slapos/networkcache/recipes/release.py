"""``slapos.networkcache:release``: a software release that others are built on.

It is taken from the binary cache where a build of it runs at the place of the part; else it
is built there, and published, as ``networkcache release install`` does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import zc.buildout

from ..binary.installed import State, look_into
from ..binary.node import Node
from ..binary.releases import Releases
from ..buildout import hook, places
from ..buildout.run import Run
from ..key import urlmd5
from ..printable import readable
from . import options as reading
from .part import Part, place_at, shared_folders


class Recipe(Part):
    """Installs the release of a software URL as the folder of the part, or as its
    `destination`. It is made where it stays, for its files know their place."""

    def __init__(
        self, buildout: Mapping[str, Any], name: str, options: MutableMapping[str, str]
    ):
        self._buildout = buildout
        self._url = reading.required(options, "url")
        place = place_at(buildout, name, options.get("destination", ""))
        super().__init__(name, place, place.path)
        options["location"] = place.path

    def install(self) -> list[str]:
        """See `Part`. What a build that failed has left is gone on with."""
        with self._complaining():
            self.build(self.place.path)
        return [self.place.path]

    def build(self, path: str) -> None:
        url, state = readable(self._url), self._state(path)
        section = self._buildout["buildout"]
        offline = "true" in (section.get("offline"), section.get("install-from-cache"))
        if offline and state is not State.COMPLETE:
            raise zc.buildout.UserError(
                f"{url} is not installed, since in offline mode nothing is fetched"
            )
        if state is State.ABSENT:
            self.place.clear()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        how = Releases(self._node(path)).install(self._url)
        self.logger.info("%s %s", url, how.value)

    def _state(self, path: str) -> State:
        """What there is of it; of another release nothing counts."""
        found = look_into(path)
        same = found.url is not None and urlmd5(found.url) == urlmd5(self._url)
        return found.state if same else State.ABSENT

    def _node(self, path: str) -> Node:
        """This buildout, as a node with one release."""
        section = self._buildout["buildout"]
        run = hook.current() or Run(places.of_buildout(self._buildout))
        return Node(
            os.path.dirname(path),
            # Its place is long already where the release around it is built so.
            replace(run.config, build_prefix_length=None),
            run.options,
            tuple(shared_folders(section)),
            section.get("build-time-part-list", "").strip(),
            at=path,
            umask=None,
        )
