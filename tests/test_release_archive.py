"""A built tree as an archive: always the same bytes, and all that has to be known of it."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import socket
import stat
import tarfile
import tracemalloc
import zipfile
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from packed import HASH, NAME, URL, Workshop, put

from slapos.networkcache.binary import archive, walking
from slapos.networkcache.binary.installed import ORIGIN
from slapos.networkcache.binary.manifest import MANIFEST
from slapos.networkcache.digest import Digests
from slapos.networkcache.errors import NotBelieved, NotPublished, Reason
from slapos.networkcache.zstandard import ZstdCompressor


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def rest(members: dict[str, tarfile.TarInfo]) -> list[str]:
    """Names below the top folder, but for the manifest."""
    names = [name.partition("/")[2] for name in members]
    return [name for name in names if name not in ("", MANIFEST)]


# -- always the same


@pytest.mark.parametrize("kind", ["tar.zst", "tar.gz"])
def test_the_same_tree_gives_the_same_bytes(workshop: Workshop, kind: str) -> None:
    for name in ("b", "a", "é", "a.d/x", "bin/z"):
        os.utime(workshop.write(name, f"{workshop.release}/{name}"), (1, 1_000_000_000))
    first = workshop.pack(kind)
    for path in workshop.release.rglob("*"):
        os.utime(path, (5, path.stat().st_mtime + 0.5))
        path.chmod(path.stat().st_mode ^ 0o022)
    # In another order on the disk.
    os.rename(workshop.release / "b", workshop.release / "c")
    os.rename(workshop.release / "c", workshop.release / "b")
    second = workshop.pack(kind)
    assert second.data == first.data
    assert second.packed == first.packed


def test_members_are_sorted_and_the_manifest_is_the_last(workshop: Workshop) -> None:
    for name in ("b", "a.d/x", "a/x", "a-b", "bin/z"):
        workshop.write(name, "")
    members = workshop.pack().members()
    assert list(members) == [
        f"{NAME}{name}"
        for name in (
            *("", "/a", "/a/x", "/a-b", "/a.d", "/a.d/x", "/b", "/bin", "/bin/z"),
            f"/{MANIFEST}",
        )
    ]


def test_what_a_member_is_like(workshop: Workshop) -> None:
    os.utime(workshop.write("bin/program", "x", 0o700), (1, 1_234_567_890.75))
    workshop.write("secret", "x", 0o600)
    workshop.write("runs", "x", 0o4775)
    os.utime(workshop.write("early", "x"), (1, -5))
    (workshop.release / "bin").chmod(0o2700)
    members = workshop.pack().members()
    modes = {name.partition("/")[2]: member.mode for name, member in members.items()}
    assert modes == {
        "": 0o755,
        "bin": 0o755,
        "bin/program": 0o755,
        "secret": 0o644,
        "runs": 0o755,
        "early": 0o644,
        MANIFEST: 0o644,
    }
    times = {name.partition("/")[2]: member.mtime for name, member in members.items()}
    # Bytecode is checked against that of its source, in seconds.
    assert times["bin/program"] == 1_234_567_890
    assert times["early"] == times["bin"] == times[MANIFEST] == 0
    for member in members.values():
        owner = (member.uid, member.gid, member.uname, member.gname)
        assert owner == (0, 0, "", "")


def test_the_owner_that_older_nodes_have(workshop: Workshop) -> None:
    workshop.write("a", "x")
    for member in workshop.pack("tar.gz").members().values():
        owner = (member.uid, member.gid, member.uname, member.gname)
        assert owner == (0, 0, "slapsoft", "slapsoft")


@pytest.mark.parametrize("kind", ["tar.zst", "tar.gz"])
def test_what_is_signed_of_it(workshop: Workshop, kind: str) -> None:
    workshop.write("a", "x" * 1000)
    os.link(workshop.release / "a", workshop.release / "b")
    packed = workshop.pack(kind)
    said = packed.build
    members = packed.members()
    assert packed.packed.archived.content == Digests.of([packed.data])
    assert said.archive == kind
    assert said.software_url == URL
    assert said.prefix == str(workshop.release)
    assert said.shared == ()
    assert said.files == len(members) == 4
    assert said.manifest == members[f"{NAME}/{MANIFEST}"].size
    assert said.unpacked_size == 1000 + said.manifest


def test_names_that_are_long_or_no_text(workshop: Workshop) -> None:
    names = ["x" * 250, "größe " * 20, os.fsdecode(b"\xff\xfe"), "new\nline"]
    for name in names:
        workshop.write(name, str(workshop.release))
    packed = workshop.pack()
    assert sorted(rest(packed.members())) == sorted(names)
    places = workshop.places()
    packed.install(places)
    assert set(names) <= set(os.listdir(places.release))
    for name in names:
        text = Path(places.release, name).read_text()
        assert os.path.normpath(text) == places.release


# -- what is left out


def test_what_is_the_nodes_own(workshop: Workshop) -> None:
    """Marks, passwords, caches, and what programs leave at home: most at the top alone."""
    own = (
        ".completed", ".netrc", ".netrc.swp", ".cache/pip/x", ".git-credentials", ".pypirc",
        ".config/pip/pip.conf", ".git/config", ".pydistutils.cfg", "extends-cache/0123",
        ".networkcache-build.cfg",
    )  # fmt: skip
    for name in own:
        workshop.write(name, "secret")
        workshop.write(f"parts/{name}", "no secret")
    workshop.write(MANIFEST, "an old one")
    kept = (".installed.cfg", ".shared/x", "buildout.cfg")
    for name in kept:
        workshop.write(name, "no secret")
    archive = workshop.pack()
    names = rest(archive.members())
    assert {name for name in names if name.startswith((".", "e"))} == {
        ".installed.cfg", ".shared", ".shared/x",
    }  # fmt: skip
    below = {name for name in own if name not in (".netrc", ".networkcache-build.cfg")}
    assert {name for name in names if name in {f"parts/{other}" for other in own}} == {
        f"parts/{name}" for name in below
    }
    assert set(names) >= set(kept)
    assert archive.packed.archived.secret == ()


@pytest.mark.parametrize(
    "mark", [".completed", ".networkcache-build.cfg", ORIGIN, "not a release"]
)
def test_a_release_in_it_is_home_too(workshop: Workshop, mark: str) -> None:
    """It has programs' files of its own; and all that shows that it is installed."""
    private = {".cache/pip/x", ".ssh/id", ".pypirc", "extends-cache/0123"}
    kept = {"buildout.cfg", ".installed.cfg", ".shared/x", MANIFEST, "bin/x", "x/.hidden"}
    for name in (*private, *kept, mark):
        workshop.write(f"parts/base/{name}", "x")
    names = workshop.pack().members()
    top = f"{NAME}/parts/base/"
    packed = {name.removeprefix(top) for name, member in names.items() if member.isreg()}
    if mark == "not a release":
        kept |= private
    if not mark.startswith(".networkcache-"):
        kept.add(mark)
    assert packed == {*kept, f"{NAME}/{MANIFEST}"}


