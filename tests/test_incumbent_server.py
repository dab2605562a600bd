"""Our client against the cache server inside `slapos.core` 1.26.1."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import incumbents
import pytest
from incumbents import POISON, OldClient, OldClientError, OldServer
from relay import relay

from slapos.networkcache.binding import Request
from slapos.networkcache.certificates import Signer, generate
from slapos.networkcache.client import Client
from slapos.networkcache.config import Config
from slapos.networkcache.digest import Digest, Digests
from slapos.networkcache.entry import Key
from slapos.networkcache.errors import NotFound, Reason, WrongContent
from slapos.networkcache.publisher import Published, Publisher

pytestmark = pytest.mark.incumbent

URL = "http://example.com/hello-1.0.tar.gz"
REQUEST = Request.for_file(URL)
CONTENT = b"the content of hello-1.0.tar.gz"


@pytest.fixture(scope="session", autouse=True)
def environment() -> None:
    try:
        incumbents.client_environment()
        incumbents.server_environment()
    except incumbents.Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def old_server(tmp_path: Path) -> Iterator[OldServer]:
    with incumbents.old_server(tmp_path / "old server") as server:
        yield server


@pytest.fixture(scope="module")
def signers() -> list[Signer]:
    return [generate("rsa"), generate("rsa")]


class Node:
    """One that reads from and publishes to a server, and believes all of `signers`."""

    def __init__(self, folder: Path, server: OldServer, signers: list[Signer], me: int = 0):
        self.folder = folder
        self.server = server
        self.key = folder / f"signature-{me}.key"
        self.key.touch(0o600)
        self.key.write_bytes(signers[me].private_pem())
        self.certificates = "".join(s.self_signed("a signer", time.time()) for s in signers)

    def config(self, **options: str) -> Config:
        cache_url = options.pop("cache_url", self.server.cache_url)
        return Config.parse(
            {
                "download-cache-url": cache_url,
                "download-dir-url": self.server.dir_url,
                "upload-cache-url": cache_url,
                "upload-dir-url": self.server.dir_url,
                "signature-certificate-list": self.certificates,
                "signature-private-key-file": str(self.key),
                **{name.replace("_", "-"): value for name, value in options.items()},
            }
        )

    def publish(self, content: bytes = CONTENT, **options: str) -> Published:
        return publish(Publisher(self.config(**options)), URL, content)

    def old_client(self) -> OldClient:
        urls = (self.server.cache_url, self.server.dir_url)
        return OldClient.of(self.folder, *urls, self.certificates)


def publish(publisher: Publisher, url: str, content: bytes) -> Published:
    digests = Digests.of([content])
    return publisher.publish(Key.for_file(url), io.BytesIO(content), digests, {"url": url})


@pytest.fixture
def node(tmp_path: Path, old_server: OldServer, signers: list[Signer]) -> Node:
    return Node(tmp_path, old_server, signers)


@pytest.mark.parametrize("size", [0, 1, 300_000, 3_000_000])
def test_publishes_finds_and_fetches(node: Node, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    assert node.publish(content).content_sent
    client = Client(node.config())
    outcome = client.look_up(REQUEST)
    client.fetch(outcome, str(tmp_path / "fetched"))
    assert (tmp_path / "fetched").read_bytes() == content


def test_what_is_missing_is_not_found(node: Node) -> None:
    outcome = Client(node.config()).look_up(REQUEST)
    assert (outcome.trusted, outcome.reason) == (None, Reason.NOT_FOUND)


def test_entry_whose_content_is_lost(node: Node, tmp_path: Path) -> None:
    node.publish()
    (node.server.root / "content" / Digest.of(CONTENT).hex).unlink()
    client = Client(node.config())
    with pytest.raises(NotFound):
        client.fetch(client.look_up(REQUEST), str(tmp_path / "fetched"))
    assert not list(tmp_path.glob("fetched*"))


def test_what_is_there_is_not_sent_again(node: Node) -> None:
    assert node.publish()[1:] == (True, True)
    assert node.publish()[1:] == (False, False)
    assert node.server.log.count("POST /shacache/cache ") == 1


@pytest.mark.parametrize(
    "wrong",
    [CONTENT[:-1] + b"!", CONTENT + b"!", CONTENT[:-1], b""],
    ids=["changed", "longer", "shorter", "empty"],
)
def test_wrong_content_is_refused(node: Node, tmp_path: Path, wrong: bytes) -> None:
    node.publish()
    (node.server.root / "content" / Digest.of(CONTENT).hex).write_bytes(wrong)
    client = Client(node.config())
    with pytest.raises(WrongContent):
        client.fetch(client.look_up(REQUEST), str(tmp_path / "fetched"))
    assert not list(tmp_path.glob("fetched*"))


def test_cut_download_is_resumed(node: Node, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    node.publish(content)
    with relay(node.server.cache_url, cuts=[1_000_000, 500_000]) as way:
        client = Client(node.config(cache_url=way.url(node.server.cache_url)))
        client.fetch(client.look_up(REQUEST), str(tmp_path / "fetched"))
    assert (tmp_path / "fetched").read_bytes() == content
    assert way.requests == ["GET"] * 3
    assert "Range: bytes=" in way.heads[2]


def test_batch_is_tried_once_a_run(node: Node) -> None:
    publisher = Publisher(node.config())
    for number in range(3):
        publish(publisher, f"{URL}?{number}", b"%d" % number)
    assert node.server.log.count("POST /shacache/dir ") == 1
    client = Client(node.config())
    for number in range(3):
        assert client.look_up(Request.for_file(f"{URL}?{number}")).trusted


def test_last_put_replaces_all(node: Node, tmp_path: Path, signers: list[Signer]) -> None:
    other = Node(tmp_path, node.server, signers, 1)
    node.publish(b"one")
    assert other.publish(b"two").entry_sent
    outcome = Client(node.config()).look_up(REQUEST)
    assert outcome.trusted is not None
    assert outcome.trusted.digest == Digest.of(b"two")
    assert len(outcome.answers[0].verdicts) == 1


def test_legacy_pair_is_put_last_so_that_it_is_kept(node: Node, tmp_path: Path) -> None:
    node.publish(signature_legacy="publish")
    ((entry, _),) = json.loads(
        (node.server.root / "metadata" / str(REQUEST.key)).read_text()
    )
    assert next(iter(json.loads(entry))) == "salt"
    assert Client(node.config()).look_up(REQUEST).reason is Reason.WEAK_SIGNATURE
    accepting = Client(node.config(signature_legacy="accept"))
    accepting.fetch(accepting.look_up(REQUEST), str(tmp_path / "fetched"))
    assert (tmp_path / "fetched").read_bytes() == CONTENT


def test_old_client_believes_the_legacy_pair(node: Node) -> None:
    node.publish(signature_legacy="publish")
    (entry,) = node.old_client().select(str(REQUEST.key))
    assert node.old_client().download(entry["sha512"]) == CONTENT
    done = node.old_client().script("networkcache-download", "-u", URL)
    assert (done.returncode, done.stdout) == (0, CONTENT)


def test_old_client_does_not_believe_ours(node: Node) -> None:
    node.publish()
    assert node.old_client().select(str(REQUEST.key)) == []


def test_what_the_old_client_put_is_believed_on_request(node: Node, tmp_path: Path) -> None:
    old = OldClient.of(
        tmp_path, node.server.cache_url, node.server.dir_url, node.certificates, node.key
    )
    (tmp_path / "content").write_bytes(CONTENT)
    old.upload(tmp_path / "content", str(REQUEST.key), url=URL)
    assert Client(node.config()).look_up(REQUEST).reason is Reason.WEAK_SIGNATURE
    accepting = Client(node.config(signature_legacy="accept"))
    accepting.fetch(accepting.look_up(REQUEST), str(tmp_path / "fetched"))
    assert (tmp_path / "fetched").read_bytes() == CONTENT


def test_one_bad_pair_hides_all_others_from_the_old_client(node: Node) -> None:
    """Which is why our server refuses such pairs. Ours skips them."""
    node.publish(signature_legacy="publish")
    listing = node.server.root / "metadata" / str(REQUEST.key)
    good = json.loads(listing.read_text())
    assert node.old_client().select(str(REQUEST.key))
    for name in ("no-strings", "three-members", "base64-without-padding", "lone-surrogate"):
        listing.write_text(json.dumps([POISON[name], *good]))
        with pytest.raises(OldClientError):
            node.old_client().select(str(REQUEST.key))
        assert Client(node.config(signature_legacy="accept")).look_up(REQUEST).trusted
