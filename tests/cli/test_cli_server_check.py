"""Checking a server's folder, also while it serves: what is said, and the exit code."""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from keeping import damage, keep, make_root, name
from wire import ask, ours, post, put

from slapos.networkcache.digest import Digest

DATA = b"a content\n" * 1000


@pytest.fixture
def check(operate):
    """Runs ``networkcache server check``, and gives its output."""

    def run(root, *arguments, code):
        said = operate("check", "--root", root, *arguments, code=code)
        return said.stdout.decode()

    return run


def count(said: str, what: str) -> str:
    (line,) = [line for line in said.splitlines() if line.startswith(f"{what}  ")]
    return line.removeprefix(what).strip()


def path_of(root, digest: str):
    return root / "v1" / digest[:2] / digest[2:4] / digest


@pytest.fixture
def folder(tmp_path):
    """A server's folder with one content, and a pair that names it."""
    with closing(make_root(tmp_path / "root")) as root:
        name(root, "key", keep(root, DATA))
    return tmp_path / "root"


def test_all_is_right(check, folder):
    said = check(folder, code=0)
    assert count(said, "contents") == count(said, "pairs") == "1"
    assert count(said, "bytes") == "9.8 KiB"
    assert count(said, "database") == "ok"
    assert json.loads(check(folder, "--json", "--rate", "1 GiB", code=0))["finished"]


def test_a_content_that_is_bad_or_cannot_be_read(check, folder):
    digest = Digest.of(DATA).hex
    path_of(folder, digest).write_bytes(b"spoilt")
    said = check(folder, code=1)
    assert f"digest {digest}: it has 6 bytes, and had 10000\n" in said
    assert said.endswith("Mend it with --repair.\n")
    assert path_of(folder, digest).read_bytes() == b"spoilt"
    said = check(folder, "--repair", code=1)
    assert f"key key: its content {digest} is not here\n" in said
    assert (folder / "aside" / digest).read_bytes() == b"spoilt"
    path_of(folder, digest).symlink_to(path_of(folder, digest))
    said = check(folder, code=3)
    assert "Too many levels of symbolic links" in said


def test_what_could_not_be_told(operate, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "entries.sqlite").write_bytes(b"no database" * 1000)
    said = operate("check", "--root", tmp_path / "root", code=3)
    assert said.stderr.startswith("networkcache server check: cannot open ")


def test_a_damaged_database_is_said_and_nothing_is_done(check, folder):
    digest = Digest.of(DATA).hex
    path_of(folder, digest).write_bytes(b"spoilt")
    damage(folder)
    said = check(folder, "--repair", code=1)
    assert "restore a backup" in said
    assert path_of(folder, digest).read_bytes() == b"spoilt"
    found = json.loads(check(folder, "--json", code=1))
    assert found["database"] != "ok"
    assert found["contents"] == 0


def test_what_nobody_has_is_said_with_what_helps(check, folder):
    path_of(folder, Digest.of(DATA).hex).unlink()
    assert "comes with the next upload" in check(folder, "--repair", code=1)
    with closing(make_root(folder)) as root:
        keep(root, DATA)
    assert count(check(folder, code=0), "contents") == "1"


def test_a_server_is_repaired_while_it_serves(check, server, near):
    digest = post(server, DATA)
    assert put(server, "key", ours("key", digest)).status == 201
    path_of(server.root, digest).write_bytes(DATA[:-1] + b"x")
    near.contents.put([DATA])
    said = check(server.root, "--repair", "--from", near.cache_url, code=1)
    assert count(said, "repaired") == count(said, "set aside") == "1"
    assert "--repair" not in said
    assert ask(server, "GET", f"/shacache/{digest}").body == DATA
    check(server.root, code=0)


def test_the_upstreams_of_its_configuration_are_asked(
    operate, check, folder, near, tmp_path
):
    path_of(folder, Digest.of(DATA).hex).unlink()
    near.contents.put([DATA])
    config = tmp_path / "server.cfg"
    config.write_text(
        f"[server]\nroot = {folder}\nupstream = {near.cache_url} {near.dir_url}\n"
    )
    done = operate("check", "--config", config, "--repair", code=1)
    assert count(done.stdout.decode(), "repaired") == "1"
    check(folder, code=0)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--root", "{tmp}/nothing"], 1, "no server's folder"),
        ([], 2, "--root"),
        (["--root", "{root}", "--rate", "fast"], 2, "expected a number and one of"),
        (["--root", "{root}", "--from", "here"], 2, "expected an http or https URL"),
    ],
)
def test_wrong_use(operate, folder, tmp_path, arguments, code, said):
    arguments = [word.format(root=folder, tmp=tmp_path) for word in arguments]
    assert said in operate("check", *arguments, code=code).stderr
    assert not (tmp_path / "nothing").exists()