def test_passwords_and_what_is_ours_are_packed_at_no_depth(workshop: Workshop) -> None:
    """But the manifest of what is a part of it."""
    part = workshop.part("zlib", {"x": "x"})
    workshop.write("named", str(part))
    own = (".netrc", ".networkcache-build.cfg", f".networkcache-{NAME}-ab/tree/x")
    for top in (workshop.release / "a/b", part, part / "a"):
        for name in own:
            put(top / name, "secret")
        put(top / MANIFEST, "{}")
    names = [name for name in workshop.pack().members() if "/." in name]
    in_part = f"shared/0/zlib/{HASH}"
    tops = (NAME, f"{NAME}/a/b", in_part, f"{in_part}/a")
    assert sorted(names) == sorted(f"{top}/{MANIFEST}" for top in tops)


def mark_by(signer: str) -> str:
    """What is in the mark of what was taken from an archive, on the word of `signer`."""
    signers = [{"name": f"of {signer}", "fingerprint": signer}]
    return json.dumps({"software_url": URL, "sha512": "0" * 128, "signers": signers})


@pytest.mark.parametrize("where", ["a release in it", "deep in it", "a shared part"])
def test_what_was_taken_from_an_archive_is_not_vouched_for(
    workshop: Workshop, where: str
) -> None:
    """But by who has vouched for it; the marks that say so are in no archive."""
    part = workshop.part("zlib", {"x": "x"})
    workshop.write("named", str(part))
    top, name = {
        "a release in it": (workshop.release / "parts/base", f"{NAME}/parts/base"),
        "deep in it": (workshop.release / "a/b/c/d", f"{NAME}/a/b/c/d"),
        "a shared part": (part, f"shared/0/zlib/{HASH}"),
    }[where]
    put(top / "bin/x", "x")
    put(top / ORIGIN, mark_by("somebody"))
    archive = workshop.pack()
    assert not [member for member in archive.members() if member.endswith(ORIGIN)]
    archive.packed.check("somebody")
    with pytest.raises(NotPublished) as refused:
        archive.packed.check("another")
    assert refused.value.reason is Reason.UNCHECKED_ORIGIN
    assert f"{name} in it was taken from the network cache" in str(refused.value)
    assert "on the word of of somebody" in str(refused.value)
    # Of one that was built here, to be moved to its place, nobody has signed anything.
    put(top / ORIGIN, json.dumps({"signers": None}))
    workshop.pack().packed.check("another")


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"signers": [{"name": "me", "finger',
        '{"signers": [{"name": "me"}]}',
        '{"signers": "me"}',
        '{"signers": []}',
        "{}",
        "[]",
    ],
)
@pytest.mark.parametrize("where", ["a release in it", "a shared part"])
def test_a_mark_that_does_not_say_who_vouches(
    workshop: Workshop, where: str, text: str
) -> None:
    """Whoever that is, it was not built here."""
    part = workshop.part("zlib", {"x": "x"})
    workshop.write("named", str(part))
    put((workshop.release / "parts/base" if "in it" in where else part) / ORIGIN, text)
    with pytest.raises(NotPublished) as refused:
        workshop.pack().packed.check("me")
    assert refused.value.reason is Reason.UNCHECKED_ORIGIN


