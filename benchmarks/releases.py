"""A software release of more than 300 MB, packed and installed.

The incumbent's way is what slapos.core does: `tarfile` with gzip, the SHA-512 of that, and
`extractall`. Ours finds the folders that files name, takes down what they need of a host,
packs, compresses and hashes in one pass; it installs under a shorter folder, relocated and
checked. What both are bound by is creating files: ``cp -a`` does nothing else.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

from softwares import built

from slapos.networkcache.binary.destination import Destination
from slapos.networkcache.binary.installation import install
from slapos.networkcache.binary.node import Node
from slapos.networkcache.binary.packing import Packed, pack
from slapos.networkcache.config import Config
from slapos.networkcache.host import look_at_host

from .rows import Row, take_turns

ROUNDS, FACTOR, LEAST = 5, 10, 300 * 10**6


def run(folder: Path) -> list[Row]:
    release = built("software")
    node = Node(str(release.root), Config(), shared_folders=(str(release.shared),))
    with (folder / "ours").open("w+b") as archive:
        pack_it = partial(pack, node, release.url, str(release.folder), archive)
        packed = pack_it(look=look_at_host)
        if packed.build.unpacked_size < LEAST:
            raise RuntimeError(f"the tree has {packed.build.unpacked_size} bytes only")
        old = folder / "old.tar.gz"
        old_cpu, our_cpu = take_turns(
            ROUNDS,
            partial(_cpu, partial(_pack_as_incumbent, release.folder, old)),
            partial(_cpu, partial(_pack_again, archive, pack_it)),
        )
        copied, old_time, our_time = take_turns(
            ROUNDS,
            partial(_wall, folder, partial(_copy, release.folder)),
            partial(_wall, folder, partial(_unpack_as_incumbent, old)),
            partial(_wall, folder, partial(_install, archive, packed, release.folder.name)),
        )
    megabytes = packed.build.unpacked_size / 10**6
    what = f"release of {megabytes:.0f} MB, {packed.build.files} members"
    size = packed.archived.content.size / 10**6
    count = str(ROUNDS)
    return [
        Row(f"{what}, packed, CPU", old_cpu, our_cpu, "s", count, FACTOR),
        Row(f"{what}, archive", old.stat().st_size / 10**6, size, "MB", "1"),
        Row(f"{what}, unpacked or installed", old_time, our_time, "s", count),
        Row("the same, for one second of cp -a", old_time / copied, our_time / copied,
            "s", count),
    ]  # fmt: skip


def _pack_again(archive: IO[bytes], pack_it: Callable[..., Packed]) -> None:
    archive.seek(0)
    archive.truncate()
    pack_it(look=look_at_host)
    archive.flush()


def _pack_as_incumbent(tree: Path, path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tree, arcname=tree.name)
    with path.open("rb") as file:
        hash = hashlib.sha512()
        while data := file.read(65536):
            hash.update(data)


def _copy(tree: Path, destination: Path) -> None:
    subprocess.run(["cp", "-a", tree, destination], check=True)


def _unpack_as_incumbent(path: Path, destination: Path) -> None:
    with tarfile.open(path) as archive:
        archive.extractall(destination)


def _install(archive: IO[bytes], packed: Packed, name: str, destination: Path) -> None:
    places = Destination(str(destination / "release"), str(destination / "shared"))
    install(archive, name, packed.build, places, look=look_at_host, marks={})


def _cpu(work: Callable[[], None]) -> float:
    """CPU seconds of a process that does nothing else."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
            os._exit(1)
        os._exit(0)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"{work} failed")
    return usage.ru_utime + usage.ru_stime


def _wall(folder: Path, work: Callable[[Path], None]) -> float:
    """Seconds that it takes in an empty folder, with nothing left to be written before."""
    destination = folder / "destination"
    destination.mkdir()
    os.sync()
    start = time.perf_counter()
    work(destination)
    seconds = time.perf_counter() - start
    shutil.rmtree(destination)
    return seconds
