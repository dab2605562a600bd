"""What the extension adds to a buildout that fetches nothing: no parts, all installed.

Three buildouts take turns: one with ours and a section for it, one with an extension that
does nothing, and one without any. Each runs in a Python that sees the same distributions,
but for the extension at hand: zc.buildout loads every extension that it sees.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

from slapos.networkcache import __file__ as ours
from slapos.networkcache.certificates import generate

from .rows import Row, in_turn

ROUNDS, LIMIT = 25, 50.0
BUILDOUT = "from zc.buildout.buildout import main; main()"
OURS, NOTHING = "slapos.networkcache", "nothing"
PINNED = ("zc.buildout", "setuptools", "pip", "wheel")


def run(folder: Path) -> list[Row]:
    without = Place(folder / "without")
    nothing = Place(folder / "nothing", NOTHING)
    nothing.add_nothing()
    with_ours = Place(folder / "ours", OURS, _section())
    with_ours.add_ours()
    for place in (without, nothing, with_ours):
        place.time_buildout()  # makes what is there from then on
    seconds = in_turn(
        ROUNDS, without.time_buildout, nothing.time_buildout, with_ours.time_buildout
    )
    alone = median(ours - nothing for _, nothing, ours in seconds) * 1000
    in_all = median(ours - without for without, _, ours in seconds) * 1000
    what = "the extension adds to a buildout that fetches nothing, against {}"
    count = str(ROUNDS)
    return [
        Row(what.format("one that does nothing"), None, alone, "ms", count, limit=LIMIT),
        Row(what.format("none"), None, in_all, "ms", count, limit=LIMIT),
    ]


def _section() -> str:
    """As a profile has it; nobody is asked."""
    certificate = generate("rsa").self_signed("signer", time.time())
    lines = "".join(f"  {line}\n" for line in certificate.splitlines())
    return (
        "[networkcache]\n"
        "download-cache-url = http://127.0.0.1:9/shacache\n"
        "download-dir-url = http://127.0.0.1:9/shadir\n"
        f"signature-certificate-list =\n{lines}"
    )


class Place:
    """A buildout in `folder`, and what its Python sees: the distributions that are here,
    less ours."""

    def __init__(self, folder: Path, extension: str = "", section: str = ""):
        self._folder = folder / "buildout"
        self._folder.mkdir(parents=True)
        self._path = folder / "path"
        self._path.mkdir()
        for entry in _site_packages().iterdir():
            if not entry.name.startswith(("slapos", "__editable__", "__pycache__")):
                (self._path / entry.name).symlink_to(entry)
        names = [*PINNED, *({OURS} & {extension})]
        pins = "".join(f"{name} = {version(name)}\n" for name in names)
        (self._folder / "buildout.cfg").write_text(
            f"[buildout]\nparts =\nnewest = false\nextensions = {extension}\n"
            f"{section}\n[versions]\n{pins}"
        )

    def add_ours(self) -> None:
        """Let it see this package, as it is when it is installed from a wheel."""
        (found,) = _site_packages().glob("slapos_networkcache-*.dist-info")
        (self._path / found.name).symlink_to(found)
        (self._path / "slapos").mkdir()
        (self._path / "slapos" / "networkcache").symlink_to(Path(ours).parent)

    def add_nothing(self) -> None:
        """Let it see an extension that does nothing."""
        (self._path / f"{NOTHING}.py").write_text("def load(buildout):\n    pass\n")
        metadata = self._path / f"{NOTHING}-1.0.dist-info"
        metadata.mkdir()
        metadata.joinpath("METADATA").write_text(f"Name: {NOTHING}\nVersion: 1.0\n")
        metadata.joinpath("entry_points.txt").write_text(
            f"[zc.buildout.extension]\ndefault = {NOTHING}:load\n"
        )

    def time_buildout(self) -> float:
        """Seconds from the start of the process to its end."""
        home = self._folder.parent / "home"
        environment = {"HOME": str(home), "PYTHONPATH": str(self._path)}
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-S", "-c", BUILDOUT],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - start
        if done.returncode or "Getting" in done.stdout:
            raise RuntimeError(f"buildout failed:\n{done.stdout}{done.stderr}")
        return seconds


def _site_packages() -> Path:
    return Path(sysconfig.get_path("purelib"))
