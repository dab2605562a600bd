"""``slapos.networkcache:server``: a server of a network cache, ready to be started.

Its options are those of the configuration file. What the server keeps is outside of the
part, and is never removed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import zc.buildout
import zc.buildout.easy_install

from ..errors import InvalidConfiguration
from ..server.accounts.authority import CERTIFICATE, Authority
from ..server.accounts.authority import FOLDER as AUTHORITY
from ..server.configuration.file import combine, parse, text_of
from ..server.configuration.options import PORT, Options
from .part import Part, place_at

DISTRIBUTION = "slapos.networkcache[server]"
FILE = "networkcache.cfg"
_EVERYWHERE = ("", "0.0.0.0", "::")
"""Hosts to listen on that are no addresses to go to."""
_OF_BUILDOUT = ("recipe", "<part-dependencies>", "_profile_base_location_")


class Recipe(Part):
    """Writes the configuration into the folder of the part, and ``bin/PART``, which starts
    a server with it; makes the server's folder, with the authority of its accounts."""

    def __init__(
        self, buildout: Mapping[str, Any], name: str, options: MutableMapping[str, str]
    ):
        self._buildout = section = buildout["buildout"]
        place = place_at(buildout, name, "")
        super().__init__(name, place, os.path.join(place.path, FILE))
        folder = Path(section["directory"])
        given = {n: v for n, v in options.items() if n not in _OF_BUILDOUT}
        given.setdefault("root", f"var/{name}")
        try:
            server = combine(parse(given, folder), None)
            self._text = text_of(given, folder)
        except InvalidConfiguration as error:
            raise zc.buildout.UserError(str(error)) from None
        self._authority = server.root / AUTHORITY
        self._script = os.path.join(section["bin-directory"], name)
        options["root"] = str(server.root)
        options["configuration"] = self.target
        options["script"] = self._script
        options["authority-certificate"] = str(self._authority / CERTIFICATE)
        if (url := _url(server)) is not None:
            options["url"] = url
            options["cache-url"], options["dir-url"] = f"{url}/shacache", f"{url}/shadir"

    def install(self) -> list[str]:
        """See `Part`; again at each update, for the script leads to eggs."""
        paths = super().install()
        with self._complaining():
            Authority(self._authority)
        return [*paths, *self._make_script()]

    update = install

    def build(self, path: str) -> None:
        os.mkdir(path)
        with open(os.path.join(path, FILE), "w", encoding="utf-8") as file:
            file.write(f"# Written by buildout, for its part {self.name}.\n\n{self._text}")

    def _make_script(self) -> list[str]:
        made: list[str] = zc.buildout.easy_install.scripts(
            [(self.name, "slapos.networkcache.cli", "main")],
            self._eggs(),
            sys.executable,
            self._buildout["bin-directory"],
            arguments=f'["server", "run", "--config", {self.target!r}, *sys.argv[1:]]',
        )
        return made

    def _eggs(self) -> Any:
        """What the server needs, as ``zc.recipe.egg`` has it installed."""
        section = self._buildout
        eggs, develop = section["eggs-directory"], section["develop-eggs-directory"]
        if section.get("offline") == "true":
            return zc.buildout.easy_install.working_set([DISTRIBUTION], [develop, eggs])
        return zc.buildout.easy_install.install(
            [DISTRIBUTION],
            eggs,
            links=section.get("find-links", "").split(),
            index=section.get("index", "").strip() or None,
            path=[develop],
            newest=section.get("newest") == "true",
            allow_hosts=section.get("allow-hosts", "*").split(),
        )


def _url(server: Options) -> str | None:
    """Where clients reach the server, as far as the options tell."""
    if server.public_url is not None:
        return server.public_url
    if server.port == 0 or (server.port is None and server.socket is not None):
        return None
    if server.host in _EVERYWHERE:
        return None
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"http://{host}:{server.port or PORT}"
