"""Makes the golden releases: ``python tests/golden_releases/make.py [FOLDER]``.

Each archive is named after what is wrong with it; the good ones begin with ``good``, those
of slapos.core with ``old``. ``expected.json`` tells what was signed beside each, and words
of the error that must come of it, null for the good ones. Every run makes the same, but
for what zlib may do better one day.
"""

from __future__ import annotations

import gzip
import json
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import md5, sha256
from io import BytesIO
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from golden_archives.make import (  # noqa: E402
    folder,
    hard_link,
    link,
    member,
    raw,
    sparse_of_gnu,
    tar,
    zstd,
)

ARCHIVES = "archives"

URL = "http://example.com/software.cfg"
R = md5(URL.encode()).hexdigest()
"""The name of the release, and of the folder at the top of its archive."""
BUILT = "/opt/" + "a-rather-long-folder/" * 12
"""So long that what was built there may be moved to the folder of any test."""
PREFIX = f"{BUILT}slapgrid/{R}"
PARTS = f"{BUILT}shared"
HASH = "0123456789abcdef" * 2
PART = f"shared/0/zlib/{HASH}"
MANIFEST = f"{R}/.networkcache-manifest.json"

Members = tuple[Any, ...]
Kind = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """An archive, its name, and words of the error. `signed` is what else is signed."""

    name: str
    data: bytes
    words: str = ""
    signed: Kind = field(default_factory=dict)

    def expected(self) -> Kind:
        return {"words": self.words or None, **self.signed}


Cases = Iterator[Case]


# -- one that is good, which each of the others is but for one thing


SHELL = f"#!{PREFIX}/bin/shell\nexec {PREFIX}/bin/other\n".encode()
AT = [2, SHELL.index(PREFIX.encode(), 3)]
"""Where it names its folder."""
SCRIPT = f"{R}/bin/script"
BASE = (folder(R), folder(f"{R}/bin"), member(SCRIPT, SHELL, mode=0o755))


def manifest(**changes: Any) -> bytes:
    """That of the good one, changed."""
    value = {
        "format": 1,
        "prefixes": [PREFIX],
        "files": {SCRIPT: [AT]},
        "longer": {},
        "links": {},
        "parts": {},
    } | changes
    return json.dumps({n: v for n, v in value.items() if v is not ...}).encode()


def members_of(*more: Any, said: bytes | None = None) -> Members:
    """The good one, with `more` in it, and another manifest."""
    return (*BASE, *more, member(MANIFEST, manifest() if said is None else said))


def case(
    name: str, *more: Any, said: bytes | None = None, words: str = "", **signed: Any
) -> Case:
    """One whose archive has `more` than the good one, or says something else."""
    return whole(name, members_of(*more, said=said), words, **signed)


def whole(name: str, members: Members, words: str = "", **signed: Any) -> Case:
    """One of these members, all of which were signed, but for what `signed` says."""
    data = gzip.compress(tar(*members), mtime=0)
    return Case(f"{name}.tar.gz", data, words, said_of(members) | signed)


def said_of(members: Members) -> Kind:
    sizes = {info.name: len(data) for info, data in members}
    return {
        "files": len(members),
        "unpacked_size": sum(len(data) for _, data in members),
        "manifest": sizes.get(MANIFEST) or 1,
    }


def with_part(*more: Any, digest: str | None = None) -> Members:
    """The good one, and a shared part, with `more` in it."""
    text = f"{PARTS}/zlib/{HASH}/lib\n".encode()
    shared = [folder("/".join(PART.split("/")[:depth])) for depth in range(1, 5)]
    digest = digest or sha256(b"file %d zlib.pc\0" % len(text) + text).hexdigest()
    return (
        *BASE,
        *shared,
        member(f"{PART}/zlib.pc", text, mode=0o644),
        *more,
        member(
            MANIFEST,
            manifest(
                prefixes=[PREFIX, PARTS],
                files={SCRIPT: [AT], f"{PART}/zlib.pc": [[], [0]]},
                parts={PART: digest},
            ),
        ),
    )