@pytest.mark.parametrize(
    "name",
    [
        ".installed.cfg",
        "buildout.cfg",
        "parts/a/buildout.cfg",
        "parts/a/.git/config",
        "parts/a/.git/modules/b/config",
        "parts/a/.git/modules/b/modules/c/config",
        "parts/a.git/config",
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        "url = https://me:hunter2@host/x.tar.gz",
        "url = https://me:hunter2@host",
        "url = git+ssh://me:hunter2@host/x.git",
        "url = https://host/x.git?private_token=hunter2",
        "url = https://host/?token=hunter2",
        "ExtraHeader = Authorization: Basic aHVudGVyMg==",
    ],
)
def test_a_secret_that_buildout_wrote_down(
    workshop: Workshop, name: str, text: str
) -> None:
    workshop.write("other/.git/config", "url = https://host/x.git")
    workshop.pack().packed.check("")
    workshop.write(name, f"[part]\n{text}\n")
    packed = workshop.pack().packed
    with pytest.raises(NotPublished) as refused:
        packed.check("")
    assert refused.value.reason is Reason.SECRET_URL
    assert str(refused.value) == f"there is a secret in {NAME}/{name}"


@pytest.mark.parametrize(
    "text",
    [
        "url = ssh://git@host/x.git",
        "url = git+ssh://git@host/x.git",
        "url = https://host/x.tar.gz#md5=0123",
        "environment = PATH=/x;KEY=1",
        "post-install = a && b;key=$(cat f)&key=x",
        "command = mail me@host:x http://localhost:8080/",
    ],
)
def test_what_only_looks_like_a_secret(workshop: Workshop, text: str) -> None:
    workshop.write(".installed.cfg", f"[part]\n{text}\n")
    workshop.pack().packed.check("")


