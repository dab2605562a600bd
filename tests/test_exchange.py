"""Entries and contents in one file: what an export has in it, and what an import takes."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from keeping import NOW, here, keep, keys, make_root, name

from slapos.networkcache.certificates import Signer, generate
from slapos.networkcache.digest import Digest, Digests
from slapos.networkcache.entry import Entry, Key, Pair
from slapos.networkcache.errors import InvalidArchive, StorageFull
from slapos.networkcache.members import members_of_file
from slapos.networkcache.record import Used, encode_record
from slapos.networkcache.server.air_gap import choosing
from slapos.networkcache.server.air_gap.export import Exported, export
from slapos.networkcache.server.air_gap.importing import Taken, take
from slapos.networkcache.server.configuration.options import Options
from slapos.networkcache.server.log import Log
from slapos.networkcache.server.root import Root
from slapos.networkcache.server.space.collect import room_of, rules_of
from slapos.networkcache.storage import Stored

URL = "http://example.com/a-1.0.tar.gz"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with closing(make_root(tmp_path / "root")) as root:
        yield root


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Root]:
    """The one that imports."""
    with closing(make_root(tmp_path / "far")) as root:
        yield root


EVERYTHING = choosing.beginning_with("")


def written(root: Root, *choices: choosing.Choice) -> tuple[bytes, Exported]:
    """An export."""
    file = io.BytesIO()
    chosen = choosing.all_of(root, choices or [EVERYTHING])
    exported = export(root, chosen, file, ["--all"])
    return file.getvalue(), exported


class Pipe:
    """Bytes that are read once, a few at a time."""

    def __init__(self, data: bytes):
        self._file = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, 5000))


def taken(root: Root, data: bytes, *signers, **options) -> Taken:
    """An import."""
    rules = rules_of(Options(root.folder, **options), root)
    return take(root, room_of(root, rules), Pipe(data), signers)


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def tar_of(*files: tuple[str, bytes | tarfile.TarInfo]) -> bytes:
    """A tar with these members, in that order."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member, data in files:
            if isinstance(data, tarfile.TarInfo):
                tar.addfile(data)
            else:
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def texts(root: Root, key: str) -> list[str]:
    return [row.pair.entry for row in root.entries.get([Key(key)]).get(Key(key), ())]


# What is in an export


def test_what_goes_through_a_file_is_what_was_there(root, far):
    first, second = keep(root, b"first", "ann"), keep(root, b"second" * 99, "bob")
    name(root, "pypi:a=1", first, "ann", created=5)
    name(root, "pypi:a=1", second, "bob", created=3)
    name(root, "k:~!@,$", first, "ann")
    data, exported = written(root)
    assert (exported.keys, exported.pairs, exported.contents) == (2, 3, 2)
    assert (exported.bytes, exported.missing) == (5 + 594, [])
    done = taken(far, data)
    assert (done.contents, done.bytes, done.there) == (2, 599, 0)
    assert (done.pairs, done.left_out) == (3, [])
    assert here(far) == {first, second}
    for key in ("pypi:a=1", "k:~!@,$"):
        assert texts(far, key) == texts(root, key)
    assert {known.account for known in far.catalogue} == {"import"}
    puts = [(line.account, line.subject) for line in Log(far.database).lines(action="put")]
    assert sorted(puts) == [
        ("import", "k:~!@,$"),
        ("import", "pypi:a=1"),
        ("import", "pypi:a=1"),
    ]
    again = taken(far, data)
    assert (again.contents, again.there, again.pairs) == (0, 2, 3)
    assert len(list(Log(far.database).lines(action="put"))) == 3


def test_a_file_is_a_plain_tar_of_known_form(root):
    digest = keep(root, b"content")
    older = name(root, "a:+$", digest, created=1)
    newer = name(root, "a:+$", digest, created=2)
    data, _ = written(root)
    names = list(members(data))
    assert names == [
        "networkcache.json",
        f"contents/{digest}",
        "entries/a:+%24.json",
        "end.json",
    ]
    files = members(data)
    assert files[f"contents/{digest}"] == b"content"
    assert json.loads(files[names[2]]) == [list(older), list(newer)]
    assert json.loads(files["end.json"]) == {"contents": 1, "keys": 1}
    head = json.loads(files["networkcache.json"])
    assert head.pop("created") >= NOW
    assert head == {"format": 1, "asked": ["--all"]}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        plain = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.type) for m in tar}
    assert plain == {(0, 0, 0, "", "", 0o644, tarfile.REGTYPE)}


