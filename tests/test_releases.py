"""What is done for the releases of a node, short of the command: which build is taken, what
may be published, and what strange files in a software root do."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from caches import ALICE
from commands import SCRIPTS, networkcache, write_config
from packed import NAME, URL, Workshop, put
from trees import make_tree

from slapos.networkcache.binary import building
from slapos.networkcache.binary.building import build_folder
from slapos.networkcache.binary.installed import ORIGIN, software_url
from slapos.networkcache.binary.node import Node
from slapos.networkcache.binary.releases import Provenance, Releases
from slapos.networkcache.config import Config
from slapos.networkcache.entry import Entry, Key
from slapos.networkcache.errors import (
    InvalidConfiguration,
    NotFound,
    NotPublished,
    Reason,
    StorageFull,
)
from slapos.networkcache.testing import NetworkCache

Make = Callable[..., Releases]


@pytest.fixture
def make(tmp_path: Path, near: NetworkCache, monkeypatch) -> Make:
    """Makes a node that uses the network cache, and believes Alice, who it is itself."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    key = put(tmp_path / "key.pem", ALICE.private_pem(), 0o600)
    urls = {"cache": near.source.cache_url, "dir": near.source.dir_url}
    options = {
        f"{way}-binary-{which}-url": url
        for way in ("download", "upload")
        for which, url in urls.items()
    }
    options["signature-private-key-file"] = str(key)
    options["signature-certificate-list"] = ALICE.self_signed("alice", time.time())

    def make(**more: str) -> Releases:
        root, parts = tmp_path / "node/root", tmp_path / "node/parts"
        for folder in (root, parts):
            folder.mkdir(parents=True)
        section = options | {name.replace("_", "-"): text for name, text in more.items()}
        config = Config.parse(section)
        return Releases(Node(str(root), config, section, (str(parts),)))

    return make


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """Where it is built that others have published."""
    return Workshop(tmp_path / "workshop")


def place_of(releases: Releases) -> Path:
    return Path(releases.node.place(URL))


def published(cache: NetworkCache, url: str = URL) -> list[Entry]:
    """What is signed of a release."""
    key = Key.for_release(url)
    found = cache.entries.get([key]).get(key, ())
    return [Entry.parse(stored.pair.entry) for stored in found]


FORCED = {"download_from_binary_cache_force_url_list": "http://example.com"}


# -- folders


@pytest.mark.parametrize("option", ["software_root", "shared_part_list"])
def test_a_folder_that_is_reached_over_a_link(tmp_path: Path, option: str) -> None:
    """Files would name either of its names, and only one would be moved."""
    real = tmp_path / "real/folder"
    real.mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    slapos = {"software_root": str(real), option: str(tmp_path / "link/folder")}
    with pytest.raises(InvalidConfiguration) as refused:
        Node.of({"slapos": slapos}, Config())
    assert f"{option} in [slapos]: {tmp_path}/link/folder is reached over" in str(
        refused.value
    )
    assert str(refused.value).endswith(f"write {real}")


def test_a_folder_of_shared_parts_of_one_name(tmp_path: Path) -> None:
    """A name that could stand in a file for many other reasons."""
    slapos = {"software_root": str(tmp_path), "shared_part_list": "/shared"}
    with pytest.raises(InvalidConfiguration, match="absolute path of two names or more"):
        Node.of({"slapos": slapos}, Config())


# -- taken


def test_a_folder_of_shared_parts_is_made(
    make: Make, near: NetworkCache, workshop: Workshop
) -> None:
    part = workshop.part("zlib", {"x": "x"})
    workshop.write("text", str(part))
    workshop.pack().publish(near)
    releases = make(**FORCED)
    (folder,) = map(Path, releases.node.shared_folders)
    folder.rmdir()
    assert releases.install(URL) is Provenance.TAKEN
    assert (folder / "zlib" / part.name / "x").read_text() == "x"


def test_what_cannot_be_written_is_no_reason_not_to_take_another(
    make: Make, near: NetworkCache, workshop: Workshop
) -> None:
    """The newest has a shared part in whose way there is a file."""
    workshop.write("text", "older")
    workshop.pack().publish(near, age=9)
    releases = make(**FORCED)
    put(Path(releases.node.shared_folders[0]) / "zlib", "in its way")
    part = workshop.part("zlib", {"x": "x"})
    workshop.write("text", f"newer {part}")
    workshop.pack().publish(near)
    assert releases.install(URL) is Provenance.TAKEN
    assert (place_of(releases) / "text").read_text() == "older"


