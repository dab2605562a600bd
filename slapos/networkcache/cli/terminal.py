"""How a command speaks: its output, for people or for programs, sentences on standard
error beside it, and bars for long transfers."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, cast

from ..printable import readable

if TYPE_CHECKING:
    from ..download import Progress

_DELAY = 1.0
"""Seconds after which a transfer counts as long."""


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the same for programs")


def escape_output() -> None:
    """What the encoding of the output lacks is escaped, and no error."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def tell(sentence: str) -> None:
    """Say something beside the output."""
    print(readable(sentence), file=sys.stderr, flush=True)


def _bar(what: str, total: int | None) -> Any:
    from tqdm import tqdm

    return tqdm(
        desc=what, total=total, unit="B", unit_scale=True, unit_divisor=1024, delay=_DELAY
    )


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator[Progress | None]:
    """Shows how many bytes are done, if a person looks on; else nobody is told."""
    if not sys.stderr.isatty():
        yield None
        return
    with _bar(what, None) as bar:

        def show(count: int, total: int | None) -> None:
            bar.total = total
            bar.update(count - bar.n)

        yield show


@contextlib.contextmanager
def upload_bar(what: str, file: IO[bytes], size: int) -> Iterator[IO[bytes]]:
    """`file`, `size` bytes long; reading it moves a bar, if a person looks on."""
    if not sys.stderr.isatty():
        yield file
        return
    from tqdm.utils import CallbackIOWrapper

    with _bar(what, size) as bar:
        yield cast("IO[bytes]", CallbackIOWrapper(bar.update, file, "read"))
