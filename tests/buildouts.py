"""The versions of zc.buildout that the hook is for, in environments of their own.

Each environment is made once, in ``.buildouts`` of the repository, and again when a pin
below or ``setup.cfg`` changes. slapos.networkcache is installed there as from a wheel,
but its modules are those of this checkout, as they are now.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from incumbents import Unavailable, environment, pip

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
AT_START = HERE / "at_start"
"""Scripts that may be named in `RUN_AT_START`, a variable of their Pythons."""
FOLDER = ROOT / ".buildouts"
OURS = "slapos.networkcache"
SOURCES = ("setup.py", "setup.cfg", "README.rst", "CHANGES.rst", "LICENSE")

TOOLS: Mapping[str, Mapping[str, str]] = {
    "3.3": {"setuptools": "65.5.0", "pip": "24.3.1", "wheel": "0.43.0"},
    "4.1.12": {"setuptools": "75.8.0", "pip": "24.3.1", "wheel": "0.45.1"},
    "5.2.0": {"setuptools": "80.8.0", "pip": "25.2", "wheel": "0.45.1"},
    "6.0.1": {"setuptools": "84.2.1", "pip": "26.3", "wheel": "0.48.0"},
}
"""What goes with each version. 3.3 wants a setuptools with an index of its own, 5.2.0 one
with ``pkg_resources``; pip builds every sdist in isolation since 25.3."""
NEWEST_PYTHON = {"3.3": (3, 11)}
"""Where that setuptools runs on no newer one."""
mostly_long = pytest.mark.parametrize(
    "zc_buildout",
    [pytest.param(v, marks=[] if v == "6.0.1" else pytest.mark.long) for v in TOOLS],
    indirect=True,
)
"""Marks a test that is quick with the newest version only."""

RECIPE_EGG = {"3.3": "2.0.7", "4.1.12": "2.0.7", "5.2.0": "4.0.0", "6.0.1": "4.0.0"}

DEPENDENCIES = {
    "backports-zstd": "1.8.0",
    "certifi": "2026.10.19.post1",
    "cffi": "2.1.1",
    "charset-normalizer": "3.5.2",
    "cryptography": "50.0.2",
    "idna": "3.20",
    "packaging": "26.3",
    "platformdirs": "4.14.8",
    "pycparser": "3.12",
    "requests": "2.34.2",
    "tqdm": "4.70.1",
    "urllib3": "2.8.0",
}
"""What zc.buildout and slapos.networkcache need besides."""
TESTERS = {
    "bobo": "2.3.0",
    "build": "1.3.0",
    "hatchling": "1.29.0",
    "manuel": "1.13.0",
    "zc.recipe.deployment": "1.3.0",
    "zc.zdaemonrecipe": "1.0.0",
    "zdaemon": "5.2.1",
    "zope.testing": "6.2",
}
"""What zc.buildout's own tests need besides."""


@dataclass(frozen=True)
class Buildout:
    """An environment: its Python, and what is pinned in it for a ``[versions]``."""

    version: str
    python: Path
    pins: Mapping[str, str]


def buildout(version_: str, *, testers: bool = False) -> Buildout:
    """The environment of a version of zc.buildout, with what its own tests need if
    `testers`. Raises `Unavailable`."""
    newest = NEWEST_PYTHON.get(version_, sys.version_info)
    if sys.version_info[:2] > newest[:2]:
        wanted = ".".join(map(str, newest))
        raise Unavailable(f"zc.buildout {version_} wants Python {wanted} or older")
    pins = {"zc.buildout": version_, **TOOLS[version_]}
    requirements = _requirements(pins | DEPENDENCIES | (TESTERS if testers else {}))

    def fill(folder: Path) -> None:
        # Those that build what comes as a source distribution, first.
        pip(folder, "install", *_requirements(TOOLS[version_]))
        pip(folder, "install", "--no-build-isolation", *requirements)
        _install_ours(folder)
        _run_at_start(folder)

    name = f"{'suite-' if testers else ''}{version_}"
    name += f"-python{sys.version_info[0]}.{sys.version_info[1]}"
    setup = hashlib.sha256((ROOT / "setup.cfg").read_bytes()).hexdigest()
    this = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    folder = environment(FOLDER / name, fill, *requirements, setup, this)
    return Buildout(version_, folder / "bin" / "python", pins | {OURS: version(OURS)})


def _requirements(pins: Mapping[str, str]) -> list[str]:
    return [f"{name}=={pin}" for name, pin in pins.items()]


def _install_ours(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as source:
        # A copy, since building leaves folders beside the sources.
        for name in SOURCES:
            shutil.copy(ROOT / name, source)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "slapos", Path(source) / "slapos", ignore=ignored)
        pip(folder, "install", "--no-build-isolation", "--no-deps", source)
    package = _site_packages(folder) / "slapos" / "networkcache"
    shutil.rmtree(package)
    package.symlink_to(ROOT / "slapos" / "networkcache")


def _run_at_start(folder: Path) -> None:
    """Let every Python of the environment run the scripts that `RUN_AT_START` names."""
    (_site_packages(folder) / "run_at_start.pth").write_text("import run_at_start\n")
    (_site_packages(folder) / "run_at_start.py").write_text(
        "import os, runpy\n"
        "for script in os.environ.get('RUN_AT_START', '').split():\n"
        "    runpy.run_path(script)\n"
    )


def _site_packages(folder: Path) -> Path:
    (found,) = folder.glob("lib/python*/site-packages")
    return found