def test_what_is_no_file_folder_or_link(workshop: Workshop, monkeypatch) -> None:
    os.mkfifo(workshop.release / "pipe")
    monkeypatch.chdir(workshop.release)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        packed = workshop.pack()
    assert rest(packed.members()) == []
    (note,) = packed.packed.notes
    assert f"left out: {NAME}/pipe, {NAME}/socket" in note


# -- where folders are named


def test_offsets(workshop: Workshop) -> None:
    release = str(workshop.release)
    first, _, tail = release[1:].partition("/")
    longer = f"/{first}////{tail}"
    workshop.write("once", f"x{release}/bin")
    workshop.write("twice", f"{release}:{release}")
    workshop.write("filled up", f"{longer}\0{release}")
    workshop.write("another", f"{release}-2 {release[:-1]}")
    manifest = workshop.pack().manifest()
    size = len(release)
    assert manifest.prefixes == (release,)
    assert manifest.files == {
        f"{NAME}/once": [[1]],
        f"{NAME}/twice": [[0, size + 1]],
        f"{NAME}/filled up": [[size + 4]],
    }
    assert manifest.longer == {f"{NAME}/filled up": [[[0, size + 3]]]}


def test_a_large_file_is_mapped(workshop: Workshop, monkeypatch) -> None:
    """And is the same as one that is read."""
    named = b"x" * 5000 + str(workshop.release).encode()
    for name, data in (("a", named), ("b", _zipped(named)), ("c", gzip.compress(named))):
        workshop.write(name, data)
    read = workshop.pack()
    monkeypatch.setattr(walking, "_MAPPED", 1)
    mapped = workshop.pack()
    assert mapped.data == read.data
    assert read.manifest().files == {f"{NAME}/a": [[5000]]}
    (note,) = mapped.packed.notes
    assert note.endswith(f": {NAME}/b, {NAME}/c")


def sparse(path: Path, begin: bytes = b"") -> Path:
    """A file of 64 MiB that takes no room on the disk."""
    put(path, begin)
    os.truncate(path, 64 << 20)
    return path


@pytest.mark.parametrize("kind", ["plain", "like gzip", "like zip", "hard link", "shared"])
def test_a_large_file_takes_no_memory(workshop: Workshop, kind: str) -> None:
    if kind == "shared":
        part = workshop.part("large", {"x": "x"})
        sparse(part / "large")
        workshop.write("named", str(part))
    else:
        begin = {"like gzip": b"\x1f\x8b\x08", "like zip": b"PK\3\4"}.get(kind, b"")
        path = sparse(workshop.release / "large", begin)
        if kind == "hard link":
            os.link(path, workshop.release / "larger")
    tracemalloc.start()
    try:
        assert workshop.pack().build.unpacked_size > 64 << 20
        # Of what is compressed, 16 MiB are looked at.
        assert tracemalloc.get_traced_memory()[1] < 48 << 20
    finally:
        tracemalloc.stop()


def test_hard_links(workshop: Workshop) -> None:
    """The first name has the bytes, and is changed once."""
    workshop.write("b/one", str(workshop.release))
    os.link(workshop.release / "b/one", workshop.release / "b/two")
    os.link(workshop.release / "b/one", workshop.release / "a")
    packed = workshop.pack()
    members = packed.members()
    assert members[f"{NAME}/a"].isreg()
    for name in ("b/one", "b/two"):
        assert members[f"{NAME}/{name}"].islnk()
        assert members[f"{NAME}/{name}"].linkname == f"{NAME}/a"
    assert packed.manifest().files == {f"{NAME}/a": [[0]]}
    places = workshop.places()
    packed.install(places)
    new = Path(places.release)
    assert (new / "a").samefile(new / "b/two")
    assert os.path.normpath((new / "b/one").read_text()) == places.release


