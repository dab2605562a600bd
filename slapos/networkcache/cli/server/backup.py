"""Copy everything that a server keeps to another folder, while it serves. That folder is
itself one to run a server on; the next backup into it copies only what is new."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from ...quantities import readable_size
from ...server.backup import back_up
from ...server.root import open_root
from .. import DONE, REFUSED, layout
from ..terminal import tell
from .root import add_root, root_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_root(parser)
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a new one, or that of an older backup"
    )


def run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.folder
    with closing(open_root(root_of(arguments), progress=tell)) as root:
        done = back_up(root, folder)
    print(
        f"{folder}: {layout.count(done.contents, 'content', 'contents')},"
        f" {done.new} of them new"
        f" ({readable_size(done.size)}), {done.gone} gone"
    )
    for digest in done.spoilt:
        tell(f"the content {digest} is spoilt, and not in the backup")
    if done.missing:
        missing = layout.count(done.missing, "content is", "contents are")
        tell(f"{missing} named by entries, and not in the backup")
    if done.spoilt or done.missing:
        tell("see `networkcache server check --repair`, and make the backup again")
        return REFUSED
    return DONE
