"""Makes the golden archives: ``python tests/golden_archives/make.py [FOLDER]``.

Each is named after what is wrong with it; the good ones begin with ``good``.
``expected.json`` tells words of the error that must come of each, null for the good ones.
Every run makes the same, but for what zlib and its like may do better one day.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ARCHIVES = "archives"

Archives = Iterator[tuple[str, bytes, str]]
"""Names, bytes, and words of the error."""


# -- tar


def member(name: str, data: bytes = b"", **how: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(data), 1_000_000_000
    for attribute, value in how.items():
        setattr(info, attribute, value)
    return info, data


def folder(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.DIRTYPE, mode=mode)


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.LNKTYPE, linkname=target)


def raw(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Headers and data, without an end."""
    blocks = []
    for info, data in members:
        blocks += [info.tobuf(tarfile.PAX_FORMAT), data, bytes(-len(data) % 512)]
    return b"".join(blocks)


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return raw(*members) + bytes(1024)


FILE = member("file", b"a file\n", mode=0o644)
GOOD = tar(
    folder("./"),
    folder("hello-1.0/"),
    member("hello-1.0/configure", b"#!/bin/sh\nexit 0\n", mode=0o775),
    member("hello-1.0/lib/deep/libhello.so.1", b"\x7fELF", mode=0o444),
    hard_link("hello-1.0/again", "hello-1.0/configure"),
    link("hello-1.0/lib/libhello.so", "deep/../deep/libhello.so.1"),
    link("hello-1.0/nowhere", "not/there"),
    link("hello-1.0/loop", "loop"),
    member("hello-1.0/höflich \udcff", b"x", mode=0o600),
)
LONG = tar(member("/".join(["a-rather-long-folder"] * 12), b"long", mode=0o644))


def sparse_of_gnu(name: str = "holes") -> bytes:
    """A file of 1 MiB, of which 4 bytes are there, as old GNU tar wrote it."""
    info, _ = member(name, type=tarfile.GNUTYPE_SPARSE)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"%011o\0" % 4
    block[386:410] = b"%011o\0%011o\0" % (0, 4)
    block[483:495] = b"%011o\0" % (1 << 20)
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:512]))
    return bytes(block) + b"data" + bytes(508 + 1024)