def test_what_cannot_be_written_is_said(
    make: Make, near: NetworkCache, workshop: Workshop
) -> None:
    releases = make(**FORCED)
    put(Path(releases.node.shared_folders[0]) / "zlib", "in its way")
    workshop.write("text", str(workshop.part("zlib", {"x": "x"})))
    workshop.pack().publish(near)
    with pytest.raises(NotFound, match=r"and it does not: .*File exists: .*/zlib"):
        releases.install(URL)
    assert os.listdir(releases.node.software_root) == []


def test_a_smaller_one_is_taken_where_there_is_no_room(
    make: Make, near: NetworkCache, workshop: Workshop
) -> None:
    workshop.write("text", "smaller")
    workshop.pack().publish(near, age=9)
    workshop.write("text", "larger")
    workshop.pack().publish(near, unpacked_size=1 << 52)
    releases = make(**FORCED)
    assert releases.install(URL) is Provenance.TAKEN
    assert (place_of(releases) / "text").read_text() == "smaller"


def test_nothing_is_built_where_there_is_no_room(
    make: Make, near: NetworkCache, workshop: Workshop
) -> None:
    """That takes more room still."""
    workshop.pack().publish(near, unpacked_size=1 << 52)
    releases = make(**FORCED)
    with pytest.raises(StorageFull, match=r"GiB are needed in .*: make room"):
        releases.install(URL)
    assert os.listdir(releases.node.software_root) == []