def good() -> Cases:
    members = members_of()
    signed = said_of(members)
    yield Case("good.tar.zst", zstd(tar(*members)), signed=signed)
    yield Case("good.tar.gz", gzip.compress(tar(*members), mtime=0), signed=signed)
    yield whole("good-shared", with_part(), shared=[PARTS])
    longer = PREFIX.replace("/opt/", "/opt////", 1)
    yield case(
        "good-longer",
        member(f"{R}/nested", b"x" + longer.encode() + b"/y"),
        said=manifest(longer={f"{R}/nested": [[[1, len(longer)]]]}),
    )
    yield case(
        "good-links",
        link(f"{R}/inside", "bin/script"),
        link(f"{R}/bin/absolute", f"{PREFIX}/bin/script"),
        link(f"{R}/bin/through", "absolute"),
        link(f"{R}/clock", "/etc/localtime"),
        link(f"{R}/out", "../elsewhere"),
        link(f"{R}/nowhere", "not/there"),
        said=manifest(links={f"{R}/bin/absolute": 0, f"{R}/clock": None, f"{R}/out": None}),
    )
    yield case("good-hard-link", hard_link(f"{R}/bin/again", SCRIPT))
    # What is in a zip archive stays: there are checksums of it.
    zip = member(f"{R}/program", zipped(f"{PREFIX}\n".encode()))
    yield case("good-zip", zip, said=manifest(files={SCRIPT: [AT], f"{R}/program": [AT]}))
    # Modes of folders are not taken: those of shared file systems are setgid.
    yield case("good-special-folder", folder(f"{R}/var", mode=0o7777))


def zipped(data: bytes) -> bytes:
    """A zip archive with a script before it, as some programs are; a file in it is not
    compressed."""
    file = BytesIO(SHELL)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo("x"), data)
    return file.getvalue()


# -- members that no archive may have


def in_members() -> Cases:
    other = "is no file, folder or link"
    for name, type in [("device", b"3"), ("block-device", b"4"), ("fifo", b"6")]:
        yield case(name, member(f"{R}/x", type=type), words=other)
    leaves = "leaves the folder"
    yield case("dotdot", member(f"{R}/../../x", b"x"), words=leaves)
    yield case("dotdot-inside", member(f"{R}/bin/../x", b"x"), words=leaves)
    long = member(f"{R}/{'x' * 256}", b"x")
    yield case("name-too-long", long, words="File name too long")
    outside = "is outside of"
    yield case("absolute", member("/tmp/x", b"x"), words=outside)
    yield case("dot", member(f"./{R}/x", b"x"), words=outside)
    yield case("empty-part", member(f"{R}//x", b"x"), words=outside)
    nul = member("x", b"x", pax_headers={"path": f"{R}/x\0y"})
    yield case("nul", nul, words=leaves)

    twice = "is there twice"
    yield case("file-twice", member(SCRIPT, b"x"), words=twice)
    yield case("folder-twice", folder(f"{R}/bin"), words=twice)
    yield case("release-twice", folder(R), words=twice)
    yield case("link-for-a-file", link(SCRIPT, "x"), words=twice)
    yield case("link-for-a-folder", link(f"{R}/bin", "."), words=twice)
    yield case("folder-for-a-link", link(f"{R}/x", "."), folder(f"{R}/x"), words=twice)
    again = [hard_link(f"{R}/x", SCRIPT), hard_link(f"{R}/x", SCRIPT)]
    yield case("hard-link-twice", *again, words=twice)
    yield case("manifest-twice", member(MANIFEST, manifest()), words=twice)

    yield case("below-file", member(f"{SCRIPT}/x", b"x"), words="is below a file")
    below = [link(f"{R}/x", "bin"), member(f"{R}/x/y", b"x")]
    yield case("below-link", *below, words="is below a symbolic link")
    below = [hard_link(f"{R}/x", SCRIPT), member(f"{R}/x/y", b"x")]
    yield case("below-hard-link", *below, words="is below a hard link")
    yield case("no-folder", member(f"{R}/x/y", b"x"), words="not named before")

    yield case("another-top", folder("0" * 32), words=outside)
    yield case("file-at-the-top", member("README", b"x"), words=outside)
    alone = [folder("shared"), folder("shared/0")]
    yield case("shared-without-any", *alone, words=outside)
    for name, *more in [
        ("shared-file", member("shared/x", b"x")),
        ("shared-file-deeper", member("shared/0/x", b"x")),
        ("shared-no-hash", member("shared/0/zlib/x", b"x")),
        (
            "shared-number",
            folder("shared/x"),
            folder("shared/x/y"),
            folder(f"shared/x/y/{HASH}"),
        ),
        ("shared-file-as-part", member(f"shared/0/zlib/{HASH[::-1]}", b"x")),
        ("shared-link-as-part", link(f"shared/0/zlib/{HASH[::-1]}", HASH)),
    ]:
        words = "is in no shared part"
        yield whole(name, with_part(*more), words, shared=[PARTS])

    holes = "has holes"
    data = sparse_of_gnu(f"{R}/holes")[:-1024] + tar(member(MANIFEST, manifest()))
    data = gzip.compress(raw(*BASE) + data, mtime=0)
    signed = said_of(members_of()) | {"files": 5, "unpacked_size": 1 << 21}
    yield Case("sparse-gnu.tar.gz", data, holes, signed)
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": f"{R}/x"}
    pax["GNU.sparse.realsize"] = "1048576"
    data = b"1\n0\n4\n".ljust(512, b"\0") + b"data"
    yield case("sparse-pax", member(f"{R}/x", data, pax_headers=pax), words=holes)

    runs = "runs as somebody else"
    yield case("setuid", member(f"{R}/x", b"x", mode=0o4755), words=runs)
    yield case("setgid", member(f"{R}/x", b"x", mode=0o2755), words=runs)


