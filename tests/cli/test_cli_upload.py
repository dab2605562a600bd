"""``networkcache upload``: what goes there and comes back."""

from __future__ import annotations

import hashlib
import os
import tarfile

from commands import CONTENT, SHA512, URL, entries, script


def test_a_file_goes_there_and_comes_back(lone) -> None:
    file = lone.write("hello", CONTENT)
    done = lone.run("upload", "-f", file, "-u", URL)
    assert done.returncode == 0
    key = "file-urlmd5:" + hashlib.md5(URL.encode()).hexdigest()
    assert done.stdout.decode().splitlines() == [
        f"key      {key}",
        f"sha512   {SHA512}",
        "size     10000",
        "content  sent",
        "entry    sent",
    ]
    again = lone.run("upload", "-f", file, "-u", URL).stdout.decode().splitlines()
    assert again[-2:] == ["content  was there already", "entry    was there already"]
    for what in (("-u", URL), ("-u", URL + "#egg=hello"), ("-k", key)):
        done = lone.run("download", *what)
        assert (done.returncode, done.stdout, done.stderr) == (0, CONTENT, "")
    (entry,) = entries(lone, "-u", URL)
    assert entry["url"] == URL
    assert entry["sha512"] == SHA512
    assert "transport" not in entry


def test_the_scripts_are_the_commands(node) -> None:
    file = node.write("hello", CONTENT)
    config = ("-c", node.config)
    done = script("networkcache-upload", *config, "-f", file, "-u", URL, env=node.clean())
    assert done.returncode == 0, done.stderr
    done = script("networkcache-download", *config, "-u", URL, env=node.clean())
    assert done.stdout == CONTENT


def test_a_content_without_a_key_is_stored_and_not_indexed(lone, server) -> None:
    del lone.options["signature-private-key-file"]
    done = lone.run("upload", "-f", lone.write("hello", CONTENT))
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines() == [
        f"sha512   {SHA512}",
        "size     10000",
        "content  sent",
    ]
    assert b"was there already" in lone.run("upload", "-f", "hello").stdout
    assert not [line for line in server.requests() if line["method"] == "PUT"]


def test_a_folder_is_archived_the_same_way_each_time(lone) -> None:
    folder = lone.folder / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_bytes(CONTENT)
    (folder / "link").symlink_to("sub/file")
    first = lone.run("upload", "-u", folder)
    assert first.returncode == 0, first.stderr
    os.utime(folder / "sub" / "file", (1, 1))
    again = lone.run("upload", "-u", folder)
    assert again.stdout.replace(b"was there already", b"sent") == first.stdout
    output = lone.folder / "got.tar.gz"
    assert lone.run("download", "-u", folder, "-o", output).returncode == 0
    with tarfile.open(output) as tar:
        assert tar.getnames() == ["tree", "tree/link", "tree/sub", "tree/sub/file"]
        assert tar.extractfile("tree/sub/file").read() == CONTENT
        assert tar.getmember("tree/link").linkname == "sub/file"


def test_an_empty_file_goes_too(node) -> None:
    assert node.run("upload", "-f", node.write("none", b""), "-k", "x:none").returncode == 0
    done = node.run("download", "-k", "x:none")
    assert (done.returncode, done.stdout) == (0, b"")


def test_members_come_from_a_file_and_from_the_command_line(node) -> None:
    node.write("members.json", b'{"level": [4, 2], "by": "file"}')
    arguments = ("-f", node.write("hello", CONTENT), "-k", "x:hello", "-m", "members.json")
    done = node.run("upload", *arguments, "by=hand", "n=1", "equation=a=b")
    assert done.returncode == 0, done.stderr
    (entry,) = entries(node, "-k", "x:hello")
    stated = {name: entry[name] for name in ("level", "by", "n", "equation")}
    assert stated == {"level": [4, 2], "by": "hand", "n": "1", "equation": "a=b"}


def test_a_distribution_under_its_key_states_what_the_key_is_made_of(node) -> None:
    file = node.write("hello", CONTENT)
    done = node.run("upload", "-f", file, "-k", "pypi:hello=1.0", f"url={URL}")
    assert done.returncode == 0, done.stderr
    (entry,) = entries(node, "-k", "pypi:hello=1.0")
    assert (entry["basename"], entry["name"]) == ("hello-1.0.tar.gz", "hello")