def test_a_disk_that_turns_out_to_be_full(
    make: Make, near: NetworkCache, workshop: Workshop, unshare: list[str], tmp_path: Path
) -> None:
    """It has room, and no more files are possible: nothing else is tried."""
    for number in range(30):
        workshop.write(f"parts/{number}", "x")
    workshop.pack().publish(near)
    node = make(**FORCED).node
    config, root = tmp_path / "slapos.cfg", node.software_root
    write_config(config, slapos={"software_root": root}, networkcache=node.options)
    script = f'mount -t tmpfs -o size=9m,nr_inodes=20,mode=755 none {root} && exec "$@"'
    command = ["release", "install", URL, "-c", str(config)]
    done = subprocess.run(
        [*unshare, "sh", "-c", script, "-", SCRIPTS / "networkcache", *command],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in done.stderr
    assert "it does not" not in done.stderr


# -- published


LONG = {"build_prefix_length": "300"}


def unpacked(releases: Releases, signers: object) -> Path:
    """A release that looks as if it came from an archive, on the word of `signers`."""
    place = make_tree(Path(releases.node.software_root), URL, {})
    put(place / ORIGIN, json.dumps({"signers": signers}))
    return place


def test_it_is_published_from_where_it_was_built(make: Make, near: NetworkCache) -> None:
    releases = make(**LONG)
    place = unpacked(releases, None)
    folder = build_folder(releases.node, URL)
    make_tree(Path(), URL, {"bin/x": "x"}, place=Path(folder))
    assert releases.publish(URL).entry_sent
    assert [entry.members["prefix"] for entry in published(near)] == [folder]
    assert os.listdir(releases.node.software_root) == [place.name]


@pytest.mark.parametrize("why", ["not complete", "of another build"])
def test_another_build_folder_is_not_published(
    make: Make, near: NetworkCache, why: str
) -> None:
    """What would be signed is not what is installed."""
    releases = make(**LONG)
    others = [{"name": "bob", "fingerprint": "0"}]
    unpacked(releases, None if why == "not complete" else others)
    folder = Path(build_folder(releases.node, URL))
    make_tree(Path(), URL, {"bin/x": "x"}, place=folder)
    if why == "not complete":
        (folder / ".completed").unlink()
    with pytest.raises(NotPublished) as refused:
        releases.publish(URL)
    assert refused.value.reason is Reason.UNCHECKED_ORIGIN
    assert published(near) == []


@pytest.mark.parametrize("option", [LONG, {}], ids=["as before", "another place"])
def test_what_was_built_elsewhere_cannot_be_published_when_that_is_gone(
    make: Make, near: NetworkCache, option: dict[str, str]
) -> None:
    """Nobody else has built it, and it says so."""
    releases = make(**option)
    place = unpacked(releases, None)
    with pytest.raises(NotPublished) as refused:
        releases.publish(URL)
    assert refused.value.reason is Reason.UNCHECKED_ORIGIN
    assert f"{place} was built in another folder, and that is gone" in str(refused.value)
    assert published(near) == []


def test_what_is_taken_leaves_no_build_folder(
    make: Make, near: NetworkCache, workshop: Workshop
) -> None:
    """One that was begun here before, and not ended."""
    workshop.write("x", "x")
    workshop.pack().publish(near)
    releases = make(**LONG, **FORCED)
    put(Path(build_folder(releases.node, URL)) / "parts/x", "x")
    assert releases.install(URL) is Provenance.TAKEN
    assert os.listdir(releases.node.software_root) == [NAME]


def test_what_others_vouched_for_is_not_signed_anew(make: Make, near: NetworkCache) -> None:
    """A release that is a part of one which was built here."""
    releases = make()
    others = [{"name": "bob", "fingerprint": "0"}]
    files = {f"parts/base/{ORIGIN}": json.dumps({"signers": others})}
    place = make_tree(Path(releases.node.software_root), URL, files)
    with pytest.raises(NotPublished, match=f"{NAME}/parts/base in it was taken") as refused:
        releases.publish(URL)
    assert refused.value.reason is Reason.UNCHECKED_ORIGIN
    own = [*others, {"name": "alice", "fingerprint": ALICE.fingerprint}]
    put(place / "parts/base" / ORIGIN, json.dumps({"signers": own}))
    assert releases.publish(URL).entry_sent


# -- built


@pytest.fixture
def profile(tmp_path: Path) -> str:
    """One that is built without anything from elsewhere."""
    text = "[buildout]\nparts = part\n[part]\nrecipe = zc.buildout:debug\n"
    return str(put(tmp_path / "software.cfg", text))


def test_a_secret_keeps_it_here(
    make: Make, near: NetworkCache, profile: str, caplog
) -> None:
    """It is installed, and not published: buildout writes down what parts are made of."""
    with open(profile, "a") as file:
        file.write("url = https://me:hunter2@example.com/x.tar.gz\n")
    releases = make()
    assert releases.install(profile) is Provenance.BUILT
    assert "hunter2" in Path(releases.node.place(profile), ".installed.cfg").read_text()
    assert f"{profile} is not published: there is a secret in " in caplog.text
    assert "hunter2" not in caplog.text
    assert published(near, profile) == []


@pytest.mark.parametrize("text", ["", "[buildout]\nexten", "[buildout]\nextends =\n"])
def test_a_profile_that_was_cut_is_written_anew(
    make: Make, profile: str, text: str
) -> None:
    releases = make()
    place = Path(releases.node.place(profile))
    put(place / "buildout.cfg", text)
    releases.build(profile)
    assert software_url(str(place)) == profile
    assert "[part]" in (place / ".installed.cfg").read_text()


def test_a_profile_is_written_whole_or_not_at_all(make: Make, tmp_path: Path) -> None:
    """An empty one would be taken for the user's own."""
    path, node = tmp_path / "buildout.cfg", make().node
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            building._write_profile(str(path), node, URL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not path.exists()


def test_a_password_file_that_is_a_pipe(tmp_path: Path, profile: str) -> None:
    """Nobody waits for what comes out of it."""
    os.mkfifo(tmp_path / ".netrc")
    config = tmp_path / "slapos.cfg"
    (tmp_path / "root").mkdir()
    write_config(config, slapos={"software_root": str(tmp_path / "root")}, networkcache={})
    environment = os.environ | {"HOME": str(tmp_path)}
    done = networkcache("release", "build", profile, "-c", config, env=environment)
    assert done.returncode == 0, done.stderr


# -- listed


GOOD = "[buildout]\nextends = http://example.com/of-somebody-else\n"
STRANGE: dict[str, Callable[[Path], object]] = {
    "nested": lambda path: path.write_text("[" * 100_000),
    "huge": lambda path: os.truncate(put(path, '{"signers": ['), 1 << 40),
    "pipe": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "link": lambda path: path.symlink_to(put(path.with_name("real"), GOOD)),
    "folder": lambda path: path.mkdir(),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "number": lambda path: path.write_text("1"),
    "list": lambda path: path.write_text('{"signers": [1]}'),
}


def test_strange_files_are_listed_as_nothing(tmp_path: Path) -> None:
    """Whoever owns a release may put anything there; one who lists it may be root."""
    root = tmp_path / "root"
    for number, make_strange in enumerate(STRANGE.values()):
        for name in (ORIGIN, "buildout.cfg"):
            place = root / f"{number}{name == ORIGIN:d}".ljust(32, "0")
            place.mkdir(parents=True)
            put(place / ".completed", "now")
            make_strange(place / name)
    config = tmp_path / "slapos.cfg"
    write_config(config, slapos={"software_root": str(root)}, networkcache={})

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    # Somebody is at the other end of each pipe, and says nothing.
    pipes = [os.open(path, os.O_RDWR) for path in root.glob("*/*") if path.is_fifo()]
    try:
        done = networkcache("release", "list", "--json", "-c", config, preexec_fn=limit)
    finally:
        for pipe in pipes:
            os.close(pipe)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert len(rows) == 2 * len(STRANGE)
    assert {(row["url"], row["state"]) for row in rows} == {(None, "complete")}
    unknown = [{"name": "somebody unknown", "fingerprint": ""}]
    assert all(row["signers"] in (None, unknown) for row in rows)
