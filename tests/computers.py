"""Computers whose ``/opt/slapgrid`` is a folder of a test.

What incumbents put into the binary cache only works at the path where it was built, for
everybody the same. So each computer has mounts of its own, which nobody else sees and
which end with the command that runs there. Only root can make them.

As a script, this is what runs in the new namespace: it mounts, and becomes the command.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOFTWARE_ROOT = Path("/opt/slapgrid")
OWNER, OWNER_ID = "slapsoft", 64001
"""Whose the software root is, as on all nodes of SlapOS: slapgrid does not build as root.
The number, of user and group, stands for nobody outside."""
UNSHARE = ("unshare", "--mount", "--mount-proc", "--pid", "--fork", "--kill-child")
"""With the command dies all that it has started."""
TIMEOUT = 120


def missing() -> str:
    """What is not here to make one; nothing if nothing is missing."""
    try:
        done = subprocess.run([*UNSHARE, "true"], capture_output=True)
    except FileNotFoundError:
        return "unshare is not there: apt-get install util-linux"
    if done.returncode:
        return "only root can mount a software root of its own: run these tests with sudo"
    return ""


@dataclass(frozen=True)
class Computer:
    """One whose software root lies in `folder`, which it makes, and belongs to `OWNER`.

    `os_release` is the text of its ``/etc/os-release``, if not that of this computer.
    """

    folder: Path
    os_release: str = ""

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.make(SOFTWARE_ROOT)
        files = {
            "passwd": _with_owner("passwd", f"{OWNER_ID}::{SOFTWARE_ROOT}:/bin/false"),
            "group": _with_owner("group", ""),
            "os-release": self.os_release or Path("/etc/os-release").read_text(),
        }
        for name, text in files.items():
            (self.folder / name).write_text(text)

    def make(self, path: Path) -> None:
        """Make a folder for its owner, at or in its software root."""
        self.outside(path).mkdir()
        os.chown(self.outside(path), OWNER_ID, OWNER_ID)

    def outside(self, path: Path) -> Path:
        """What a path in its software root is named here."""
        return self.folder / "slapgrid" / path.relative_to(SOFTWARE_ROOT)

    def run(
        self, *command: str | Path, reachable: Sequence[Path] = (), **how
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there, as root; what it says is text.

        What lies in `reachable` can be read by everybody there, as what these tests run on
        can, although a folder above may be closed here. For `how` see `subprocess.run`.
        """
        binds = {str(self.outside(SOFTWARE_ROOT)): str(SOFTWARE_ROOT)}
        for name in ("passwd", "group", "os-release"):
            binds[str(self.folder / name)] = os.path.realpath(f"/etc/{name}")
        paths = (ROOT, Path(sys.prefix), Path(sys.base_prefix), *reachable)
        wanted = {"binds": binds, "reachable": [str(path.resolve()) for path in paths]}
        return subprocess.run(
            [*UNSHARE, sys.executable, __file__, json.dumps(wanted), *command],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            **how,
        )


def _with_owner(name: str, more: str) -> str:
    """The file of that name in /etc with a line for `OWNER`."""
    lines = Path("/etc", name).read_text().splitlines()
    lines = [line for line in lines if line.partition(":")[0] != OWNER]
    return "\n".join([*lines, f"{OWNER}:x:{OWNER_ID}:{more}", ""])


# -- in the namespace


def main(wanted: str, *command: str) -> None:
    mounts = json.loads(wanted)
    for path in map(Path, mounts["reachable"]):
        for folder in reversed(path.parents):
            if not folder.stat().st_mode & stat.S_IXOTH:
                _cover(folder)
    if not SOFTWARE_ROOT.exists():
        _cover(SOFTWARE_ROOT.parent)
        SOFTWARE_ROOT.mkdir()
    for source, target in mounts["binds"].items():
        _mount("--bind", source, target)
    os.execvp(command[0], command)


def _cover(folder: Path) -> None:
    """Mount a folder over `folder` in which there is the same, but which everybody may
    pass, and where mount points can be made."""
    held = {path: os.open(path, os.O_PATH | os.O_NOFOLLOW) for path in folder.iterdir()}
    _mount("-t", "tmpfs", "-o", "mode=755", "none", folder)
    for path, descriptor in held.items():
        mode = os.stat(descriptor).st_mode
        if stat.S_ISLNK(mode):
            path.symlink_to(os.readlink("", dir_fd=descriptor))
        else:
            path.mkdir() if stat.S_ISDIR(mode) else path.touch()
            # What the descriptor stands for has no path any more.
            source = f"/proc/{os.getpid()}/fd/{descriptor}"
            _mount("--no-canonicalize", "--rbind", source, path)
        os.close(descriptor)


def _mount(*arguments: Path | str) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
