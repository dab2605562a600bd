"""A node: a folder of its own, a HOME of its own, and buildout through the cache."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from processes import run, script

HERE = Path(__file__).resolve().parent
FOREIGN = re.compile(r"(PYTHON|BUILDOUT_|buildout_|XDG_|VIRTUAL_ENV|MAKE|MFLAGS)")
"""Variables that would bring in something of the computer, or of the `make` that runs
this."""


@dataclass
class Node:
    """One computer, as far as this demo goes.

    `begin` and `end` are POSIX seconds, `code` is buildout's exit code. `urls` are what
    buildout opened, less fragments, `hosts` who was asked over HTTP by buildout, by pip,
    or by anything else that they started; both in order.
    """

    name: str
    folder: Path
    begin: float = 0
    end: float = 0
    code: int = -1
    urls: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for part in ("home", "tmp"):
            (self.folder / part).mkdir(parents=True)

    @property
    def slapos_cfg(self) -> Path:
        return self.folder / "slapos.cfg"

    @property
    def log(self) -> Path:
        return self.folder / "buildout.log"

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    def build(self, profile: Path, *options: str) -> None:
        """What a person types on a node: ``networkcache buildout`` in place of
        ``bin/buildout``."""
        command = [script("networkcache"), "buildout"]
        command += ["--networkcache-config", str(self.slapos_cfg)]
        command += ["-c", str(profile), f"buildout:directory={self.folder}", *options]
        self.begin = time.time()
        self.code = run(command, self.log, environment=self.environment, folder=self.folder)
        self.end = time.time()
        self.urls = [url.partition("#")[0] for url in self._watched("urls.log")]
        self.hosts = self._watched("hosts.log")

    def _watched(self, name: str) -> list[str]:
        """The lines of a log of `watch`."""
        log = self.folder / name
        return log.read_text().splitlines() if log.exists() else []

    @property
    def environment(self) -> dict[str, str]:
        """This computer's, without what it has in its caches and its HOME."""
        return {
            **{n: value for n, value in os.environ.items() if not FOREIGN.match(n)},
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(HERE / "watch"),
            "WATCH_LOG": str(self.folder),
            "PIP_NO_CACHE_DIR": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            # The origin is on this computer, which no proxy can reach.
            "no_proxy": f"127.0.0.1,{_no_proxy()}",
        }

    def said(self, words: str) -> list[str]:
        """The lines of the log in which slapos.networkcache says `words`."""
        lines = self.log.read_text(errors="replace").splitlines()
        prefix = "slapos.networkcache: "
        return [
            line.removeprefix(prefix)
            for line in lines
            if line.startswith(prefix) and words in line
        ]

    def program(self) -> Path:
        """The C program that the profile compiles."""
        return self.folder / "parts" / "hello" / "bin" / "hello"


def _no_proxy() -> str:
    return os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
