"""``networkcache lookup``: who says what, and who is believed."""

from __future__ import annotations

import hashlib
import json
import time

import pytest
from caches import ALICE, BOB, NOW, fill, options_for, pair_of
from caches import put as put_pair
from commands import Node
from wire import post, put

from slapos.networkcache.certificates import Signer
from slapos.networkcache.digest import Digests
from slapos.networkcache.entry import Entry, Key, Pair
from slapos.networkcache.testing import NetworkCache, faults

URL = "http://example.com/hello-1.0.tar.gz"


@pytest.fixture
def node(tmp_path, server) -> Node:
    return Node.of(tmp_path / "node", server)


def publish(node: Node, *what: str, content: bytes = b"hello") -> None:
    done = node.run("upload", "-f", node.write("file", content), *what)
    assert done.returncode == 0, done.stderr


def believed(node: Node, what: str) -> list[tuple[str, str | None]]:
    """Of each row, who signed it and why it does not count."""
    outcomes = json.loads(node.run("lookup", "--json", what).stdout)
    return [(row["signer"], row["reason"]) for o in outcomes for row in o["rows"]]


@pytest.fixture
def reader(tmp_path, near, far) -> Node:
    """It reads two caches, and believes Alice."""
    folder = tmp_path / "reader"
    folder.mkdir()
    return Node(folder, options_for(near, far))


def found(node: Node, what: str) -> dict[str, list[dict]]:
    """The rows that are shown of each key."""
    done = node.run("lookup", "--json", what)
    return {outcome["key"]: outcome["rows"] for outcome in json.loads(done.stdout)}


def say(cache: NetworkCache, key: Key, **members) -> None:
    """Have Alice sign that `key` is the content ``hello``."""
    cache.contents.put([b"hello"])
    expires = NOW + 1000
    entry = Entry.make(key, Digests.of([b"hello"]), NOW, members, expires=expires)
    put_pair(cache, Pair(entry.text, ALICE.sign(entry.text)), key=key)


def test_a_url_that_is_believed(node) -> None:
    publish(node, "-u", URL)
    done = node.run("lookup", URL)
    assert (done.returncode, done.stderr) == (0, "")
    key, headings, row, _, source, _, *sentence = done.stdout.decode().splitlines()
    assert key == f"{Key.for_file(URL)}  the file that a URL fetches"
    assert headings.split("  ")[1] == "SIGNED BY"
    fields = row.split()
    assert fields[0] == "tester"
    assert fields[-6:] == ["yes", "1", "9b71d224bd62", "5", "B", "1"]
    assert source == f"source 1: {node.options['download-dir-url']}"
    assert sentence[0].startswith("Believed: ")
    assert " ".join(sentence).endswith("of 5 bytes, on the word of tester.")


def test_who_is_not_believed_and_why(node, tmp_path, server) -> None:
    publish(node, "-u", URL)
    stranger = Node.of(tmp_path / "stranger", server)
    publish(stranger, "-u", URL, content=b"other")
    assert believed(node, URL)[:2] == [("", "unknown-signer"), ("tester", None)]
    node.options["signature-threshold"] = "2"
    done = node.run("lookup", URL)
    assert done.returncode == 1
    assert b"  no: below-threshold  " in done.stdout
    assert b"  below-threshold: 1 of the 2 signers needed" in done.stdout
    assert done.stdout.decode().splitlines()[-1].startswith("Nothing is believed: ")


@pytest.mark.parametrize("what", ["Hello.World==1.0", "pypi:hello-world=1.0"])
def test_a_distribution_by_name_or_key(node, what) -> None:
    url = "http://example.com/hello_world-1.0-py3-none-any.whl"
    publish(node, "-k", "pypi:hello-world=1.0", f"url={url}")
    assert node.run("lookup", what).returncode == 0
    assert ("tester", None) in believed(node, what)
    # The URL of a file that is a distribution is asked for under both keys.
    assert ("tester", None) in believed(node, url)


def test_nothing_there(node) -> None:
    done = node.run("lookup", URL)
    assert done.returncode == 1
    assert b"  source 1: not-found: " in done.stdout
    assert b"Nothing is believed: " in done.stdout


def test_no_source_could_be_asked(node, dead) -> None:
    node.options.update({"download-cache-url": dead, "download-dir-url": dead})
    done = node.run("lookup", URL)
    assert done.returncode == 3
    assert b"  source 1: unreachable: " in done.stdout
    assert b"Could not tell, for a source could not be asked: " in done.stdout


def test_a_dead_source_beside_one_that_answers(node, dead) -> None:
    node.options["download-cache-url-list"] = node.options["download-dir-url-list"] = dead
    assert node.run("lookup", URL).returncode == 3
    publish(node, "-u", URL)
    done = node.run("lookup", URL)
    assert done.returncode == 0
    assert b"unreachable" in done.stdout


