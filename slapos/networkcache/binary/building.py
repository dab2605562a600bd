"""Run buildout on the profile of a release, as slapgrid does it, through the network cache.

What runs is ``networkcache buildout``, in a process of its own, which may be another
user's. It leaves what slapgrid leaves: a ``buildout.cfg`` that extends the software URL,
and what buildout makes of it. It can be run again, and goes on where it stopped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from contextlib import contextmanager, suppress
from io import StringIO

from ..configfile import SECTION
from ..errors import BuildFailed, InvalidConfiguration
from ..key import urlmd5
from .installed import BUILD_CONFIGURATION, BUILD_FOLDER, software_url
from .node import Node
from .ownership import Owner
from .walking import read_small

_NAME_LIMIT = 200
"""Bytes of each name in the path of a long folder; 255 are possible."""
_TAKEN_AWAY = (
    "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONOPTIMIZE", "PYTHONDEBUG",
    "PYTHONDONTWRITEBYTECODE", "PYTHONINSPECT", "PYTHONUNBUFFERED", "PYTHONVERBOSE",
    "CONFIG_SITE", "ENV", "LOGNAME", "TEMP", "TMP", "TMPDIR",
)  # fmt: skip
"""Variables that slapgrid takes away, beside those of the language."""


def run_buildout(node: Node, url: str, folder: str, owner: Owner, lock: int) -> None:
    """Build the release of `url` in `folder`, which is made if it is not there. `lock` is
    a descriptor that buildout holds, even where this process is killed.

    Raises `BuildFailed`, and leaves what was built so far.
    """
    with owner.acting():
        if not os.path.isdir(folder):
            os.makedirs(folder)
            os.chmod(folder, 0o755)
        cache = os.path.join(folder, "extends-cache")
        os.makedirs(cache, exist_ok=True)
        profile = os.path.join(folder, "buildout.cfg")
        if software_url(folder) is None:
            _write_profile(profile, node, url)
    options = [f"buildout:directory={folder}", f"buildout:extends-cache={cache}", "-N"]
    with _configuration(node, folder, owner) as config, _passwords(folder, owner):
        command = [sys.executable, "-m", "slapos.networkcache", "buildout"]
        command += ["--networkcache-config", config, "-U", *options, "-c", profile]
        for step in ("bootstrap", "install"):
            _run([*command, step], folder, owner, url, lock)


def _write_profile(path: str, node: Node, url: str) -> None:
    parser = ConfigParser(interpolation=None)
    parser["buildout"] = {
        "extends": url,
        "shared-part-list": "\n".join(node.shared_folders),
        "build-time-part-list": node.build_time_part_list,
    }
    new = f"{path}.new"
    with open(new, "w", encoding="utf-8") as file:
        parser.write(file)
    os.replace(new, path)  # an empty one would be taken for the user's own


@contextmanager
def _configuration(node: Node, folder: str, owner: Owner) -> Iterator[str]:
    """The section of the node in a file that the owner can read."""
    path = os.path.join(folder, BUILD_CONFIGURATION)
    parser = ConfigParser(interpolation=None)
    parser[SECTION] = dict(node.options)
    text = StringIO()
    parser.write(text)
    with _private_file(path, text.getvalue().encode(), owner):
        yield path


@contextmanager
def _passwords(folder: str, owner: Owner) -> Iterator[None]:
    """The owner's ``.netrc`` in the place that is home for the build, while it lasts."""
    source, path = os.path.join(owner.home, ".netrc"), os.path.join(folder, ".netrc")
    try:
        with owner.acting():
            data = read_small(source, over_links=True)
    except OSError:
        yield
        return
    with _private_file(path, data, owner):
        yield


@contextmanager
def _private_file(path: str, data: bytes, owner: Owner) -> Iterator[None]:
    """A file that nobody but the owner may read, while this lasts."""
    with owner.acting():
        with suppress(FileNotFoundError):
            os.unlink(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(path, flags, 0o600), "wb") as file:
            file.write(data)
    try:
        yield
    finally:
        with owner.acting(), suppress(FileNotFoundError):
            os.unlink(path)


def _run(command: list[str], folder: str, owner: Owner, url: str, lock: int) -> None:
    code = subprocess.run(
        command,
        cwd=folder,
        env=_environment(folder, owner),
        stdin=subprocess.DEVNULL,
        pass_fds=(lock,),
        **owner.process_options,
    ).returncode
    if code:
        raise BuildFailed(
            f"buildout failed for {url}, with exit code {code}: see above. What is built so"
            f" far is in {folder}, and the same command goes on with it"
        )


def _environment(folder: str, owner: Owner) -> Mapping[str, str]:
    """Without what leads Python elsewhere. Home is the folder of the release, but for
    caches, which are no part of it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _TAKEN_AWAY and not name.startswith(("LC_", "LANG"))
    }
    if owner.account is not None or "XDG_CACHE_HOME" not in kept:
        kept["XDG_CACHE_HOME"] = os.path.join(owner.home, ".cache")
    return {**kept, "HOME": folder, "PYTHONNOUSERSITE": "true"}


# -- where


def build_folder(node: Node, url: str) -> str:
    """Where the release of `url` is built: at its place, or in a folder whose path is as
    long as ``build-prefix-length`` says. Raises `InvalidConfiguration` where that is too
    short."""
    place, length = node.place(url), node.config.build_prefix_length
    if length is None or length == len(place):
        return place
    name = urlmd5(url)
    filler = length - len(node.software_root) - len(name) - 2
    if filler < len(BUILD_FOLDER):
        least = len(node.software_root) + len(name) + 2 + len(BUILD_FOLDER)
        raise InvalidConfiguration(
            f"build-prefix-length: expected {least} or more for releases below"
            f" {node.software_root}, got {length}"
        )
    return os.path.join(node.software_root, *_split(BUILD_FOLDER.ljust(filler, "x")), name)


def _split(text: str) -> Iterator[str]:
    """Names of folders which make a path as long as `text`."""
    count = len(text) // (_NAME_LIMIT + 1) + 1
    least, more = divmod(len(text) - (count - 1), count)
    begin = 0
    for number in range(count):
        end = begin + least + (number < more)
        yield text[begin:end]
        begin = end
