"""``networkcache download``: what is handed out, what is not, and what is chosen."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import time
from contextlib import closing

import pytest
from commands import CONTENT, SHA512, TIMEOUT, URL, Node, entries, publish

from slapos.networkcache.config import Config
from slapos.networkcache.digest import Digests
from slapos.networkcache.entry import Key
from slapos.networkcache.members import members_of_file
from slapos.networkcache.publisher import Publisher


def tamper(server, content: bytes = b"evil content") -> None:
    for folder, _, files in os.walk(server.root):
        for name in files:
            if name == SHA512:
                path = os.path.join(folder, name)
                os.chmod(path, 0o600)
                with open(path, "wb") as file:
                    file.write(content)
                return
    raise AssertionError("the server does not have the content")


def test_of_a_wrong_content_nothing_is_handed_out(lone, server) -> None:
    published = publish(lone)
    tamper(server)
    done = published.run("download", "-u", URL)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "bytes are signed" in done.stderr
    assert "nothing of it was kept" in done.stderr


def test_nor_of_one_that_has_the_right_size(lone, server) -> None:
    published = publish(lone)
    tamper(server, CONTENT[:-1] + b"!")
    done = published.run("download", "-u", URL)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "do not have the digest" in done.stderr


def test_a_wrong_content_leaves_the_output_file_alone(lone, server) -> None:
    published = publish(lone)
    output = published.write("output", b"before")
    tamper(server)
    before = set(os.listdir(published.folder))
    assert published.run("download", "-u", URL, "-o", output).returncode == 1
    assert output.read_bytes() == b"before"
    assert set(os.listdir(published.folder)) <= before | {"cache"}


def test_an_output_file_is_written_through_a_link(published) -> None:
    output = published.write("output", b"before")
    link = published.folder / "link"
    link.symlink_to(output)
    assert published.run("download", "-u", URL, "-o", link).returncode == 0
    assert link.is_symlink()
    assert output.read_bytes() == CONTENT


def test_a_device_stays_a_device(published) -> None:
    pipe = published.folder / "pipe"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert published.run("download", "-u", URL, "-o", pipe).returncode == 0
    reader.join(TIMEOUT)
    assert got == [CONTENT]
    assert pipe.is_fifo()


def test_the_checksum_in_the_url_decides(published) -> None:
    right = hashlib.sha256(CONTENT).hexdigest()
    assert published.run("download", "-u", f"{URL}#sha256={right}").stdout == CONTENT
    done = published.run("download", "-u", f"{URL}#sha256={'0' * 64}")
    assert (done.returncode, done.stdout) == (1, b"")
    assert "checksum" in done.stderr


def test_by_key_alone_the_entry_must_make_the_key(node) -> None:
    """The publisher refuses to sign what nobody would believe."""
    key = "file-urlmd5:" + hashlib.md5(URL.encode()).hexdigest()
    file = node.write("hello", CONTENT)
    for members in ((), ("url=http://example.com/other",)):
        done = node.run("upload", "-f", file, "-k", key, *members)
        assert done.returncode == 2
        assert "nobody would believe" in done.stderr
    assert node.run("upload", "-f", file, "-k", key, f"url={URL}").returncode == 0
    assert node.run("download", "-k", key).stdout == CONTENT


def test_what_an_unknown_signer_says_is_refused(published, tmp_path, shared_server) -> None:
    other = Node.of(tmp_path / "other", shared_server)
    done = other.run("download", "-u", URL)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "signature-certificate-list" in done.stderr


def test_what_is_older_than_before_is_a_roll_back(lone, make_server) -> None:
    behind = make_server()
    old = {**lone.options, "upload-cache-url": behind.cache_url}
    config = Config.parse({**old, "upload-dir-url": behind.dir_url})
    content = io.BytesIO(b"old")
    with closing(Publisher(config, clock=lambda: time.time() - 1000)) as publisher:
        members = members_of_file(URL, checked=True)
        publisher.publish(Key.for_file(URL), content, Digests.of([b"old"]), members)
    assert publish(lone).run("download", "-u", URL).stdout == CONTENT
    lone.options["download-cache-url"] = behind.cache_url
    lone.options["download-dir-url"] = behind.dir_url
    done = lone.run("download", "-u", URL)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "older than what was believed" in done.stderr
    # Whoever chooses among the entries sees it.
    assert len(entries(lone, "-u", URL)) == 1


# -- choosing


@pytest.fixture
def versions(node) -> Node:
    for number in (1, 3, 2):
        file = node.write("file", b"version %d" % number)
        node.write("m.json", json.dumps({"level": [number, 0], "n": number}).encode())
        done = node.run("upload", "-f", file, "-k", "x:y", "-m", "m.json")
        assert done.returncode == 0, done.stderr
    return node


@pytest.mark.parametrize(
    ("criteria", "number"),
    [
        (["n==2"], 2),
        (["n>=2", "n<3"], 2),
        (["level>=[2]", "level<<[9]"], 2),
        (["level>>[0]"], 3),
        (["n<<9"], 1),
    ],
)
def test_criteria_choose_what_is_downloaded(versions, criteria, number) -> None:
    done = versions.run("download", "-k", "x:y", *criteria)
    assert (done.returncode, done.stdout) == (0, b"version %d" % number), done.stderr


def test_a_list_is_json(versions) -> None:
    done = versions.run("download", "-l", "-k", "x:y", "n>=2")
    members = json.loads(done.stdout)
    assert {m["n"] for m in members} == {2, 3}
    assert done.stdout.decode() == json.dumps(members, indent=2, sort_keys=True) + "\n"


def test_criteria_that_nothing_fits(versions) -> None:
    done = versions.run("download", "-k", "x:y", "n>9")
    assert (done.returncode, done.stdout) == (1, b"")
    assert "none of the 3 believed entries" in done.stderr


@pytest.mark.parametrize("criterion", ["n", "n=1", "n==one", "n==" + "[" * 100_000])
def test_what_is_no_criterion_is_wrong_use(node, criterion) -> None:
    done = node.run("download", "-k", "x:y", criterion)
    assert done.returncode == 2
    assert "n" in done.stderr
