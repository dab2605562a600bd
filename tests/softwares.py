"""Real software, built from upstream's source archives by real profiles.

The sources are those of Debian's source packages. They and what was built of them are
kept in ``.softwares`` of the repository, and made again when something that they were
made of changes. Profiles are in the folder `PROFILES`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from buildouts import DEPENDENCIES, RECIPE_EGG, TOOLS
from incumbents import Unavailable, environment, lock, pip
from origin import Origin, Page

from slapos.networkcache.certificates import generate

HERE = Path(__file__).resolve().parent
PROFILES = HERE / "profiles"
FOLDER = HERE.parent / ".softwares"
ADDRESS = "http://softwares.invalid"
"""Where profiles and sources are: nowhere, but for who asks `served` as a proxy. So the
URL of a release, and with it the name of its folder, is the same in every run."""
ZC_BUILDOUT = "6.0.1"
PINS = {"zc.buildout": ZC_BUILDOUT, **TOOLS[ZC_BUILDOUT]}
SOURCES = (
    "zlib",
    "xz-utils",
    "libffi",
    "openssl",
    "ncurses",
    "libxml2",
    "curl",
    "python3.11",
)
"""Names of Debian's source packages."""
VERSIONS = {
    "crcmod": "1.7",
    "markupsafe": "3.0.4",
    "numpy": "2.2.6",
    "scipy": "1.15.3",
    "six": "1.17.0",
    "slapos.recipe.build": "0.66",
    "slapos.recipe.cmmi": "0.23",
    "zc.recipe.egg": RECIPE_EGG[ZC_BUILDOUT],
}
OWN = ("hello", "native")
"""Sources in a folder of `PROFILES` each."""
PREFIX_LENGTH = 180
"""Bytes of the path of the folder that `built` builds in."""
CERTIFICATE = "certificate.pem"


class Addresses(Protocol):
    """Where a server is."""

    @property
    def cache_url(self) -> str: ...

    @property
    def dir_url(self) -> str: ...


# -- sources

_HELD = FOLDER / "sources"


def sources() -> dict[str, Path]:
    """The upstream archive of each of `SOURCES`. Raises `Unavailable`."""
    with lock(_HELD):
        _fetch([name for name in SOURCES if not _archives(name)])
    return {name: _archives(name)[0] for name in SOURCES}


def _archives(name: str) -> list[Path]:
    found = _HELD.glob(f"{name}_*.orig.tar.*")
    return [path for path in found if path.suffix != ".asc"]


def _fetch(names: list[str]) -> None:
    if not names:
        return
    _HELD.mkdir(parents=True, exist_ok=True)
    command = ["apt-get", "source", "--download-only", "-qq", *names]
    try:
        done = subprocess.run(command, cwd=_HELD, capture_output=True, text=True)
    except FileNotFoundError:
        raise Unavailable("sources come from apt-get, which is not here") from None
    # What Debian adds to them is not needed, nor missed where a mirror has lost it.
    if missing := [name for name in names if not _archives(name)]:
        raise Unavailable(
            f"apt gives no source packages for {', '.join(missing)}: .ci/run switches them"
            f" on ({done.stderr.strip():.300})"
        )


@contextmanager
def served() -> Iterator[Origin]:
    """What has the profiles and the sources, for who takes it for a proxy: the variables
    that say so are `proxied`. Raises `Unavailable`."""
    origin = Origin()
    try:
        for name, body in _pages().items():
            origin.pages[f"{ADDRESS}/{name}"] = Page(body)
        yield origin
    finally:
        origin.stop()


def proxied(origin: Origin) -> dict[str, str]:
    """The variables of a process that finds `ADDRESS` at this origin."""
    return {"http_proxy": origin.url, "no_proxy": "127.0.0.1,localhost"}


def _pages() -> dict[str, bytes]:
    archives = {path.name: path.read_bytes() for path in sources().values()}
    names = dict(zip(SOURCES, archives, strict=True))
    for name in OWN:
        names[name] = f"{name}-1.0.tar.gz"
        archives[names[name]] = _packed(PROFILES / name)
    sections = (
        f"[{name}-source]\nurl = {ADDRESS}/{file}\n"
        f"md5sum = {hashlib.md5(archives[file]).hexdigest()}\n"
        for name, file in names.items()
    )
    pins = sorted({**PINS, **VERSIONS}.items())
    versions = "".join(f"{name} = {pin}\n" for name, pin in pins)
    listed = "\n".join([*sections, f"[versions]\n{versions}"])
    profiles = {path.name: path.read_bytes() for path in PROFILES.glob("*.cfg")}
    return {**archives, **profiles, "sources.cfg": listed.encode()}


