"""Nodes that run a real zc.buildout, in a process and with a home of their own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

from slapos.networkcache.certificates import Signer, generate

RECIPES = Path(__file__).with_name("recipes")
"""Is on the path of every node: recipes that fetch what their options say."""
TIMEOUT = 120
PINNED = ("zc.buildout", "setuptools", "pip", "wheel", "slapos.networkcache")


@dataclass
class Run:
    """What a run of buildout left: its exit code and what it said."""

    code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        return self.stdout + self.stderr

    @property
    def ours(self) -> list[str]:
        """The lines that we said."""
        lines = self.said.splitlines()
        return [line[len(_NAME) :] for line in lines if line.startswith(_NAME)]

    @property
    def report(self) -> list[str]:
        """The lines of the report: those at the end."""
        starts = [n for n, line in enumerate(self.ours) if line.startswith(_FIRST)]
        return self.ours[starts[0] :] if starts else []

    def reports(self, line: str) -> bool:
        """Whether a line of the report begins so."""
        return any(found.startswith(line) for found in self.report)

    @property
    def misses(self) -> str:
        """Why look-ups gave nothing, as the report says it."""
        start = "not in the network cache: "
        lines = (line for line in self.report if line.startswith(start))
        return next(lines, start)[len(start) :]


_NAME = "slapos.networkcache: "
_FIRST = ("the network cache was off", "from the network cache")


def _pins_here() -> dict[str, str]:
    return {name: version(name) for name in PINNED}


@dataclass
class Node:
    """A machine: a folder with a home, a place for temporary files and a buildout.

    `index` is the package index that buildout and pip use; empty for their default.
    `python` is the one that runs buildout, `pins` what a profile pins of what it has
    installed, and `wrap` a command that runs the command which follows it.
    """

    root: Path
    index: str
    environment: dict[str, str] = field(default_factory=dict)
    python: Path = Path(sys.executable)
    pins: Mapping[str, str] = field(default_factory=_pins_here)
    wrap: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.home, self.place = self.root / "home", self.root / "buildout"
        self.temporary = self.root / "tmp"
        for folder in (self.home, self.place, self.temporary):
            folder.mkdir(parents=True)

    # -- what it is given

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def profile(self, *sections: str, buildout: str = "", newest: str = "false") -> Path:
        """Write the buildout.cfg; `buildout` goes on with its first section."""
        versions = "".join(f"{name} = {pin}\n" for name, pin in self.pins.items())
        index = f"index = {self.index}\n" if self.index else ""
        head = f"[buildout]\n{index}newest = {newest}\n{buildout}\n"
        text = "\n".join([head, *sections, f"[versions]\n{versions}"])
        return self.write("buildout/buildout.cfg", text)

    def configure(self, *options: str) -> Path:
        """Write the node's slapos.cfg; its path."""
        return self.write("slapos.cfg", "[networkcache]\n" + "\n".join(options))

    # -- what it does

    def buildout(self, *arguments: str, **environment: str) -> Run:
        """``bin/buildout ARGUMENTS``."""
        script = "import sys; from zc.buildout.buildout import main; sys.exit(main())"
        return self._run([str(self.python), "-c", script, *arguments], environment)

    def networkcache(self, *arguments: str, **environment: str) -> Run:
        """``networkcache buildout ARGUMENTS``, with its slapos.cfg if it has one."""
        words = list(arguments)
        if (self.root / "slapos.cfg").exists():
            words[:0] = ["--networkcache-config", str(self.root / "slapos.cfg")]
        command = [str(self.python), "-m", "slapos.networkcache", "buildout", *words]
        return self._run(command, environment)

    def _run(self, command: list[str], environment: dict[str, str]) -> Run:
        env = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "TMPDIR": str(self.temporary),
            # What leads these tests to the package leads the node there, too.
            "PYTHONPATH": os.pathsep.join(
                filter(None, (str(RECIPES), os.environ.get("PYTHONPATH")))
            ),
            "PIP_NO_CACHE_DIR": "1",
            "PIP_CONFIG_FILE": os.devnull,
            **({"PIP_INDEX_URL": self.index} if self.index else {}),
            # What a source distribution needs to be built is here already.
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            **self.environment,
            **environment,
        }
        done = subprocess.run(
            [*self.wrap, *command], cwd=self.place, env=env, capture_output=True,
            text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Run(done.returncode, done.stdout, done.stderr)

    # -- what it has

    def part(self, name: str) -> bytes | None:
        """What the part of that name fetched."""
        path = self.place / "parts" / name
        return path.read_bytes() if path.exists() else None

    @property
    def eggs(self) -> set[str]:
        """Names of what is installed."""
        found = self.place.glob("eggs/**/*.egg")
        return {path.name.partition("-")[0] for path in found}

    @property
    def leftovers(self) -> list[str]:
        """Temporary files that nobody took away."""
        return sorted(path.name for path in self.temporary.iterdir())


def part(name: str, recipe: str, **options: str) -> str:
    """A section of a profile."""
    lines = "".join(f"{option} = {value}\n" for option, value in options.items())
    return f"[{name}]\nrecipe = testrecipes:{recipe}\n{lines}"


class Publisher:
    """A signing key in a file, and the options of who signs with it."""

    def __init__(self, folder: Path, name: str = "one", signer: Signer | None = None):
        signer = signer or generate("ed25519")
        self.fingerprint = signer.certificate.fingerprint
        self.key = folder / f"{name}.key"
        self.key.write_bytes(signer.private_pem())
        self.key.chmod(0o600)
        self.certificate = signer.self_signed(name, time.time())

    def options(self, server) -> str:
        return (
            f"upload-cache-url = {server.cache_url}\nupload-dir-url = {server.dir_url}\n"
            f"signature-private-key-file = {self.key}\n"
        )


def reads(server, *publishers: Publisher) -> str:
    """The options of who takes from `server` what `publishers` signed."""
    lines = "".join(publisher.certificate for publisher in publishers).splitlines()
    listed = "".join(f"  {line}\n" for line in lines)
    return (
        f"download-cache-url = {server.cache_url}\ndownload-dir-url = {server.dir_url}\n"
        f"signature-certificate-list =\n{listed}"
    )


# -- what stands in the cache


def file_key(url: str) -> str:
    return "file-urlmd5:" + _urlmd5(url)


def page_key(url: str) -> str:
    return "page-urlmd5:" + _urlmd5(url)


def _urlmd5(url: str) -> str:
    return hashlib.md5(url.partition("#")[0].encode()).hexdigest()


def entries(server, key: str) -> list[dict]:
    """The entries that stand under a key."""
    try:
        with urllib.request.urlopen(f"{server.dir_url}/{key}") as answer:
            return [json.loads(pair[0]) for pair in json.load(answer)]
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return []
        raise


def asked_of(server, key: str) -> list[str]:
    """What the server was asked about a key or a digest."""
    mark = f"mark-{secrets.token_hex(8)}"
    assert entries(server, mark) == []
    while True:
        paths = [f"{line['method']} {line['path']}" for line in server.requests()]
        if any(path.endswith(mark) for path in paths):
            return [path for path in paths if key in path]
        time.sleep(0.02)


def stored(server, body: bytes) -> bool:
    """Whether SHACACHE holds this content."""
    digest = hashlib.sha512(body).hexdigest()
    request = urllib.request.Request(f"{server.cache_url}/{digest}", method="HEAD")
    try:
        with urllib.request.urlopen(request):
            return True
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise


# -- distributions


def make_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    module: str = "",
    entry_points: str = "",
) -> Path:
    """A wheel with one module."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": module or f"where = {name!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/entry_points.txt": entry_points,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\n"
        "Root-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},{_hash(text)},{len(text)}\n" for file, text in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(zipfile.ZipInfo(file), text)
    return path


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def make_egg(folder: Path, name: str, version: str = "1.0") -> Path:
    """An egg for this Python with one module."""
    python = f"py{sys.version_info[0]}.{sys.version_info[1]}"
    path = folder / f"{name}-{version}-{python}.egg"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"where = {name!r}\n")
        archive.writestr(
            "EGG-INFO/PKG-INFO",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        )
        archive.writestr("EGG-INFO/zip-safe", "\n")
        archive.writestr("EGG-INFO/top_level.txt", f"{name}\n")
    return path


def make_sdist(folder: Path, name: str, version: str = "1.0") -> Path:
    """A source distribution with one module."""
    files = {
        "setup.py": "from setuptools import setup\n"
        f"setup(name={name!r}, version={version!r}, py_modules=[{name!r}])\n",
        f"{name}.py": f"where = {name!r}\n",
    }
    return _pack(folder, name, version, files)


def make_isolated_sdist(folder: Path, name: str, *requirements: str) -> Path:
    """One whose build needs the modules of other distributions, in their version 1.0, and
    nothing else."""
    requires = [f"{requirement}==1.0" for requirement in requirements]
    files = {
        "pyproject.toml": f"[build-system]\nrequires = {requires}\n"
        'build-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": _BACKEND.format(name=name, modules=", ".join(requirements)),
    }
    return _pack(folder, name, "1.0", files)


_BACKEND = """\
import zipfile
import {modules}

def build_wheel(folder, config_settings=None, metadata_directory=None):
    info = "{name}-1.0.dist-info"
    with zipfile.ZipFile(folder + "/{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("{name}.py", "")
        archive.writestr(
            info + "/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n"
        )
        archive.writestr(
            info + "/WHEEL",
            "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        )
        archive.writestr(info + "/RECORD", "")
    return "{name}-1.0-py3-none-any.whl"
"""


def _pack(folder: Path, name: str, version: str, files: Mapping[str, str]) -> Path:
    path = folder / f"{name}-{version}.tar.gz"
    info = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with tarfile.open(path, "w:gz") as archive:
        for file, text in {**files, "PKG-INFO": info}.items():
            member = tarfile.TarInfo(f"{name}-{version}/{file}")
            member.size = len(text)
            archive.addfile(member, BytesIO(text.encode()))
    return path
