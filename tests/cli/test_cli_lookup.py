"""``networkcache lookup``: who says what, and who is believed."""

from __future__ import annotations

import json
import socket
import time

import pytest
from commands import Node
from wire import post, put

from slapos.networkcache.certificates import Signer
from slapos.networkcache.digest import Digests
from slapos.networkcache.entry import Entry, Key

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


def dead_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_url_that_is_believed(node) -> None:
    publish(node, "-u", URL)
    done = node.run("lookup", URL)
    assert (done.returncode, done.stderr) == (0, "")
    key, headings, row, *_, sentence = done.stdout.decode().splitlines()
    assert key.startswith("file-urlmd5:")
    assert headings.split()[:2] == ["SOURCE", "SIGNED"]
    fields = row.split()
    assert fields[0] == node.options["download-dir-url"]
    assert fields[1] == "tester"
    assert fields[-3:] == ["5", "9b71d224bd62f378", "yes"]
    assert sentence.startswith("Believed: ")
    assert sentence.endswith("of 5 bytes, on the word of tester.")


def test_who_is_not_believed_and_why(node, tmp_path, server) -> None:
    publish(node, "-u", URL)
    stranger = Node.of(tmp_path / "stranger", server)
    publish(stranger, "-u", URL, content=b"other")
    assert believed(node, URL)[:2] == [("", "unknown-signer"), ("tester", None)]
    node.options["signature-threshold"] = "2"
    done = node.run("lookup", URL)
    assert done.returncode == 1
    assert b"no: below-threshold: 1 of the 2 signers needed" in done.stdout
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
    assert b"no: not-found" in done.stdout
    assert b"Nothing is believed: " in done.stdout


def test_no_source_could_be_asked(node) -> None:
    dead = dead_url()
    node.options.update({"download-cache-url": dead, "download-dir-url": dead})
    done = node.run("lookup", URL)
    assert done.returncode == 3
    assert b"no: unreachable: " in done.stdout
    assert b"Could not tell, for a source could not be asked: " in done.stdout


def test_a_dead_source_beside_one_that_answers(node) -> None:
    dead = dead_url()
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


@pytest.mark.parametrize("what", ["x y", "", "x==\u202e"])
def test_wrong_use(node, what) -> None:
    done = node.run("lookup", what)
    assert (done.returncode, done.stdout) == (2, b"")
    assert "expected a key" in done.stderr