# -- links


def in_links() -> Cases:
    hard, tree = "no earlier file", "is a hard link out of its tree"
    yield case("hard-link-to-nothing", hard_link(f"{R}/x", f"{R}/y"), words=hard)
    yield case("hard-link-outside", hard_link(f"{R}/x", "etc/passwd"), words=tree)
    absolute = hard_link(f"{R}/x", "/etc/passwd")
    yield case("hard-link-absolute", absolute, words=tree)
    dotdot = hard_link(f"{R}/x", f"{R}/../../x")
    yield case("hard-link-dotdot", dotdot, words="leaves the folder")
    yield case("hard-link-to-folder", hard_link(f"{R}/x", f"{R}/bin"), words=hard)
    to_link = [link(f"{R}/x", "bin/script"), hard_link(f"{R}/y", f"{R}/x")]
    yield case("hard-link-to-link", *to_link, words=hard)
    later = [hard_link(f"{R}/x", f"{R}/y"), member(f"{R}/y", b"x")]
    yield case("hard-link-to-later", *later, words=hard)
    into = with_part(hard_link(f"{PART}/x", SCRIPT))
    yield whole("hard-link-from-part", into, tree, shared=[PARTS])
    other = PART.replace(HASH, HASH[::-1])
    between = with_part(folder(other), hard_link(f"{other}/x", f"{PART}/zlib.pc"))
    yield whole("hard-link-between-parts", between, tree, shared=[PARTS])

    out = "is a link out of the folder"

    def listed(number: int | None) -> bytes:
        return manifest(links={f"{R}/x": number})

    yield case("link-absolute", link(f"{R}/x", "/etc"), words=out)
    yield case("link-dotdot", link(f"{R}/x", "../x"), words=out)
    yield case("link-to-itself-outside", link(f"{R}/x", f"../{R}/bin"), words=out)
    unlisted = link(f"{R}/x", f"{PREFIX}/bin")
    yield case("link-not-listed", unlisted, words=out)
    chain = [folder(f"{R}/a"), link(f"{R}/a/b", ".."), link(f"{R}/x", "a/b/..")]
    yield case("link-through-link", *chain, words=out)
    # That one stays in the folder, and is listed: what goes on from there does not.
    through = [link(f"{R}/x", f"{PREFIX}/bin"), link(f"{R}/y", "x/../..")]
    yield case("link-through-listed", *through, said=listed(0), words=out)
    elsewhere = link(f"{R}/x", "/etc")
    yield case("link-listed-elsewhere", elsewhere, said=listed(0), words=out)
    leaving = link(f"{R}/x", f"{PREFIX}/../x")
    yield case("link-listed-dotdot", leaving, said=listed(0), words=out)
    inside = link(f"{R}/x", f"{PREFIX}/bin/../x")
    yield case("link-listed-dotdot-inside", inside, said=listed(0), words=out)
    beside = link(f"{R}/x", f"{PREFIX}-2/x")
    yield case("link-listed-beside", beside, said=listed(0), words=out)
    long = link(f"{R}/x", "x/" * 2048)
    yield case("link-too-long", long, words="is too long")
    empty = link(f"{R}/x", "")
    yield case("link-empty", empty, said=listed(None), words=out)
    part = with_part(link(f"{PART}/x", "../../x"))
    yield whole("link-out-of-part", part, out, shared=[PARTS])
    yield case("link-listed-no-link", said=manifest(links={SCRIPT: 0}), words="is no link")
    gone = manifest(links={f"{R}/gone": None})
    yield case("link-listed-not-there", said=gone, words="is no link")


