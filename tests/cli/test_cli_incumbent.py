"""Our scripts beside those of `slapos.libnetworkcache` 0.30, with the same arguments."""

from __future__ import annotations

import json

import pytest
from commands import Node, origin
from incumbents import OldClient, Unavailable

pytestmark = pytest.mark.incumbent

CONTENT = b"a content\n" * 1000


@pytest.fixture
def node(tmp_path, server) -> Node:
    """It shares its signing key with old programs."""
    node = Node.of(tmp_path / "node", server, "rsa")
    node.options["signature-legacy"] = "accept publish"
    return node


@pytest.fixture
def old(node) -> OldClient:
    folder = node.folder / "old"
    folder.mkdir()
    try:
        return OldClient(folder, node.options)
    except Unavailable as error:
        pytest.skip(str(error))


def uploads(node: Node, url: str) -> list[tuple[str, ...]]:
    """Arguments of an upload; the last two are those that fetch it again."""
    file = str(node.write("file", CONTENT))
    members = str(node.write("members.json", b'{"url": "http://example.com/m", "n": 1}'))
    folder = node.folder / "tree"
    folder.mkdir()
    (folder / "file").write_bytes(CONTENT)
    return [
        ("-f", file, "-u", "http://example.com/a"),
        ("-u", url),
        ("-f", file, "-u", "http://example.com/b", "n=1", "m=a=b"),
        ("-f", file, "-u", "http://example.com/m", "-m", members, "extra=x"),
        ("-u", str(folder)),
    ]


def test_either_downloads_what_the_other_uploads(node, old) -> None:
    with origin() as there:
        for arguments in uploads(node, there.put("/c", CONTENT)):
            url = arguments[arguments.index("-u") + 1]
            listed = []
            for upload, download in ((old.script, node), (node, old.script)):
                done = (
                    upload("networkcache-upload", *arguments)
                    if upload is old.script
                    else node.run("upload", *arguments)
                )
                assert done.returncode == 0, done.stderr
                done = (
                    node.run("download", "-u", url)
                    if download is node
                    else old.script("networkcache-download", "-u", url)
                )
                assert done.returncode == 0, done.stderr
                if "-f" in arguments or url == there.url + "/c":
                    assert done.stdout == CONTENT
                done = old.script("networkcache-download", "-u", url, "-l")
                listed.append(json.loads(done.stdout)[0])
            # What the old one states, ours states too.
            before, after = listed
            if "tree" not in url:  # the old archive is another one at each time
                assert before.items() <= after.items()


def test_a_content_alone(node, old) -> None:
    file = node.write("file", CONTENT)
    assert old.script("networkcache-upload", "-f", file).returncode == 0
    assert b"was there already" in node.run("upload", "-f", file).stdout


@pytest.mark.parametrize(
    "criteria",
    [
        (),
        ("n==2",),
        ("n>=2", "n<3"),
        ("n>>0",),
        ("n<<9",),
        ("n>>0", 'parity=="odd"'),
        ('parity=="odd"', "n<<9"),
        ("list>=[2]", "list<<[9]"),
        ('list>="x"',),
        ("missing==1",),
        ("n==2", "missing<<1"),
    ],
)
def test_criteria_choose_the_same(node, old, criteria) -> None:
    for number in (1, 3, 2):
        parity = "odd" if number % 2 else "even"
        members = {"n": number, "parity": parity, "list": [number, 0]}
        content = node.write("file", b"%d" % number)
        members = {"url": "http://example.com/n", **members}
        node.write("members.json", json.dumps(members).encode())
        arguments = ("-f", content, "-u", "http://example.com/n", "-m", "members.json")
        assert node.run("upload", *arguments).returncode == 0
    ours = node.run("download", "-l", "-u", "http://example.com/n", *criteria)
    theirs = old.script(
        "networkcache-download", "-l", "-u", "http://example.com/n", *criteria
    )
    assert ours.returncode == theirs.returncode
    assert numbers(ours.stdout) == numbers(theirs.stdout)


def numbers(listed: bytes) -> list[int]:
    return sorted(entry["n"] for entry in json.loads(listed or b"[]"))
