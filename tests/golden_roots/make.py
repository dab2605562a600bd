"""Makes a golden root: ``python tests/golden_roots/make.py > version-N.sql``, with the code
of version N on the path, and never again with that of a later one.

Starts a server of that version, puts `CONTENTS` and `PAIRS`, kills it, and writes its
database as SQL, which can be reviewed. Its contents are files, named by their digests.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from wire import ABSENT, old, ours, post, put  # noqa: E402

from slapos.networkcache.digest import Digest  # noqa: E402

CONTENTS = (b"first", b"second", b"", bytes(300_000))
FIRST, SECOND, EMPTY, LARGE = (Digest.of(data).hex for data in CONTENTS)
PAIRS = (
    ("file-urlmd5:0123", ours("file-urlmd5:0123", FIRST, url="http://example.com/a")),
    ("file-urlmd5:0123", ours("file-urlmd5:0123", SECOND, url="http://example.com/a")),
    ("page-urlmd5:4567", ours("page-urlmd5:4567", EMPTY, expires=2_000_000_000)),
    ("pypi:a=1", old(LARGE, basename="a-1.tar.gz")),
    ("pypi:a=1", old(ABSENT, basename="a-1-py3-none-any.whl")),
    ("other", old(FIRST.upper())),
)
"""In the order in which they were put. The content of one never came: it is hidden."""
SETTINGS = ("page_size", "user_version")


def dump(path: Path) -> list[str]:
    """The database at `path`, as SQL that makes it again."""
    with sqlite3.connect(path) as connection:
        settings = [
            f"PRAGMA {name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]};"
            for name in SETTINGS
        ]
        return [*settings, *connection.iterdump()]


def main() -> None:
    from conftest import Server

    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "root")
        for data in CONTENTS:
            post(server, data)
        for key, pair in PAIRS:
            put(server, key, pair)
        server.kill()
        print(*dump(server.root / "entries.sqlite"), sep="\n")


if __name__ == "__main__":
    main()