# -- the manifest


def in_manifest() -> Cases:
    damaged = "its manifest is damaged"
    yield whole("manifest-missing", BASE, "no manifest")
    yield case("manifest-shorter", words="another size", manifest=len(manifest()) + 1)
    yield case("manifest-longer", words="another size", manifest=len(manifest()) - 1)
    huge = manifest(links={}) + b" " * (1 << 20)
    yield case("manifest-huge", said=huge, words="another size", manifest=1000)
    as_link = (*BASE, link(MANIFEST, "bin/script"))
    yield whole("manifest-link", as_link, "no manifest")
    as_hard_link = (*BASE, hard_link(MANIFEST, SCRIPT))
    yield whole("manifest-hard-link", as_hard_link, "no manifest", manifest=len(SHELL))
    yield whole("manifest-folder", (*BASE, folder(MANIFEST)), "no manifest")

    yield case("manifest-not-json", said=b"{]", words=damaged)
    yield case("manifest-not-text", said=b"\xff\xfe", words=damaged)
    yield case("manifest-deep", said=b"[" * 100_000, words=damaged)
    yield case("manifest-list", said=b"[1]", words=damaged)
    double = manifest().replace(b'"files"', b'"files": {}, "files"')
    yield case("manifest-members-twice", said=double, words="named twice")
    place = f'"{SCRIPT}": [[0]], '.encode()
    double = manifest().replace(f'"{SCRIPT}"'.encode(), place + f'"{SCRIPT}"'.encode())
    yield case("manifest-file-twice", said=double, words="named twice")
    yield case("manifest-format", said=manifest(format=2), words="format 1")
    yield case("manifest-format-true", said=manifest(format=True), words="format 1")
    yield case("manifest-more", said=manifest(more=1), words=damaged)
    yield case("manifest-less", said=manifest(links=...), words=damaged)

    folders = "about other folders"
    yield case("prefix-other", said=manifest(prefixes=["/opt/x"]), words=folders)
    more = manifest(prefixes=[PREFIX, "/opt/x"])
    yield case("prefix-more", said=more, words=folders)
    yield case("prefix-fewer", words=folders, shared=[PARTS])
    yield case("prefix-none", said=manifest(prefixes=[]), words=damaged)
    yield case("prefix-twice", said=manifest(prefixes=[PREFIX] * 2), words=damaged)
    yield case("prefix-unfit", said=manifest(prefixes=["/opt/$ORIGIN"]), words=damaged)
    yield case("prefix-one-name", said=manifest(prefixes=["/opt"]), words=damaged)
    yield case("prefix-number", said=manifest(prefixes=[1]), words=damaged)

    def at(*offsets: Any, file: str = SCRIPT) -> bytes:
        return manifest(files={file: list(offsets)})

    misplaced = "does not have the name of a folder"
    yield case("offset-beyond", said=at([len(SHELL)]), words=misplaced)
    yield case("offset-half-beyond", said=at([len(SHELL) - 9]), words=misplaced)
    yield case("offset-far-beyond", said=at([1 << 100]), words=misplaced)
    yield case("offset-something-else", said=at([AT[0] + 1]), words=misplaced)
    data = zipped(f"{PREFIX}\n".encode())
    in_zip = at([data.index(PREFIX.encode(), len(SHELL))], file=f"{R}/x")
    yield case("offset-in-zip", member(f"{R}/x", data), said=in_zip, words=misplaced)
    yield case("offset-in-empty", member(f"{R}/x"), said=at([0], file=f"{R}/x"),
               words=misplaced)  # fmt: skip
    yield case("offset-negative", said=at([-1]), words="negative")
    yield case("offset-overlapping", said=at([AT[0], AT[0] + 5]), words="overlap")
    yield case("offset-twice", said=at([AT[0], AT[0]]), words="overlap")
    yield case("offset-text", said=at(["2"]), words=damaged)
    yield case("offset-float", said=at([2.0]), words=damaged)
    yield case("offset-true", said=at([True]), words=damaged)
    yield case("offset-no-prefix", said=at([], [2]), words=damaged)

    def longer(*span: Any) -> bytes:
        return manifest(longer={SCRIPT: [[list(span)]]}, files={})

    yield case("longer-huge", said=longer(0, 1 << 60), words=misplaced)
    yield case("longer-shorter", said=longer(AT[0], 5), words="shorter than its prefix")
    yield case("longer-negative", said=longer(-5, 5000), words="negative")
    yield case("longer-true", said=longer(True, len(PREFIX)), words=damaged)
    yield case("longer-no-length", said=longer(AT[0]), words=damaged)
    both = manifest(longer={SCRIPT: [[[AT[0], len(PREFIX)]]]})
    yield case("longer-overlapping", said=both, words="overlap")

    no_file = "is named by the manifest, and is no file"
    yield case("offset-in-nothing", said=at([2], file=f"{R}/x"), words=no_file)
    yield case("offset-in-folder", said=at([2], file=f"{R}/bin"), words=no_file)
    to_file = link(f"{R}/x", "bin/script")
    yield case("offset-in-link", to_file, said=at([2], file=f"{R}/x"), words=no_file)
    hard = hard_link(f"{R}/x", SCRIPT)
    yield case("offset-in-hard-link", hard, said=at([2], file=f"{R}/x"), words=no_file)
    for name, path in [
        ("outside", "/etc/passwd"),
        ("dotdot", f"{R}/../x"),
        ("no-name", ""),
    ]:
        yield case(f"offset-in-{name}", said=at([2], file=path), words=no_file)

    left = "where the manifest does not say"
    yield case("name-left", said=at([AT[0]]), words=left)
    filled = b"#!" + PREFIX.encode() + b" " + PREFIX.replace("/", "//", 1).encode()
    filled = filled.replace(b"//opt", b"/opt//")
    spelt = member(f"{R}/x", filled)
    spelt_at = manifest(files={SCRIPT: [AT], f"{R}/x": [[2]]})
    yield case("name-left-filled-up", spelt, said=spelt_at, words=left)

    parts = "other shared parts than there are"
    there = manifest(prefixes=[PREFIX, PARTS])
    members = (*with_part()[:-1], member(MANIFEST, there))
    yield whole("part-not-named", members, parts, shared=[PARTS])
    named = manifest(prefixes=[PREFIX, PARTS], parts={PART: "0" * 64})
    yield case("part-not-there", said=named, words=parts, shared=[PARTS])
    yield whole("part-digest", with_part(digest="0"), damaged, shared=[PARTS])
    number = manifest(prefixes=[PREFIX, PARTS], parts={f"shared/1/zlib/{HASH}": "0" * 64})
    yield case("part-of-no-folder", said=number, words=damaged, shared=[PARTS])
    strange = manifest(prefixes=[PREFIX, PARTS], parts={f"shared/0/../{HASH}": "0" * 64})
    yield case("part-dotdot", said=strange, words=damaged, shared=[PARTS])


