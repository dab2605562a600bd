"""What an operator says about space, to a server's folder, whether it serves or not."""

from __future__ import annotations

import json
import os
from contextlib import closing

import pytest
from commands import networkcache
from keeping import here, keep, keys, make_root, name
from wire import old, pairs, post, put

from slapos.networkcache.cli import main
from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key
from slapos.networkcache.server.log import Log

SIGNER = "24c80dc81c4e8feb" + "0" * 48
URL = "https://example.com/a-1.0.tar.gz"


@pytest.fixture
def folder(tmp_path):
    """A server's folder: two pairs of two accounts, one content each, and one that no pair
    names; all of them old."""
    with closing(make_root(tmp_path / "root")) as root:
        name(root, "pypi:a=1", keep(root, b"first"), "ann", signer=SIGNER)
        name(root, "pypi:a=1", keep(root, b"second"), "bob")
        keep(root, b"third")
        root.database.change(lambda c: c.execute("UPDATE content SET used = 1"))
        root.database.change(lambda c: c.execute("UPDATE entry SET put = 1"))
    return tmp_path / "root"


@pytest.fixture
def server(capsys):
    """Runs ``networkcache server ARGUMENTS`` and gives all that it said."""

    def run(folder, *arguments, code=0):
        try:
            ended = main(["server", *arguments, "--root", str(folder)])
        except SystemExit as error:
            ended = error.code
        said = "".join(capsys.readouterr())
        assert ended == code, said
        return said

    return run


def kept(folder):
    with closing(make_root(folder)) as root:
        return len(here(root)), keys(root)


def test_what_would_go_is_what_goes(server, folder):
    told = server(folder, "collect", "--dry-run", "--keep", "1 d")
    assert kept(folder) == (3, {"pypi:a=1"})
    assert server(folder, "collect", "--keep", "1 d") == told
    assert kept(folder) == (0, set())
    heads, pairs_, contents = told.splitlines()
    assert heads.split() == ["WHAT", "WHY", "COUNT", "SIZE"]
    assert pairs_.startswith("pair     nobody asks for it  2")
    assert contents.split() == ["content", "no", "pair", "names", "it", "3", "16", "B"]
    assert server(folder, "collect", "--keep", "1 d") == "Nothing went.\n"
    assert server(folder, "collect", "--dry-run") == "Nothing would go.\n"


def test_each_is_named_where_that_is_asked_for(server, folder):
    told = server(folder, "collect", "--list")
    third = Digest.of(b"third").hex
    assert told.startswith(f"content {third}: no pair names it, 5 B\n")


def test_what_upstreams_gave_goes_by_the_limit_or_where_there_is_no_upstream(
    server, folder, tmp_path
):
    with closing(make_root(folder)) as root:
        for n in range(10):
            keep(root, bytes([n]) * 1024, fetched=True)
        root.database.change(lambda c: c.execute("UPDATE content SET used = 1"))
    assert "no pair names it  1 " in server(folder, "collect")
    assert kept(folder)[0] == 12
    assert "least recently used  5" in server(folder, "collect", "--max-size", "6 KiB")
    config = tmp_path / "server.cfg"
    config.write_text(f"[server]\nroot = {folder}\n")
    done = networkcache("server", "collect", "--config", config)
    assert b"no pair names it  5 " in done.stdout
    assert kept(folder)[0] == 2


def test_what_is_pinned_stays(server, folder):
    assert server(folder, "pin", "a==1", "some-key") == "pypi:a=1 pinned\nsome-key pinned\n"
    assert server(folder, "pin", "a==1") == "pypi:a=1 was pinned already\n"
    shown = [line.split() for line in server(folder, "pin", "--list").splitlines()]
    assert [(line[0], line[-1]) for line in shown] == [
        ("KEY", "PAIRS"),
        ("pypi:a=1", "2"),
        ("some-key", "0"),
    ]
    server(folder, "collect", "--keep", "1 d")
    assert kept(folder) == (2, {"pypi:a=1"})
    assert ", pinned" in server(folder, "entry", "list", "a==1")
    assert (
        server(folder, "unpin", "a==1", "x==1")
        == "pypi:a=1 unpinned\npypi:x=1 was not pinned\n"
    )
    server(folder, "collect", "--keep", "1 d")
    assert kept(folder) == (0, set())