def test_a_content_that_is_missing_or_bad_is_told_and_its_pair_left_out(root, far):
    gone, bad, good = (keep(root, data) for data in (b"gone", b"bad", b"good"))
    for digest in (gone, bad, good):
        name(root, "key", digest)
    name(root, "another", bad)
    name(root, "hidden", Digest.of(b"still to come"), hidden=True)
    Path(root.contents.path(gone)).unlink()
    Path(root.contents.path(bad)).write_bytes(b"BAD")
    data, exported = written(root)
    assert [(key.text, why) for key, why in exported.missing] == [
        ("another", f"the content {bad} is bad: networkcache server check --repair"),
        ("key", f"the content {bad} is bad: networkcache server check --repair"),
        ("key", f"the content {gone} is not here"),
    ]
    assert taken(far, data).pairs == 1
    assert here(far) == {good}
    assert keys(far) == {"key"}


def test_a_key_that_others_flooded_keeps_the_newest_of_each(root, far):
    """Whoever takes it cannot know whose they are, and keeps 1 MiB of them all."""
    digest = keep(root, b"content")
    own = name(root, "pypi:a=1", digest, "ann")
    for account in ("bob", "eve"):
        for number in range(12):
            name(root, "pypi:a=1", digest, account, of=f"{account} {number}" + 60000 * "x")
    data, exported = written(root)
    [(key, why)] = exported.missing
    assert (key.text, why) == (
        "pypi:a=1",
        f"{25 - exported.pairs} of its pairs are too many",
    )
    assert taken(far, data).pairs == exported.pairs
    assert len(texts(far, "pypi:a=1")) == exported.pairs
    assert own.entry in texts(far, "pypi:a=1")


def test_what_is_just_being_removed_is_not_missing(root):
    digest = keep(root, b"content")
    name(root, "key", digest)
    deleted, seen = threading.Event(), threading.Event()

    def change(connection):
        """As a removal does: the file goes before others see that the rows are gone."""
        connection.execute("DELETE FROM entry")
        root.contents.delete(digest)
        deleted.set()
        assert seen.wait(60)

    removing = threading.Thread(target=root.database.change, args=(change,))
    removing.start()
    assert deleted.wait(60)
    threading.Timer(0.2, seen.set).start()
    exported = written(root)[1]
    removing.join()
    assert (exported.keys, exported.missing) == (0, [])


def test_what_a_run_used_is_exported_with_its_record(root, far):
    used = keep(root, b"used")
    key = Key.for_file(URL)
    name(root, key.text, used)
    name(root, "unused", keep(root, b"unused"))
    profile = "http://example.com/software.cfg"
    records = []
    for lost in ("lost", "lost-too"):
        named = [Used(key, used, 4), Used(Key(lost), used, 4)]
        records.append(keep(root, encode_record(named)))
        name(root, Key.for_run(profile).text, records[-1])
    no_record = keep(root, b"no record")
    name(root, Key.for_run(profile).text, no_record)
    data, exported = written(root, choosing.run(profile))
    assert [key.text for key, _ in exported.missing] == ["lost", "lost-too"]
    taken(far, data)
    assert here(far) == {used, no_record, *records}
    assert keys(far) == {key.text, Key.for_run(profile).text}


def test_several_choices_go_together_each_key_once(root):
    release = Key.for_release("http://example.com/software.cfg")
    wanted = {release.text, "pypi:a=1", "pypi:b=2", "git"}
    for key in (*wanted, "pypj", "pyp", "gi"):
        name(root, key, keep(root, b"content"))
    chosen = choosing.all_of(
        root,
        [
            choosing.release("http://example.com/software.cfg"),
            choosing.beginning_with("pypi:"),
            choosing.beginning_with("pypi:a=1"),
            choosing.beginning_with("git"),
            choosing.beginning_with(release.text[:8]),
        ],
    )
    assert [(each.key.text, each.expected) for each in chosen] == [
        (key, key == release.text) for key in sorted(wanted)
    ]