# -- the whole


def in_whole() -> Cases:
    members = members_of(member(f"{R}/x", b"x" * 100))
    signed = said_of(members)
    more = "there is more in it"
    for name, change in [("files", -1), ("files", 1), ("unpacked_size", -1)]:
        fewer = "more" if change < 0 else "fewer"
        words = more if change < 0 else "are signed, and there are"
        named = signed | {name: signed[name] + change}
        yield whole(f"{fewer}-{name.replace('_', '-')}", members, words, **named)
    named = signed | {"unpacked_size": signed["unpacked_size"] + 1}
    yield whole("fewer-unpacked-size", members, "are signed, and there are", **named)
    mark = folder(f"{R}/.completed")
    yield case("mark-as-folder", mark, words=".completed in it")

    data = tar(*members)
    damaged = "damaged"
    packed = gzip.compress(data, mtime=0)
    yield Case("cut.tar.gz", packed[:-20], damaged, signed)
    yield Case("cut.tar.zst", zstd(data)[:-20], damaged, signed)
    yield Case("cut-header.tar.zst", zstd(data[:1124]), damaged, signed)
    yield Case("no-end.tar.zst", zstd(raw(*members)), damaged, signed)
    wrong = packed[:-8] + bytes(4) + packed[-4:]
    yield Case("wrong-sum.tar.gz", wrong, damaged, signed)
    yield Case("garbage.tar.gz", packed + b"garbage", damaged, signed)
    yield Case("garbage.tar.zst", zstd(data) + b"garbage", damaged, signed)
    yield Case("window.tar.zst", zstd(data, window_log=28), damaged, signed)
    yield Case("page.tar.gz", b"<html>404</html>\n" * 30, "no archive", signed)
    yield Case("empty.tar.gz", b"", "no archive", signed)