def test_what_comes_from_the_wire_is_escaped(node, tmp_path, server) -> None:
    """What a signer wrote is shown where it does not fit, but no terminal obeys it."""
    url = "http://example.com/\x1b[31m\u202e.html"
    key = Key.for_file(URL)
    with open(node.options["signature-private-key-file"], "rb") as file:
        signer = Signer.parse(file.read())
    entry = Entry.make(key, Digests.of([b""]), int(time.time()), {"url": url})
    assert post(server, b"") == entry.sha512.hex
    assert put(server, key.text, [entry.text, signer.sign(entry.text)]).status == 201
    done = node.run("lookup", URL)
    assert done.returncode == 1
    assert not {"\x1b", "\u202e"}.intersection(done.stdout.decode())
    assert "its url is http://example.com/\\x1b[31m\\u202e.html" in done.stdout.decode()


# -- where the content is


def test_where_the_content_is(reader, near, far) -> None:
    """The entry at both, the content at the far one only."""
    fill(far, url=URL)
    put_pair(near, pair_of(url=URL), key=Key.for_file(URL))
    (rows,) = found(reader, URL).values()
    assert [row["source"] for row in rows] == [str(near.source), str(far.source)]
    assert [row["content_at"] for row in rows] == [[str(far.source)]] * 2


def test_a_pair_at_two_sources_is_one_line(reader, near, far) -> None:
    pair = pair_of(url=URL)
    for cache in (near, far):
        put_pair(cache, pair, key=Key.for_file(URL))
    _, _, row, *_ = reader.run("lookup", URL).stdout.decode().splitlines()
    assert "  yes       1 2  " in row
    assert row.endswith("  -")


def test_a_server_without_batches_is_asked_for_each_content(reader, near, far) -> None:
    fill(near, url=URL)
    near.plan(faults.say(404, b""), "POST /shadir")
    (rows,) = found(reader, URL).values()
    assert rows[0]["content_at"] == [str(near.source)]


# -- what a URL may name


def test_only_what_is_there_is_shown(reader) -> None:
    assert list(found(reader, URL)) == [Key.for_file(URL).text]


def test_a_url_is_looked_up_as_all_that_it_may_be(reader, near) -> None:
    url = "http://example.com/software.cfg"
    say(near, Key.for_page(url), url=url, requirement="hello")
    say(near, Key.for_run(url), profile=url)
    shown = found(reader, f"{url}#md5={'0' * 32}")
    keys = [key.text for key in (Key.for_file(url), Key.for_page(url), Key.for_run(url))]
    assert list(shown) == keys
    assert [shown[key][0]["reason"] for key in keys[1:]] == [None, None]


def test_the_run_record_of_a_local_profile(reader, near) -> None:
    profile = reader.write("software.cfg", b"[buildout]\n")
    digest = hashlib.sha256(b"[buildout]\n").hexdigest()
    key = Key.for_run(digest)
    say(near, key, profile=digest)
    assert found(reader, str(profile))[key.text][0]["reason"] is None


def test_a_software_url_is_looked_up_in_the_cache_of_releases(reader, near, far) -> None:
    url = "http://example.com/software.cfg"
    key = Key.for_release(url)
    say(far, key, software_url=url)
    say(near, key, software_url=url)
    assert key.text not in found(reader, url)
    reader.options.update(options_for(near))
    reader.options["download-binary-cache-url"] = far.source.cache_url
    reader.options["download-binary-dir-url"] = far.source.dir_url
    for what in (url, key.text):
        (row,) = found(reader, what)[key.text]
        assert (row["source"], row["reason"]) == (str(far.source), None)


def test_releases_alone(reader, far) -> None:
    url = "http://example.com/software.cfg"
    say(far, Key.for_release(url), software_url=url)
    options = options_for(far)
    reader.options.clear()
    for option, value in options.items():
        reader.options[option.replace("download-", "download-binary-")] = value
    for what in (url, Key.for_release(url).text):
        done = reader.run("lookup", what)
        assert done.returncode == 0
        last = done.stdout.splitlines()[-1]
        assert last == b"networkcache release show tells whether it runs here."


def test_it_fits_on_a_terminal(reader, near, far) -> None:
    fill(near, url=URL)
    fill(far, b"another", url=URL, signer=BOB)
    lines = reader.run("lookup", URL).stdout.decode().splitlines()
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("what", ["x y", "", "x==\u202e"])
def test_wrong_use(node, what) -> None:
    done = node.run("lookup", what)
    assert (done.returncode, done.stdout) == (2, b"")
    assert "expected a key" in done.stderr
