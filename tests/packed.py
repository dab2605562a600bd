"""A small release that is built by hand in a folder of a test's own, packed, and installed
at another place."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from caches import ALICE, NOW

from slapos.networkcache.binary.builds import Build
from slapos.networkcache.binary.destination import Destination
from slapos.networkcache.binary.installation import Marks, install
from slapos.networkcache.binary.manifest import MANIFEST, Manifest
from slapos.networkcache.binary.node import Node
from slapos.networkcache.binary.packing import Packed, pack
from slapos.networkcache.config import Config
from slapos.networkcache.digest import Digests
from slapos.networkcache.entry import Entry, Key, Pair
from slapos.networkcache.host import look_at_host
from slapos.networkcache.key import urlmd5
from slapos.networkcache.storage import Stored
from slapos.networkcache.testing import NetworkCache
from slapos.networkcache.zstandard import open_zstd

URL = "http://example.com/software.cfg"
NAME = urlmd5(URL)
HASH = "0123456789abcdef" * 2
MARKS = {".completed": b"now"}


@dataclass
class Archive:
    """What was packed, and all about it."""

    packed: Packed
    data: bytes

    @property
    def build(self) -> Build:
        return self.packed.build

    def tar(self) -> tarfile.TarFile:
        file = BytesIO(self.data)
        if self.build.archive == "tar.zst":
            with open_zstd(file) as stream:
                file = BytesIO(stream.read())
        return tarfile.open(fileobj=file)

    def members(self) -> dict[str, tarfile.TarInfo]:
        """In their order, by their names."""
        with self.tar() as tar:
            return {member.name: member for member in tar}

    def manifest(self) -> Manifest:
        with self.tar() as tar:
            file = tar.extractfile(f"{NAME}/{MANIFEST}")
            assert file is not None
            return Manifest.parse(file.read())

    def install(self, places: Destination, marks: Marks = MARKS) -> None:
        install(
            BytesIO(self.data), NAME, self.build, places,
            look=look_at_host, marks=marks,
        )  # fmt: skip

    def publish(self, cache: NetworkCache, *, age: int = 0, **changed: Any) -> None:
        """Put it into a cache, and what Alice has signed of it, so many seconds ago, but
        for what is `changed`."""
        key, digests = Key.for_release(URL), Digests.of([self.data])
        entry = Entry.make(
            key, digests, NOW - age, self.build.members() | changed,
            signer=ALICE.fingerprint,
        )  # fmt: skip
        cache.contents.put([self.data])
        cache.entries.put(key, Stored(Pair(entry.text, ALICE.sign(entry.text))))


@dataclass
class Workshop:
    """A folder in which a release is built, and its shared parts; its path is so long that
    all may be moved to another one beside it."""

    folder: Path
    release: Path = field(init=False)
    shared: Path = field(init=False)

    def __post_init__(self) -> None:
        long = self.folder / "a-folder-with-a-long-name-in-which-it-is-built"
        self.release, self.shared = long / "root" / NAME, long / "shared"
        self.release.mkdir(parents=True)

    def write(self, name: str, text: str | bytes, mode: int = 0o644) -> Path:
        return put(self.release / name, text, mode)

    def part(self, name: str, files: Mapping[str, str], hash: str = HASH) -> Path:
        """Build a shared part."""
        path = self.shared / name / hash
        path.mkdir(parents=True)
        for file, text in files.items():
            put(path / file, text)
        return path

    def pack(
        self, archive: str = "tar.zst", *, shared_folders: Sequence[Path] = ()
    ) -> Archive:
        config = Config.parse({"binary-cache-archive": archive})
        folders = tuple(map(str, shared_folders or [self.shared]))
        node = Node(str(self.release.parent), config, shared_folders=folders)
        file = BytesIO()
        packed = pack(node, URL, str(self.release), file, look=look_at_host)
        return Archive(packed, file.getvalue())

    def places(self, name: str = "node") -> Destination:
        """Those of a node; the folder of its shared parts is not there yet."""
        root = self.folder / name
        root.mkdir(exist_ok=True)
        return Destination(str(root / NAME), str(root / "parts"))


def put(path: Path, text: str | bytes, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def all_below(folder: Path) -> set[str]:
    """The names of all that is there."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
