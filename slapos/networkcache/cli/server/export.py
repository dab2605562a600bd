"""Put entries, with every content that they name, into one file: by the record of a
buildout's runs, by software release, by the beginning of keys, or all. Several choices go
together. It may run while the server serves; `networkcache server import` takes the file,
which is a plain tar.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import IO, Any

from ...errors import InvalidConfiguration, NotFound
from ...printable import readable
from ...quantities import readable_size
from ...server.air_gap import choosing
from ...server.air_gap.export import Exported, export
from ...server.root import open_root
from ...storage.durable import sync_folder
from ...urls import is_remote, without_fragment
from .. import DONE, REFUSED, layout
from ..terminal import escape_output, progress_bar, tell
from .root import add_root, root_of

_NAMED = 20
"""What is missing is named up to so many times."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="- for standard output")
    add_root(parser)
    for name, word, what in (
        ("run", "PROFILE", "what runs of a root profile used: its URL, its file, or the"
         " SHA-256 of that"),
        ("release", "URL", "a compiled software release"),
        ("prefix", "KEY_PREFIX", "all keys that begin so, such as pypi:"),
    ):  # fmt: skip
        parser.add_argument(
            f"--{name}", action="append", default=[], metavar=word, help=what
        )
    parser.add_argument("--all", action="store_true", help="everything")


def run(arguments: argparse.Namespace) -> int:
    escape_output()
    words, choices = _choices(arguments)
    with (
        closing(open_root(root_of(arguments), progress=tell)) as root,
        _file(arguments.file) as file,
        progress_bar("exporting") as show,
    ):

        def progress(exported: Exported) -> None:
            if show is not None:
                show(exported.bytes, None)

        chosen = choosing.all_of(root, choices)
        exported = export(root, chosen, file, words, progress)
        if not exported.keys:
            _name_missing(exported)
            raise NotFound(f"nothing is here of {', '.join(words)}: nothing is written")
    _say(exported, sys.stderr if arguments.file == "-" else sys.stdout)
    return REFUSED if exported.missing else DONE


def _choices(arguments: argparse.Namespace) -> tuple[list[str], list[choosing.Choice]]:
    """What is asked for, in words and as keys. Raises `InvalidConfiguration`."""
    kinds: dict[str, Callable[[str], choosing.Choice]] = {
        "run": lambda what: choosing.run(_profile(what)),
        "release": choosing.release,
        "prefix": choosing.beginning_with,
    }
    words, choices = [], []
    for name, kind in kinds.items():
        for what in getattr(arguments, name):
            words.append(f"--{name} {readable(what)}")
            choices.append(kind(what))
    if arguments.all:
        words.append("--all")
        choices.append(choosing.beginning_with(""))
    if not choices:
        raise InvalidConfiguration(
            "nobody says what to export: give --run PROFILE, --release URL,"
            " --prefix KEY_PREFIX or --all"
        )
    return words, choices


def _profile(what: str) -> str:
    """The name of a root profile in `Key.for_run`. Raises `InvalidConfiguration`."""
    if is_remote(what):
        return without_fragment(what)
    if os.path.isfile(what):
        with open(what, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    if _SHA256.fullmatch(what):
        return what
    raise InvalidConfiguration(
        "--run takes the URL of a root profile, its file, or the SHA-256 of that, got"
        f" {what!r}: there is no such file"
    )


@contextlib.contextmanager
def _file(path: str) -> Iterator[IO[bytes]]:
    """A file for writing that is at `path` once the block has come to its end."""
    if path == "-":
        yield sys.stdout.buffer
        return
    folder = os.path.dirname(os.path.abspath(path))
    # Not a file of `tempfile`, whose mode is private.
    temporary = os.path.join(folder, f".networkcache-{secrets.token_hex(8)}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _say(exported: Exported, where: IO[Any]) -> None:
    rows = [
        ("keys", str(exported.keys)),
        ("pairs", str(exported.pairs)),
        ("contents", str(exported.contents)),
        ("bytes", readable_size(exported.bytes)),
    ]
    print(*layout.table(("WHAT", "COUNT"), rows, indent=""), sep="\n", file=where)
    _name_missing(exported)


def _name_missing(exported: Exported) -> None:
    for key, why in exported.missing[:_NAMED]:
        tell(f"left out, {key}: {why}")
    if len(exported.missing) > _NAMED:
        tell(f"and {len(exported.missing) - _NAMED} more")