def in_tar() -> Archives:
    other = "is no file, folder or link"
    yield "device.tar", tar(member("null", type=tarfile.CHRTYPE, devmajor=1)), other
    yield "block-device.tar", tar(member("disk", type=tarfile.BLKTYPE, devmajor=8)), other
    yield "fifo.tar", tar(FILE, member("pipe", type=tarfile.FIFOTYPE)), other
    yield "volume.tar", tar(member("label", type=b"V")), other

    leaves = "a name in it leaves the folder"
    yield "dotdot.tar", tar(FILE, member("a/../../outside", b"x")), leaves
    yield "dotdot-inside.tar", tar(member("a/../b", b"x")), leaves
    yield "dotdot-folder.tar", tar(folder("..")), leaves
    yield "absolute.tar", tar(member("/tmp/outside", b"x")), leaves
    nul = member("a", b"x", pax_headers={"path": "a\0b"})
    yield "nul.tar", tar(nul), leaves

    twice = "is there twice"
    yield "twice.tar", tar(FILE, member("file", b"another")), twice
    yield "twice-spelt-otherwise.tar", tar(FILE, member(".//file", b"another")), twice
    yield "folder-then-link.tar", tar(member("a/b", b"x"), link("a", ".")), twice
    yield "folder-then-file.tar", tar(folder("a"), member("a", b"x")), twice
    yield "link-then-folder.tar", tar(link("a", "."), folder("a")), twice
    yield "file-at-the-top.tar", tar(member("./", b"x", type=tarfile.REGTYPE)), twice

    yield "below-file.tar", tar(FILE, member("file/a", b"x")), "is below a file"
    below = "is below a symbolic link"
    yield "below-link.tar", tar(link("a", "."), member("a/b", b"x")), below
    yield (
        "folder-below-link.tar",
        tar(link("a", "/tmp"), folder("a/b")),
        "out of the folder",
    )
    both = tar(FILE, hard_link("a", "file"), member("a/b", b"x"))
    yield "below-hard-link.tar", both, "is below a hard link"

    holes = "has holes"
    yield "sparse-gnu.tar", sparse_of_gnu(), holes
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "holes"}
    pax["GNU.sparse.realsize"] = "1048576"
    data = b"1\n0\n4\n".ljust(512, b"\0") + b"data"
    yield "sparse-pax.tar", tar(member("holes", data, pax_headers=pax)), holes
    named = member("holes", data, pax_headers={"GNU.sparse.name": "holes"})
    yield "sparse-by-name.tar", tar(named), holes
    size = {"GNU.sparse.size": "1048576", "GNU.sparse.map": "0,4"}
    yield "sparse-pax-0.1.tar", tar(member("holes", b"data", pax_headers=size)), holes

    hard = "no earlier file"
    yield "hard-link-outside.tar", tar(hard_link("a", "outside")), hard
    yield "hard-link-absolute.tar", tar(hard_link("a", "/etc/passwd")), leaves
    yield "hard-link-dotdot.tar", tar(FILE, hard_link("a", "../outside")), leaves
    yield "hard-link-to-folder.tar", tar(folder("b"), hard_link("a", "b")), hard
    yield "hard-link-to-link.tar", tar(link("b", "c"), hard_link("a", "b")), hard
    yield "hard-link-to-later.tar", tar(hard_link("a", "file"), FILE), hard
    yield "hard-link-to-itself.tar", tar(hard_link("a", "a")), hard

    out = "is a link out of the folder"
    yield "link-absolute.tar", tar(link("a", "/etc")), out
    yield "link-dotdot.tar", tar(link("a/b", "../../outside")), out
    yield "link-and-back.tar", tar(FILE, link("a", "../tree/file")), out
    yield "link-nowhere.tar", tar(link("a", "not/there/../../../outside")), out
    # Each is harmless by its own text: it is what the others make of it that is not.
    chain = [folder("a"), folder("a/b"), link("a/b/c", "../.."), link("e", "a/b/c/..")]
    yield "link-through-link.tar", tar(*chain), out
    late = [link("e", "a/b/../.."), folder("c"), link("a/b", "../c")]
    yield "link-through-later-link.tar", tar(*late), out
    loop = [link("c", "a/b/../.."), link("a/b", "../c")]
    yield "link-in-a-loop.tar", tar(*loop), out
    yield "link-empty.tar", tar(link("a", "")), out

    runs = "runs as somebody else"
    yield "setuid.tar", tar(member("su", b"x", mode=0o4755)), runs
    yield "setgid.tar", tar(member("sg", b"x", mode=0o2755)), runs

    damaged = "damaged"
    good = bytearray(GOOD)
    good[0x800] ^= 1  # in the name of the second file
    yield "damaged-header.tar", bytes(good), damaged
    yield "cut-header.tar", GOOD[: 0x800 + 100], damaged
    yield "cut-data.tar", tar(member("a", bytes(2000)))[:1000], damaged
    yield "no-end.tar", raw(FILE), damaged
    negative = member("a", b"", pax_headers={"size": "-512"})
    yield "negative-size.tar", tar(FILE, negative), "negative size"
    yield "no-time.tar", tar(member("a", pax_headers={"mtime": "nan"})), "impossible time"
    long_ago = member("a", pax_headers={"mtime": "1e300"})
    yield "far-time.tar", tar(long_ago), "impossible time"
    yield "deep.tar", tar(folder("a/" * 201)), "more than 200 folders"
    yield "empty.tar", b"", "no archive"
    yield "page.tar", b"<html>404: there is no such file</html>\n" * 30, "no archive"


def in_compressed_tar() -> Archives:
    gz = gzip.compress(GOOD, mtime=0)
    yield "cut.tar.gz", gz[:-20], "damaged"
    yield "wrong-sum.tar.gz", gz[:-8] + bytes(4) + gz[-4:], "damaged"
    yield "cut.tar.bz2", bz2.compress(GOOD)[:-20], "damaged"
    yield "cut.tar.xz", lzma.compress(GOOD)[:-20], "damaged"
    yield "cut.tar.zst", zstd(GOOD)[:-20], "damaged"
    yield "window.tar.zst", zstd(GOOD, window_log=28), "damaged"
    header = member("a", pax_headers={"comment": "x" * (3 << 20)})
    yield "headers.tar.gz", gzip.compress(tar(header), mtime=0), "no end of its headers"
    nested = b"".join(raw(member("a", b"", type=tarfile.XHDTYPE)) for _ in range(900))
    yield "nested.tar.gz", gzip.compress(nested, mtime=0), "damaged"
    endless = GOOD + bytes(20 << 20)
    yield "endless.tar.gz", gzip.compress(endless, mtime=0), "no end"