def _packed(folder: Path) -> bytes:
    """A source archive that is the same whenever it is made: its digest is in profiles."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path in sorted(folder.iterdir()):
            member = tarfile.TarInfo(f"{folder.name}-1.0/{path.name}")
            member.size = path.stat().st_size
            member.mtime = 1_000_000_000
            archive.addfile(member, io.BytesIO(path.read_bytes()))
    return buffer.getvalue()


# -- releases


@dataclass(frozen=True)
class Release:
    """A software release: the URL of its profile, the software root it is under, and the
    folder that it shares parts in."""

    url: str
    root: Path
    shared: Path

    @property
    def home(self) -> Path:
        """What all of that node is in."""
        return self.root.parent

    @property
    def folder(self) -> Path:
        return self.root / hashlib.md5(self.url.encode()).hexdigest()

    def part(self, name: str) -> Path:
        """Where a part is, shared or not."""
        own = self.folder / "parts" / name
        return own if own.exists() else next(self.shared.glob(f"{name}/*"))

    def configure(self, *options: str) -> Path:
        """Make the folders of the node, and its slapos.cfg with `options` in the section
        ``[networkcache]``; the path of that file."""
        for folder in (self.root, self.shared):
            folder.mkdir(parents=True, exist_ok=True)
        lines = (
            "[slapos]",
            f"software_root = {self.root}",
            f"shared_part_list = {self.shared}",
            "[networkcache]",
            *options,
        )
        path = self.home / "slapos.cfg"
        path.write_text("\n".join(lines))
        return path

    def at(self, root: Path, shared: Path | None = None) -> Release:
        """The same under another software root."""
        return replace(self, root=root, shared=shared or root.with_name("shared"))


def python() -> Path:
    """The Python that builds, with our modules of this checkout, which are not installed
    in it: buildout would build everything again whenever anything that is installed
    changes. Raises `Unavailable`."""
    requirements = [f"{name}=={pin}" for name, pin in {**PINS, **DEPENDENCIES}.items()]

    def fill(folder: Path) -> None:
        pip(folder, "install", *requirements)
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "this_checkout.pth").write_text(f"{HERE.parent}\n")

    folder = FOLDER / f"environment-{sys.version_info[0]}.{sys.version_info[1]}"
    return environment(folder, fill, *requirements) / "bin/python"


def url_of(profile: str) -> str:
    """The URL of one of `PROFILES`, by its name without ``.cfg``."""
    return f"{ADDRESS}/{profile}.cfg"


def built(profile: str) -> Release:
    """One of `PROFILES`, built in a long folder, moved to a software root in the
    repository, and published by the code of today: nobody may change it. Raises
    `Unavailable`."""
    home = of_length(FOLDER / f"python{sys.version_info[0]}.{sys.version_info[1]}", 80)
    release = Release(url_of(profile), home / "root", home / "shared")
    is_built, is_published = home / f"{profile}.built", _published(release) / profile
    with served() as origin:
        made_of, code = _made_of(origin), _code()
        # Nobody waits for what is there while something else is built.
        if (
            _is_of(home, made_of)
            and _is_of(_published(release), code)
            and is_published.exists()
        ):
            return release
        with lock(FOLDER / "built"):
            _keep_only(home, made_of)
            if not is_built.exists():
                _build(release, origin)
                is_built.touch()
            _keep_only(_published(release), code)
            if not is_published.exists():
                _publish(release, origin)
                is_published.touch()
    return release


def _published(release: Release) -> Path:
    """The folder of what was published: it is made again when the code changes."""
    return release.home / "published"


def _is_of(folder: Path, made_of: str) -> bool:
    mark = folder.with_name(f"{folder.name}.made-of")
    return mark.is_file() and mark.read_text() == made_of


def _keep_only(folder: Path, made_of: str) -> None:
    """Empty a folder that was made of something else."""
    if not _is_of(folder, made_of):
        _remove(folder)
        folder.mkdir(parents=True)
        folder.with_name(f"{folder.name}.made-of").write_text(made_of)


def _build(release: Release, origin: Origin) -> None:
    """Build it, and keep what was built apart: publishing takes it away."""
    configuration = release.configure(_LONG)
    _run(["release", "build", release.url, "-c", configuration], release.root, origin)
    _tar(release, "--create", *(path.relative_to(release.root) for path in _long(release)))


def _publish(release: Release, origin: Origin) -> None:
    if not _long(release):
        _tar(release, "--extract")
    with _server(_published(release) / "server") as url:
        configuration = release.configure(
            _LONG,
            f"upload-binary-cache-url = {url}/shacache",
            f"upload-binary-dir-url = {url}/shadir",
            f"signature-private-key-file = {_signing_key(release.home)}",
        )
        _run(["release", "publish", release.url, "-c", configuration], release.root, origin)


_LONG = f"build-prefix-length = {PREFIX_LENGTH}"


def _long(release: Release) -> list[Path]:
    """The folder that it was built in, if it is there."""
    return list(release.root.glob(f".networkcache-build*/{release.folder.name}"))


def _tar(release: Release, *words: str | Path) -> None:
    file = release.home / f"{release.folder.name}.tar"
    command = ["tar", "--file", file, "--directory", release.root, *words]
    subprocess.run(command, check=True)


@contextmanager
def _server(root: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "slapos.networkcache", "server", "run"]
    command += ["--root", str(root), "--port", "0", "--allow-anonymous-upload"]
    command += ["--access-log", str(root.with_name("access.log"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def _signing_key(home: Path) -> Path:
    key = home / "signing.key"
    if not key.exists():
        signer = generate("ed25519")
        (home / CERTIFICATE).write_text(signer.self_signed("builder", time.time()))
        key.touch(0o600)
        key.write_bytes(signer.private_pem())
    return key


def take_server_root(release: Release, folder: Path) -> Path:
    """Make `folder` the root of a server that has what `built` published."""
    with lock(FOLDER / "built"):
        shutil.copytree(_published(release) / "server", folder)
    return folder


def options_of_reader(release: Release, server: Addresses) -> list[str]:
    """The options of a node that takes it from a server, and believes who built it."""
    certificate = (release.home / CERTIFICATE).read_text().splitlines()
    return [
        f"download-binary-cache-url = {server.cache_url}",
        f"download-binary-dir-url = {server.dir_url}",
        "signature-certificate-list =",
        *(f"  {line}" for line in certificate),
    ]


def of_length(folder: Path, length: int) -> Path:
    """A path below `folder` with so many bytes."""
    missing = length - len(os.fsencode(folder)) - 1
    if missing < 1:
        raise ValueError(f"{folder} is too long for a path of {length} bytes")
    return folder / ("x" * missing)


def _made_of(origin: Origin) -> str:
    """What is built differs where this does. Raises `Unavailable`."""
    if not shutil.which("cc"):
        raise Unavailable("software is built by a C compiler: apt-get install gcc make")
    compiler = subprocess.run(["cc", "--version"], capture_output=True, check=True).stdout
    made = str(PREFIX_LENGTH).encode() + (python().parents[1] / "made-of.json").read_bytes()
    pages = map(_digest, sorted(origin.pages.items()))
    return hashlib.sha256(b"\0".join((made, compiler, *pages))).hexdigest()


def _digest(item: tuple[str, Page]) -> bytes:
    return item[0].encode() + hashlib.sha256(item[1].body).digest()


def _code() -> str:
    """The modules that make archives, in one line."""
    files = sorted((HERE.parent / "slapos/networkcache").rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def _remove(folder: Path) -> None:
    # Shared parts are read-only, which stops everybody but root.
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o755)
    shutil.rmtree(folder, ignore_errors=True)


def build(release: Release, origin: Origin) -> None:
    """``networkcache release build`` by a node that has no network cache."""
    command = ["release", "build", release.url, "-c", release.configure()]
    _run(command, release.root, origin)


def rerun(release: Release, origin: Origin) -> str:
    """Run its buildout once more, as slapgrid does; what it said."""
    cache = release.folder / "extends-cache"
    cache.mkdir(exist_ok=True)
    options = (f"buildout:extends-cache={cache}", f"buildout:directory={release.folder}")
    command = ["buildout", "-U", *options, "-N", "-c", "buildout.cfg"]
    return _run(command, release.folder, origin)


def _run(command: list[str | Path], folder: Path, origin: Origin) -> str:
    done = subprocess.run(
        [python(), "-m", "slapos.networkcache", *command],
        cwd=folder, env={**os.environ, **_VARIABLES, **proxied(origin)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


_VARIABLES = {
    "MAKEFLAGS": f"-j{os.cpu_count()}",
    # What a source distribution needs to be built is there already.
    "PIP_NO_BUILD_ISOLATION": "0",
    "PIP_NO_CACHE_DIR": "1",
    "PIP_CONFIG_FILE": os.devnull,
}


def rebuilt(said: str) -> list[str]:
    """The parts that a run of buildout installed or took away, by what it said."""
    return re.findall(r"^(?:Unins|Ins)talling (\S+)\.$", said, re.M)
