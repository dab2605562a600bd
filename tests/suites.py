"""Roots that hold the C library of one Debian suite, and hardly anything else: other
people's computers, as far as programs see them.

Each is made once, in ``.suites`` of the repository, of packages from the mirror that this
computer's apt uses anyway. Apt keeps what it knows of these suites beside them: nothing
of this computer changes.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from incumbents import Unavailable, lock

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / ".suites"

SUITES = ("bullseye", "bookworm", "trixie", "forky", "sid")
MUSL = "musl"
"""Beside the suites: a root with another C library, of the package of that name."""
PACKAGES = ("base-files", "libc6", "libgcc-s1", "libcrypt1")
"""What every Debian has: what the C library depends on, and who it says it is."""
MERGED = ("bin", "lib", "lib64", "sbin")
"""Links into ``usr``, as every Debian since 12 has them."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def root(name: str) -> Path:
    """The folder of the root of one of `SUITES`, or of `MUSL`. Raises `Unavailable`."""
    folder = FOLDER / name
    stamp = FOLDER / f"{name}.made-of"
    suite, packages = name, PACKAGES
    if name == MUSL:
        suite, packages = "bookworm", ("base-files", "musl")
    wanted = " ".join((suite, *packages))
    with lock(folder):
        if not stamp.is_file() or stamp.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder, suite, packages)
            stamp.write_text(wanted)
    return folder


def _make(folder: Path, suite: str, packages: Sequence[str]) -> None:
    for name in MERGED:
        (folder / "usr" / name).mkdir(parents=True)
        (folder / name).symlink_to(f"usr/{name}")
    for name in ("dev", "proc", "tmp"):
        (folder / name).mkdir()
    private = FOLDER / f"{folder.name}.apt"
    try:
        for package in _download(private, suite, packages):
            _unpack(package, folder)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _unpack(package: Path, folder: Path) -> None:
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE
    ) as unpacked:
        options = ("--extract", "--keep-directory-symlink", "--no-same-owner")
        subprocess.run(
            ["tar", *options, "--directory", folder], stdin=unpacked.stdout, check=True
        )
    assert unpacked.returncode == 0, package


def _download(private: Path, suite: str, packages: Sequence[str]) -> list[Path]:
    """The packages of a suite, as files in `private`."""
    for name in ("state/lists/partial", "cache/archives/partial", "packages"):
        (private / name).mkdir(parents=True, exist_ok=True)
    signed = f" [signed-by={KEYRING}]" if KEYRING.is_file() else ""
    sources = private / "sources.list"
    sources.write_text(f"deb{signed} {_mirror()} {suite} main\n")
    (private / "status").touch()
    options = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "-",
        "Dir::State": private / "state",
        "Dir::State::Status": private / "status",
        "Dir::Cache": private / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    for command in ([*apt, "update"], [*apt, "download", *packages]):
        done = subprocess.run(
            command, cwd=private / "packages", capture_output=True, text=True
        )
        if done.returncode:
            raise Unavailable(
                f"apt has no {suite} of Debian here: {done.stderr.strip():.300}"
            )
    return sorted((private / "packages").glob("*.deb"))


def _mirror() -> str:
    """Where apt gets the packages of Debian from: the archive itself, not its updates."""
    wanted = "$(ORIGIN) $(LABEL) $(REPO_URI)"
    try:
        found = subprocess.run(
            ["apt-get", "indextargets", "--format", wanted],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        raise Unavailable("the roots of Debian suites come from apt-get") from None
    for line in found.splitlines():
        if line.startswith("Debian Debian "):
            return line.split()[2]
    raise Unavailable("apt knows no archive of Debian here: apt-get update makes it known")
