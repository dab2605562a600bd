"""A node: where its releases and its shared parts are, as its ``slapos.cfg`` says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import permutations

from ..config import Config
from ..configfile import SECTION
from ..errors import InvalidConfiguration, NotBelieved
from ..key import urlmd5
from .destination import Destination
from .incumbent import ROOT
from .ownership import SAFE_UMASK
from .prefixes import check_prefix, is_within

_EFFECTIVE = {"effective_ids": True} if os.access in os.supports_effective_ids else {}


@dataclass(frozen=True)
class Node:
    """`software_root` is the folder of the releases, `shared_folders` are those of shared
    parts; `options` is the section ``[networkcache]`` as it stands, `config` what it says.
    `at` is the place of the only release of a node that has one, as a part of a buildout;
    what is made has the mode that `umask` leaves, None for that of the process.
    """

    software_root: str
    config: Config
    options: Mapping[str, str] = field(default_factory=dict)
    shared_folders: tuple[str, ...] = ()
    build_time_part_list: str = ""
    at: str | None = None
    umask: int | None = SAFE_UMASK

    @classmethod
    def of(cls, sections: Mapping[str, Mapping[str, str]], config: Config) -> Node:
        """What the sections of a configuration file say; `config` is that of its section
        ``[networkcache]``. Raises `InvalidConfiguration` for folders in which nothing can
        be built."""
        slapos = sections.get("slapos", {})
        shared = slapos.get("shared_part_list", "").splitlines()
        folders = [os.path.abspath(line.strip()) for line in shared if line.strip()]
        node = cls(
            os.path.abspath(slapos.get("software_root", "").strip() or ROOT),
            config,
            sections.get(SECTION, {}),
            tuple(dict.fromkeys(folders)),
            slapos.get("build_time_part_list", "").strip(),
        )
        node._check()
        return node

    def _check(self) -> None:
        self._check_folder("software_root", self.software_root, f"/{'0' * 32}")
        for folder in self.shared_folders:
            self._check_folder("shared_part_list", folder)
        for inner, outer in permutations(self.shared_folders, 2):
            if is_within(inner, outer):
                raise InvalidConfiguration(
                    f"shared_part_list in [slapos]: {inner} is inside of {outer}: name one"
                )
        if not os.path.isdir(self.software_root):
            raise InvalidConfiguration(
                f"software_root in [slapos]: {self.software_root} is not there: make it,"
                " owned by the user who is to own the releases"
            )

    def _check_folder(self, option: str, folder: str, release: str = "") -> None:
        try:
            check_prefix(folder + release)
        except NotBelieved as error:
            raise InvalidConfiguration(f"{option} in [slapos]: {error}") from None
        if (real := os.path.realpath(folder)) != folder:
            raise InvalidConfiguration(
                f"{option} in [slapos]: {folder} is reached over a link, and files may name"
                f" either: write {real}"
            )

    def place(self, url: str) -> str:
        """The folder of the release of a software URL."""
        return self.at or os.path.join(self.software_root, urlmd5(url))

    def destination(self, url: str) -> Destination:
        """The same, with the folder that shared parts are put into: the first that may be
        written, as the recipes choose it."""
        writable = filter(_may_write, self.shared_folders)
        return Destination(self.place(url), next(writable, None))


def _may_write(folder: str) -> bool:
    """Or make it, where it is not there yet."""
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    return os.access(folder, os.W_OK, **_EFFECTIVE)