# -- those of slapos.core


def old(name: str, *more: Any, words: str = "") -> Case:
    """One as it packs them: in the format PAX, with fractions of seconds, owners, and
    the modes of the tree."""
    how = {"uid": 1000, "gid": 1000, "uname": "slapsoft", "gname": "slapsoft"}
    members = [
        member(R, type=b"5", mode=0o755, pax_headers={"mtime": "1700000000.25"}, **how),
        member(f"{R}/bin", type=b"5", mode=0o750, **how),
        member(SCRIPT, SHELL, mode=0o750, pax_headers={"mtime": "1700000000.5"}, **how),
        *more,
    ]
    return Case(f"old-{name}.tar.gz", gzip.compress(tar(*members), mtime=0), words)


def of_incumbents() -> Cases:
    yield old(
        "good",
        link(f"{R}/inside", "bin/script"),
        hard_link(f"{R}/bin/again", SCRIPT),
        member(f"{R}/{'größe-' * 30}", b"x", mode=0o640),
        folder(f"{R}/var", mode=0o2755),
    )
    yield old("another-top", folder("0" * 32), words="is outside of")
    yield old("shared", folder("shared"), words="is outside of")
    yield old("dotdot", member(f"{R}/../x", b"x"), words="leaves the folder")
    yield old("absolute", member("/tmp/x", b"x"), words="is outside of")
    yield old("fifo", member(f"{R}/x", type=b"6"), words="is no file, folder or link")
    yield old("setuid", member(f"{R}/x", b"x", mode=0o4755), words="runs as somebody else")
    out = "is a link out of the folder"
    yield old("link-absolute", link(f"{R}/x", "/etc"), words=out)
    yield old("link-dotdot", link(f"{R}/x", "../x"), words=out)
    below = [link(f"{R}/x", "/tmp"), member(f"{R}/x/y", b"x")]
    yield old("below-link", *below, words="is below a symbolic link")
    hard = hard_link(f"{R}/x", "etc/passwd")
    yield old("hard-link-outside", hard, words="is a hard link out of its tree")
    yield old("mark-as-folder", folder(f"{R}/.completed"), words=".completed in it")
    empty = gzip.compress(tar(), mtime=0)
    yield Case("old-nothing.tar.gz", empty, "there is no folder")
    for name, only in [
        ("link", link(R, ".")),
        ("file", member(R, b"x")),
    ]:
        packed = gzip.compress(tar(only), mtime=0)
        yield Case(f"old-only-a-{name}.tar.gz", packed, "there is no folder")
    cut = gzip.compress(tar(*BASE), mtime=0)[:-20]
    yield Case("old-cut.tar.gz", cut, "damaged")


def cases() -> Cases:
    yield from good()
    yield from in_members()
    yield from in_links()
    yield from in_manifest()
    yield from in_whole()
    yield from of_incumbents()


def main(place: Path) -> None:
    (place / ARCHIVES).mkdir(exist_ok=True)
    expected: dict[str, Any] = {}
    for case in cases():
        if case.name in expected:
            raise SystemExit(f"{case.name} stands there twice")
        (place / ARCHIVES / case.name).write_bytes(case.data)
        expected[case.name] = case.expected()
    (place / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