# What an import refuses

CONTENT = b"a content"
DIGEST = Digest.of(CONTENT)
PAIR = [
    json.dumps({"format": 1, "key": "key", "sha512": DIGEST.hex, "size": 9, "created": 1}),
    "",
]
HEAD = ("networkcache.json", b'{"format": 1, "created": 1, "asked": []}')
BYTES = (f"contents/{DIGEST}", CONTENT)
PAIRS = ("entries/key.json", json.dumps([PAIR]).encode())
END = ("end.json", b'{"contents": 1, "keys": 1}')


def special(name: str, type: bytes, **more) -> tuple[str, tarfile.TarInfo]:
    info = tarfile.TarInfo(name)
    info.type = type
    for member, value in more.items():
        setattr(info, member, value)
    return name, info


GOOD = tar_of(HEAD, BYTES, PAIRS, END)
HOSTILE = {
    "nothing": (b"", "it is no archive, or damaged: empty"),
    "no tar": (b"no tar at all" * 1000, "it is no archive, or damaged"),
    "compressed": (b"\x1f\x8b\x08" + bytes(1000), "it is no archive, or damaged"),
    "another tar": (tar_of(("README", b"")), "README in it is where an export has"),
    "a head that is no JSON": (tar_of(("networkcache.json", b"{")), "it is damaged"),
    "a head that says nothing": (
        tar_of(("networkcache.json", b'{"format": true}')),
        "does not say which format",
    ),
    "a newer format": (
        tar_of(("networkcache.json", b'{"format": 2}'), BYTES),
        "says that this is of format 2, newer than the 1 known here: use a newer",
    ),
    "two heads": (tar_of(HEAD, HEAD), "networkcache.json in it is where"),
    "a link": (
        tar_of(HEAD, special(BYTES[0], tarfile.SYMTYPE, linkname="/etc/passwd")),
        "is a link, and an export has none",
    ),
    "a hard link": (
        tar_of(HEAD, BYTES, special(PAIRS[0], tarfile.LNKTYPE, linkname=BYTES[0])),
        "is a link, and an export has none",
    ),
    "a folder": (
        tar_of(HEAD, special("contents", tarfile.DIRTYPE)),
        "contents in it is a folder",
    ),
    "a device": (
        tar_of(HEAD, special("contents/null", tarfile.CHRTYPE)),
        "is no file, folder or link",
    ),
    "an absolute name": (
        tar_of(HEAD, ("/etc/passwd", b"")),
        "/etc/passwd in it is nothing",
    ),
    "a name with dots": (
        tar_of(HEAD, (f"contents/../{DIGEST}", b"")),
        "is named after no content",
    ),
    "an unknown folder": (tar_of(HEAD, ("more/a", b"")), "more/a in it is nothing that"),
    "capitals": (
        tar_of(HEAD, (f"contents/{DIGEST.hex.upper()}", CONTENT)),
        "is not named as an export does",
    ),
    "a bad key": (tar_of(HEAD, ("entries/a%2Fb.json", b"[]")), "is named after no key"),
    "a key quoted otherwise": (
        tar_of(HEAD, BYTES, ("entries/k%65y.json", PAIRS[1])),
        "is not named as an export does",
    ),
    "two of a content": (tar_of(HEAD, BYTES, BYTES, PAIRS, END), "is there twice"),
    "two of a key": (tar_of(HEAD, BYTES, PAIRS, PAIRS, END), "is there twice"),
    "pairs before contents": (
        tar_of(HEAD, PAIRS, BYTES, END),
        f"names the content {DIGEST}, which does not come before it",
    ),
    "other bytes": (
        tar_of(HEAD, (BYTES[0], b"A content"), PAIRS, END),
        f"{BYTES[0]} in it is damaged: the 9 bytes received have the digest",
    ),
    "pairs that are no list": (
        tar_of(HEAD, BYTES, ("entries/key.json", b"{}"), END),
        "it is damaged: the directory's answer is not a JSON list",
    ),
    "too many pairs": (
        tar_of(HEAD, ("entries/key.json", bytes(5 << 20))),
        "has 5242880 bytes, more than the 4194304 allowed",
    ),
    "no end": (tar_of(HEAD, BYTES, PAIRS), "it is cut: its end is missing"),
    "more than its end counts": (
        tar_of(HEAD, BYTES, PAIRS, ("end.json", b'{"contents": 1, "keys": 2}')),
        "end.json in it counts other members than there are",
    ),
    "more after its end": (
        tar_of(HEAD, BYTES, PAIRS, END, ("entries/k.json", b"[]")),
        "entries/k.json in it comes after its end",
    ),
    "cut in a content": (GOOD[: GOOD.index(CONTENT) + 4], "it is damaged: unexpected end"),
    "cut in a header": (GOOD[: GOOD.index(b"entries/") + 100], "damaged"),
    "damaged in a header": (
        GOOD.replace(b"entries/key", b"entries/kez"),
        "it is no archive, or damaged: bad checksum",
    ),
    "endless at its end": (GOOD + bytes(20 << 20), "there is no end of its headers"),
}