def in_zip() -> Archives:
    leaves = "a name in it leaves the folder"
    yield "dotdot.zip", zipped(("../outside", b"x", 0o100644)), leaves
    yield "absolute.zip", zipped(("/tmp/outside", b"x", 0o100644)), leaves
    same = [("a", b"x", 0o100644), ("./a", b"y", 0o100644)]
    yield "twice.zip", zipped(*same), "is there twice"
    yield "fifo.zip", zipped(("pipe", b"", 0o010644)), "is no file, folder or link"
    yield "folder-as-file.zip", zipped(("a", b"", 0o040755)), "is no file, folder or link"
    out = "is a link out of the folder"
    yield "link.zip", zipped(("a", b"../outside", 0o120777)), out
    yield "link-absolute.zip", zipped(("a", b"/etc/passwd", 0o120777)), out
    below = [("a", b".", 0o120777), ("a/b", b"x", 0o100644)]
    yield "below-link.zip", zipped(*below), "is below a symbolic link"
    yield "setuid.zip", zipped(("su", b"x", 0o104755)), "runs as somebody else"
    good = zipped(*ZIPPED)
    yield "cut.zip", good[:-10], "damaged"
    yield "wrong-sum.zip", good.replace(b"exit 0", b"exit 1"), "damaged"
    locked = bytearray(zipped(("a", b"x", 0o100644)))
    locked[6] |= 1
    locked[locked.index(b"PK\1\2") + 8] |= 1
    yield "encrypted.zip", bytes(locked), "is encrypted"


# -- what holds them


def lzip(data: bytes) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": 3, "lp": 0, "pb": 2}]
    body = b"LZIP\1\x10" + lzma.compress(data, lzma.FORMAT_RAW, filters=filters)
    return body + struct.pack("<IQQ", zlib.crc32(data), len(data), len(body) + 20)


def zstd(data: bytes, window_log: int = 17) -> bytes:
    """A frame whose blocks are not compressed."""
    frame = [b"\x28\xb5\x2f\xfd\0", bytes([(window_log - 10) << 3])]
    starts = range(0, len(data), 1 << 16)
    for start in starts:
        block = data[start : start + (1 << 16)]
        header = len(block) << 3 | (start == starts[-1])
        frame += [header.to_bytes(3, "little"), block]
    return b"".join(frame)


def zipped(*members: tuple[str, bytes, int]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data, mode in members:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            archive.writestr(info, data)
    return file.getvalue()


ZIPPED = [
    ("hello-1.0/", b"", 0o040755),
    ("hello-1.0/configure", b"#!/bin/sh\nexit 0\n", 0o100755),
    ("hello-1.0/lib/libhello.so", b"libhello.so.1", 0o120777),
    ("hello-1.0/lib/libhello.so.1", b"\x7fELF", 0o100644),
]


def good() -> Archives:
    holders: dict[str, Callable[[bytes], bytes]] = {
        "": lambda data: data,
        ".gz": lambda data: gzip.compress(data, mtime=0),
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
        ".lz": lzip,
        ".zst": zstd,
    }
    for suffix, hold in holders.items():
        yield f"good.tar{suffix}", hold(GOOD), ""
    yield "good-two-at-the-top.tar", tar(FILE, folder("a")), ""
    yield "good-one-file.tar", tar(FILE), ""
    yield "good-long-name.tar", LONG, ""
    one, two = ("a/one", b"1"), ("a/two", b"2")
    again = [member(*one), folder("a/"), folder("./"), member(*two), folder("./a")]
    yield "good-folder-twice.tar", tar(folder("a"), *again), ""
    named = [("a/", b"", 0o040755), (*one, 0o100644), ("./a/", b"", 0), (*two, 0o100644)]
    yield "good-folder-twice.zip", zipped(*named), ""
    special = [folder("a", mode=0o2755), folder("b", mode=0o1777), folder("c", mode=0o4500)]
    yield "good-special-folders.tar", tar(*special), ""
    # Within the archive, but not within the folder at its top.
    yield "good-unless-stripped.tar", tar(folder("a"), link("a/b", "../c")), ""
    yield "good.zip", zipped(*ZIPPED), ""


def archives() -> Archives:
    yield from good()
    yield from in_tar()
    yield from in_compressed_tar()
    yield from in_zip()


def main(place: Path) -> None:
    (place / ARCHIVES).mkdir(exist_ok=True)
    expected: dict[str, str | None] = {}
    for name, data, words in archives():
        if name in expected:
            raise SystemExit(f"{name} stands there twice")
        (place / ARCHIVES / name).write_bytes(data)
        expected[name] = words or None
    (place / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