def test_a_url_is_pinned_as_all_that_it_may_name(server, folder):
    server(folder, "pin", URL)
    shown = server(folder, "pin", "--list")
    for key in (Key.for_file(URL), Key.for_page(URL), Key.for_release(URL), "pypi:a=1.0"):
        assert f"\n{key} " in shown
    server(folder, "unpin", URL)
    assert server(folder, "pin", "--list") == "Nothing is pinned.\n"


def test_entries_are_shown_with_all_that_is_known(server, folder):
    second, first = server(folder, "entry", "list", "pypi:a=1").splitlines()[2:]
    assert first.split() == [
        SIGNER[:12], "1970-01-01", "00:00Z", "1970-01-01", "00:00Z", "ann",
        Digest.of(b"first").hex[:12], "5", "B",
    ]  # fmt: skip
    assert second.split()[4:6] == ["bob", Digest.of(b"second").hex[:12]]


def test_what_a_client_sent_is_escaped(server, folder):
    with closing(make_root(folder)) as root:
        name(root, "key", keep(root, b"x"), signer="\x1b[2J\u202e<b>")
    shown = server(folder, "entry", "list", "key")
    assert "\x1b" not in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize(
    ("which", "left"),
    [
        (["--signer", SIGNER], b"second"),
        (["--signer", SIGNER[:4].upper()], b"second"),
        (["--account", "bob"], b"first"),
    ],
)
def test_entries_are_removed_by_signer_or_account(server, folder, which, left):
    said = server(folder, "entry", "remove", "a==1", *which)
    assert said.startswith("removed from under pypi:a=1\n")
    with closing(make_root(folder)) as root:
        (stored,) = root.entries.get([Key("pypi:a=1")])[Key("pypi:a=1")]
        assert json.loads(stored.pair.entry)["sha512"] == Digest.of(left).hex
        (line,) = Log(root.database).lines(action="entry remove")
    assert (line.account, line.subject) == ("operator", "pypi:a=1")
    assert server(folder, "entry", "remove", "a==1", *which, code=1)


def test_what_upstreams_said_is_forgotten_and_what_waits_is_not_sent(server, folder):
    with closing(make_root(folder)) as root:
        (pair, *_) = (s.pair for s in root.entries.get([Key("pypi:a=1")])[Key("pypi:a=1")])
        root.database.change(
            lambda c: c.execute("INSERT INTO answer VALUES ('pypi:a=1', 'u', 1, 1, '')")
        )
        root.database.change(
            lambda c: c.execute(
                "INSERT INTO outgoing (key, entry, signature, since)"
                " VALUES ('pypi:a=1', ?, ?, 1)",
                pair,
            )
        )
    said = server(folder, "entry", "remove", "a==1", "--all")
    assert "what upstreams said of pypi:a=1 is forgotten" in said
    with closing(make_root(folder)) as root:
        assert (
            root.database.rows("SELECT key FROM answer UNION SELECT key FROM outgoing")
            == []
        )
        assert keys(root) == set()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["entry", "remove", "a==1"], "say which pairs: --signer FINGERPRINT"),
        (["entry", "remove", "a==1", "--all", "--account", "x"], "say which pairs"),
        (["entry", "remove", "a==1", "--signer", ""], "the beginning of a fingerprint"),
        (["entry", "list", "a b"], "key"),
        (["pin"], "give the keys to pin, or --list"),
        (["pin", "a==1", "--list"], "give the keys to pin, or --list"),
        (["collect", "--keep", "7"], "expected a number and one of ms, s, min, h, d"),
        (["collect", "--max-size", "much"], "expected a number and one of KiB"),
    ],
)
def test_wrong_use(server, folder, arguments, sentence):
    said = server(folder, *arguments, code=2)
    assert sentence in said
    assert kept(folder) == (3, {"pypi:a=1"})


def test_a_folder_of_no_server(server, tmp_path):
    assert "no server's folder" in server(tmp_path, "collect", code=1)
    assert os.listdir(tmp_path) == []


def test_nothing_under_a_key(server, folder):
    assert "nothing of that kind is under pypi:b=1" in server(
        folder, "entry", "list", "b==1", code=1
    )


def test_all_of_it_while_the_server_serves(server, shared_server):
    digest = post(shared_server, b"content")
    assert put(shared_server, "pypi:served=1", old(digest)).status == 201
    server(shared_server.root, "pin", "served==1")
    server(shared_server.root, "collect", "--keep", "0 s")
    assert len(pairs(shared_server, "pypi:served=1")) == 1
    server(shared_server.root, "entry", "remove", "served==1", "--all")
    assert pairs(shared_server, "pypi:served=1") == []
