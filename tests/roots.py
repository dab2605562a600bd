"""Other roots for a command: this computer without some of its folders, and one that has
hardly more than a C library."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

from isolation import Wrap


def without(*folders: Path) -> Wrap:
    """What runs a command for which these folders are empty. Only root can."""
    script = """\
while [ "$1" != -- ]; do
  mount -t tmpfs none "$1"; shift
done
shift; exec "$@"
"""
    return ("unshare", "--mount", "sh", "-ec", script, "without", *map(str, folders), "--")


def inside(root: Path, *folders: Path) -> Wrap:
    """What runs a command with another root, in which these folders are where they are
    here. Only root can."""
    script = """\
root=$1; shift
mount --rbind /dev "$root/dev"; mount --rbind /proc "$root/proc"
while [ "$1" != -- ]; do
  mkdir -p "$root$1"; mount --rbind "$1" "$root$1"; shift
done
shift; exec chroot "$root" "$@"
"""
    words = ("unshare", "--mount", "sh", "-ec", script, "inside", str(root))
    return (*words, *map(str, folders), "--")


_LIBC = [
    f"lib{name}" for name in ("c.so.6", "m.so.6", "dl.so.2", "pthread.so.0", "rt.so.1")
]


def bare_root(folder: Path, libraries: Iterable[str] = ()) -> Path:
    """Make `folder` a root that has the C library and a shell of this computer, and
    `libraries` by their names: no compiler, no headers, no Python."""
    for name in ("dev", "proc", "tmp"):
        (folder / name).mkdir(parents=True)
    # Of several with one name, the loader takes the first.
    here = dict(reversed(_CACHED.findall(_output("ldconfig", "-p"))))
    wanted = [Path(here[name]) for name in {*_LIBC, *libraries}]
    _copy([Path("/bin/sh"), *wanted], folder)
    return folder


def add_python(root: Path) -> tuple[Path, ...]:
    """Give a bare root the Python of these tests; the folders that are to be `inside`."""
    standard = Path(sysconfig.get_path("stdlib"))
    packages = Path(sysconfig.get_path("platlib"))
    # The links that lead from a virtual environment to its Python, and that.
    links = [Path(sys.executable)]
    while links[-1].is_symlink():
        links.append(links[-1].parent / links[-1].readlink())
    _copy(links[1:] or links, root)
    _copy(_needed([*standard.glob("lib-dynload/*.so"), *packages.rglob("*.so")]), root)
    return (standard, Path(sys.prefix), Path(__file__).resolve().parents[1] / "slapos")


def _copy(files: Sequence[Path], root: Path) -> None:
    for path in {*files, *_needed(files)}:
        copy = root / str(path).lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


def _needed(files: Sequence[Path]) -> list[Path]:
    """The libraries that the loader finds for them."""
    return [Path(path) for path in _NEEDED.findall(_output("ldd", *map(str, files)))]


_CACHED = re.compile(r"^\s+(\S+) \(.*\) => (\S+)$", re.M)
_NEEDED = re.compile(r"^\s+(?:\S+ => )?(/\S+) \(", re.M)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