@pytest.mark.parametrize("defect", HOSTILE)
def test_a_file_that_no_export_wrote_is_refused_in_a_sentence(far, defect):
    data, message = HOSTILE[defect]
    with pytest.raises(InvalidArchive) as raised:
        taken(far, data)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert os.listdir(far.contents.temporary) == []
    assert here(far) <= {DIGEST}
    for digest in here(far):
        with far.contents.open(digest) as content:
            assert content.read(0, 100) == CONTENT
    assert taken(far, GOOD).pairs == 1
    assert texts(far, "key") == PAIR[:1]


def test_a_size_that_lies_fills_no_disk(far):
    info = tarfile.TarInfo(BYTES[0])
    info.size = 1 << 60
    data = tar_of(HEAD)[:1024] + info.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(StorageFull):
        taken(far, data)
    assert far.catalogue.transfers.bytes_held() == 0


def test_endless_members_are_bounded_by_room(far):
    with pytest.raises(StorageFull, match="more do not fit"):
        taken(far, GOOD, max_size=8)
    assert here(far) == set()
    taken(far, GOOD, max_size=9)


def test_a_bad_pair_is_left_out_and_the_others_are_taken(far):
    other_key = json.dumps(
        {"format": 1, "key": "other", "sha512": DIGEST.hex, "size": 9, "created": 1}
    )
    poisoned = [[1, 2], ["{}", ""], [other_key, ""], ["[]", ""], PAIR, [PAIR[0], "="]]
    data = tar_of(HEAD, BYTES, ("entries/key.json", json.dumps(poisoned).encode()), END)
    done = taken(far, data)
    assert done.pairs == 1
    assert len(done.left_out) == 5
    assert {key.text for key, _ in done.left_out} == {"key"}
    assert "the entry is about the key 'other'" in done.left_out[2][1]
    assert texts(far, "key") == PAIR[:1]


# Who signed


def signed(signer: Signer, digest: Digest, *, legacy: bool = False, size: int = 4) -> Pair:
    entry = Entry.make(
        Key.for_file(URL),
        Digests(size, digest, "0" * 64, "0" * 32),
        NOW,
        members_of_file(URL, checked=True),
        signer=signer.fingerprint,
    )
    sign = signer.sign_legacy if legacy else signer.sign
    return Pair(entry.text, sign(entry.text))


def test_only_what_a_certificate_vouches_for_is_taken(root, far):
    one, two, old = generate("ed25519"), generate("ecdsa"), generate("rsa")
    key = Key.for_file(URL)
    pairs = {}
    for data, signer, legacy in (
        (b"one.", one, False),
        (b"two.", two, False),
        (b"old.", old, True),
    ):
        digest = keep(root, data)
        pairs[data] = signed(signer, digest, legacy=legacy)
        root.entries.put(key, Stored(pairs[data]), digest)
    changed = Pair(pairs[b"one."].entry, pairs[b"two."].signature)
    root.entries.put(key, Stored(changed), Digest.of(b"one."))
    keep(far, b"was here")
    data, _ = written(root)
    done = taken(far, data, one.certificate, old.certificate)
    assert (done.pairs, done.contents, done.bytes) == (2, 2, 8)
    assert [why for _, why in done.left_out] == 2 * [
        "it is signed by none of the certificates that were given"
    ]
    assert here(far) == {Digest.of(data) for data in (b"one.", b"old.", b"was here")}
    assert [row.pair for row in far.entries.get([key])[key]] == [
        pairs[b"old."],
        pairs[b"one."],
    ]
    (removed,) = Log(far.database).lines(action="remove")
    assert (removed.account, removed.subject) == ("import", Digest.of(b"two.").hex)