def test_hard_links_between_a_release_and_a_part(workshop: Workshop) -> None:
    """Each is unpacked by itself."""
    part = workshop.part("zlib", {"x": "text"})
    workshop.write("named", str(part))
    os.link(part / "x", workshop.release / "x")
    packed = workshop.pack()
    assert packed.members()[f"{NAME}/x"].isreg()
    assert packed.members()[f"shared/0/zlib/{HASH}/x"].isreg()
    places = workshop.places()
    packed.install(places)
    assert not Path(places.release, "x").samefile(f"{places.shared}/zlib/{HASH}/x")


def test_links(workshop: Workshop) -> None:
    release = workshop.release
    targets = {
        "inside": "bin/x",
        "loop": "loop",
        "nowhere": "not/there",
        "absolute": f"{release}/bin",
        "repeated": f"//{str(release).replace('/', '//')[2:]}//bin",
        "absolute-and-out": f"{release}/../x",
        "absolute-with-dots": f"{release}/bin/x/../../..",
        "clock": "/etc/localtime",
        "out": "../x",
        "beside": f"{release}-2",
        "bin/through": "../clock/x",
        "bin/above": "../absolute/..",
    }
    (release / "bin").mkdir()
    for name, target in targets.items():
        os.symlink(target, release / name)
    packed = workshop.pack()
    members = packed.members()
    assert {n: members[f"{NAME}/{n}"].linkname for n in targets} == targets
    listed = {
        name.partition("/")[2]: number for name, number in packed.manifest().links.items()
    }
    leaving = {
        "absolute-and-out", "absolute-with-dots", "clock", "out", "beside", "bin/above",
    }  # fmt: skip
    assert listed == {"absolute": 0, "repeated": 0, **dict.fromkeys(leaving)}
    (note,) = packed.packed.notes
    assert note.startswith("links that lead out of the release: ")
    named = note.partition(": ")[2].removesuffix(" and 1 more").split(", ")
    assert set(named) < {f"{NAME}/{name}" for name in leaving}

    places = workshop.places()
    packed.install(places)
    there = {name: os.readlink(f"{places.release}/{name}") for name in targets}
    moved = dict.fromkeys(("absolute", "repeated"), f"{places.release}/bin")
    assert there == targets | moved


def _stored(text: bytes) -> bytes:
    return _zipped(text, zipfile.ZIP_STORED)


