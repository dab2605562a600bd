"""Take entries and contents out of a file that `networkcache server export` wrote: all of
it is verified, without a network. It may run while the server serves; one that was
interrupted is simply run again.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO

from ...certificates import Certificate, CertificateList
from ...errors import InvalidArchive, InvalidConfiguration, StorageFailure
from ...quantities import readable_size
from ...server.air_gap.importing import Taken, take
from ...server.root import open_root
from ...server.space.collect import room_of, rules_of
from .. import DONE, REFUSED, layout
from ..terminal import escape_output, progress_bar, tell
from .root import add_root, options_of

_NAMED = 20
"""What is left out is named up to so many times."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="- for standard input")
    add_root(parser)
    parser.add_argument(
        "--signer-certificate",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="take only what is signed by one of the certificates in it, in PEM;"
        " repeatable",
    )


def run(arguments: argparse.Namespace) -> int:
    escape_output()
    options = options_of(arguments)
    signers = [c for path in arguments.signer_certificate for c in _certificates(path)]
    name = "standard input" if arguments.file == "-" else arguments.file
    with (
        _file(arguments.file) as file,
        closing(open_root(options.root, make=True, progress=tell)) as root,
        progress_bar("importing") as show,
    ):

        def progress(taken: Taken) -> None:
            if show is not None:
                show(taken.bytes, None)

        room = room_of(root, rules_of(options, root))
        try:
            taken = take(root, room, file, signers, progress)
        except InvalidArchive as error:
            tell(f"{name}: {error}; what came before that is taken, and whole")
            return REFUSED
        except StorageFailure as error:
            raise type(error)(
                f"{error}; what was taken until then is whole: import {name} again"
            ) from None
    _say(taken)
    return REFUSED if taken.left_out else DONE


def _certificates(path: Path) -> Sequence[Certificate]:
    """Raises `InvalidConfiguration`, where one of them does not parse, too."""
    listed = CertificateList.parse(path.read_text("utf-8", "replace"))
    if listed.problems or not listed.certificates:
        raise InvalidConfiguration(
            f"expected certificates in PEM in {path}, got what does not parse"
        )
    return listed.certificates


@contextlib.contextmanager
def _file(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        yield sys.stdin.buffer
        return
    with open(path, "rb") as file:
        yield file


def _say(taken: Taken) -> None:
    rows = [
        ("contents", str(taken.contents)),
        ("bytes", readable_size(taken.bytes)),
        ("contents that were there", str(taken.there)),
        ("pairs", str(taken.pairs)),
        ("pairs left out", str(len(taken.left_out))),
    ]
    print(*layout.table(("WHAT", "COUNT"), rows, indent=""), sep="\n")
    for key, why in taken.left_out[:_NAMED]:
        tell(f"left out, {key}: {why}")
    if len(taken.left_out) > _NAMED:
        tell(f"and {len(taken.left_out) - _NAMED} more")