def test_what_somebody_used_meanwhile_stays(root, far):
    """It may be one that was uploaded, and whose pair is still to come."""
    name(root, "k:1", keep(root, b"used"))
    name(root, "k:2", keep(root, b"not used"))
    data, _ = written(root)

    def use(taken: Taken) -> None:
        far.catalogue.use({Digest.of(b"used"): 1}, {}, NOW + 3600)

    rules = rules_of(Options(far.folder), far)
    strangers = [generate("ed25519").certificate]
    done = take(far, room_of(far, rules), Pipe(data), strangers, use)
    assert (done.contents, done.bytes) == (1, 4)
    assert here(far) == {Digest.of(b"used")}


# What is there already


def test_what_an_upstream_gave_stays_once_it_is_imported(far):
    keep(far, CONTENT, fetched=True)
    assert taken(far, GOOD).there == 1
    assert [(k.fetched, k.account) for k in far.catalogue] == [(False, "import")]


def test_what_is_there_stays_whose_it_is_and_is_used_again(far):
    keep(far, CONTENT, "ann")
    far.database.change(lambda c: c.execute("UPDATE content SET used = 1"))
    taken(far, GOOD)
    assert [k.account for k in far.catalogue] == ["ann"]
    assert [k.used >= NOW for k in far.catalogue] == [True]


def test_a_content_that_is_cut_there_comes_anew(far):
    Path(far.contents.path(keep(far, CONTENT))).write_bytes(CONTENT[:3])
    assert taken(far, GOOD).contents == 1
    with far.contents.open(DIGEST) as content:
        assert content.read(0, 100) == CONTENT


def test_a_member_with_other_bytes_is_refused_though_the_content_is_there(far):
    keep(far, CONTENT)
    other = GOOD.replace(CONTENT, CONTENT[::-1])
    with pytest.raises(InvalidArchive, match="is damaged"):
        taken(far, other)


# Killed

_IMPORT = """
import sys
from slapos.networkcache.cli import main
from slapos.networkcache.cli.server import check
print("begin", flush=True)
sys.stdout.close()
sys.stdout = open("/dev/null", "w")
sys.exit(main(["server", "import", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(
    "count",
    [pytest.param(3, id="few"), pytest.param(50, id="many", marks=pytest.mark.long)],
)
def test_an_import_that_is_killed_leaves_nothing_half_and_is_run_again(
    root, tmp_path, count
):
    chance = random.Random(count)
    for number in range(150):
        size = 3 << 20 if number % 50 == 0 else 10_000
        name(root, f"key{number}", keep(root, chance.randbytes(size)))
    data, _ = written(root)
    file = tmp_path / "file"
    file.write_bytes(data)
    command = [sys.executable, "-c", _IMPORT, str(file), "--root"]
    killed = 0
    far = tmp_path / "far"
    for number in range(count):
        if number % 10 == 0:
            far = tmp_path / f"far{number}"
            make_root(far).close()
        process = subprocess.Popen([*command, str(far)], stdout=subprocess.PIPE)
        process.stdout.readline()
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, 0.3))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        process.stdout.close()
        with closing(make_root(far)) as there:
            for digest in there.contents:
                with there.contents.open(digest) as content:
                    assert Digest.of(content.read(0, content.size)) == digest
            named = there.database.rows("SELECT entry FROM entry")
            digests = {Digest(json.loads(entry)["sha512"]) for (entry,) in named}
            assert digests <= set(there.contents)
    assert killed
    with closing(make_root(far)) as there:
        assert taken(there, data).pairs == 150
        assert here(there) == here(root)
        assert keys(there) == keys(root)
        assert there.catalogue.transfers.bytes_held() == sum(
            known.size for known in root.catalogue
        )