def _zipped(text: bytes, how: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", how) as zipped:
        zipped.writestr("other", b"x")
        zipped.writestr("module.py", text)
    return file.getvalue()


def _zstd(text: bytes) -> bytes:
    compressor = ZstdCompressor(3)
    return compressor.compress(text) + compressor.flush()


@pytest.mark.parametrize(
    "compress",
    [gzip.compress, bz2.compress, lzma.compress, _zstd, _zipped, _stored],
    ids=["gz", "bz2", "xz", "zst", "zip", "stored"],
)
def test_what_is_compressed_with_the_folder_in_it(workshop: Workshop, compress) -> None:
    named = compress(b"x" * 100 + str(workshop.release).encode())
    workshop.write("named", named)
    workshop.write("other", compress(b"x" * 100))
    workshop.write("damaged", named[: len(named) // 2])
    (note,) = workshop.pack().packed.notes
    assert note.startswith("compressed, or with checksums, and the folder of the release")
    assert f"{NAME}/named" in note
    assert "other" not in note


def test_where_nothing_is_to_be_said(workshop: Workshop) -> None:
    workshop.write("bin/x", f"#!/bin/sh\n{workshop.release}")
    os.symlink("x", workshop.release / "bin/y")
    assert workshop.pack().packed.notes == ()


# -- shared parts


def test_parts_that_are_named_and_those_that_they_name(workshop: Workshop) -> None:
    xz = workshop.part("xz", {"lib/x": "x"})
    zlib = workshop.part("zlib", {"zlib.pc": f"needs {xz}/lib"})
    linked = workshop.part("linked", {"x": "x"})
    workshop.part("unused", {"x": "x"})
    workshop.write("named", f"{zlib}\n{workshop.shared}/gone/{HASH} {workshop.shared}/x")
    os.symlink(str(linked / "x").replace("/", "//"), workshop.release / "link")
    packed = workshop.pack()
    tops = [f"shared/0/{name}/{HASH}" for name in ("linked", "xz", "zlib")]
    manifest = packed.manifest()
    assert sorted(manifest.parts) == tops
    names = list(packed.members())
    assert [name for name in names if name.endswith(HASH)] == [tops[0], tops[2], tops[1]]
    assert not [name for name in names if "unused" in name]
    assert manifest.prefixes == (str(workshop.release), str(workshop.shared))
    assert packed.build.shared == (str(workshop.shared),)
    assert manifest.files[f"shared/0/zlib/{HASH}/zlib.pc"] == [[], [6]]
    assert manifest.links == {f"{NAME}/link": 1}


def test_no_folder_of_parts_without_parts(workshop: Workshop) -> None:
    workshop.part("unused", {"x": "x"})
    workshop.write("named", str(workshop.shared))
    packed = workshop.pack()
    assert packed.build.shared == ()
    assert packed.manifest().prefixes == (str(workshop.release),)
    assert packed.manifest().files == {}


def test_the_digest_of_a_part(workshop: Workshop) -> None:
    """It is that of what was built; bytecode, times and most of modes do not count."""
    part = workshop.part("zlib", {"b/x.py": "text", "a": str(workshop.shared)})
    workshop.write("named", str(part))
    (part / "link").symlink_to("a")

    def digest() -> str:
        (digest,) = workshop.pack().manifest().parts.values()
        return digest

    shared = str(workshop.shared).encode()
    first = digest()
    assert first == sha256(
        b"file %d a\0%s" % (len(shared), shared)
        + b"folder 0 b\0file 4 b/x.py\0text"
        + b"link 1 link\0a"
    ).hexdigest()  # fmt: skip
    (part / "b/__pycache__").mkdir()
    (part / "b/__pycache__/x.pyc").write_bytes(b"x")
    (part / "b/x.py").chmod(0o440)
    os.utime(part / "a", (1, 1))
    assert digest() == first
    (part / "b/x.py").chmod(0o755)
    assert digest() != first


# -- failures


@pytest.mark.parametrize("what", ["release", "shared"])
def test_a_folder_that_is_reached_over_a_link(workshop: Workshop, what: str) -> None:
    """Files may name either of its names, and only one would be moved."""
    real = getattr(workshop, what)
    real.mkdir(exist_ok=True)
    link = workshop.folder / "a-link"
    link.symlink_to(real.parent)
    setattr(workshop, what, link / real.name)
    with pytest.raises(NotBelieved) as refused:
        workshop.pack()
    assert refused.value.reason is Reason.UNFIT_PREFIX
    assert f"{link}/{real.name} is reached over a link" in str(refused.value)
    assert f"{real} as well" in str(refused.value)


def test_what_cannot_be_written(workshop: Workshop) -> None:
    class Full(BytesIO):
        def write(self, data) -> int:
            raise OSError(28, "No space left on device")

    workshop.write("a", os.urandom(1 << 20))
    survey = archive.Survey(())
    with pytest.raises(OSError, match="No space"):
        archive.write_archive(
            str(workshop.release), NAME, (), Full(), format="tar.zst", survey=survey
        )


def test_nothing_of_the_tree_is_changed(workshop: Workshop) -> None:
    path = workshop.write("a", str(workshop.release), 0o444)
    before = path.stat()
    workshop.pack()
    after = path.stat()
    assert (after.st_mtime_ns, after.st_ino, after.st_ctime_ns, after.st_mode) == (
        before.st_mtime_ns,
        before.st_ino,
        before.st_ctime_ns,
        before.st_mode,
    )
    assert stat.S_IMODE(after.st_mode) == 0o444
