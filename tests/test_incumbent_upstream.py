"""A proximity cache between the incumbents: their client before it, their server behind."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import incumbents
import pytest
from gate import gate
from incumbents import OldClient, OldClientError
from wire import ask, files, pairs

from slapos.networkcache.certificates import generate
from slapos.networkcache.digest import Digest
from slapos.networkcache.testing import NetworkCache, faults

pytestmark = pytest.mark.incumbent

URL = "http://example.com/hello-1.0.tar.gz"
KEY = "file-urlmd5:0123456789abcdef0123456789abcdef"
LARGE = os.urandom(3 << 20)


@pytest.fixture(scope="session", autouse=True)
def environment() -> None:
    try:
        incumbents.client_environment()
        incumbents.server_environment()
    except incumbents.Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def make_near(make_server):
    def make(far):
        options = ("--upstream", far.cache_url, far.dir_url)
        return make_server("--workers", "2", *options)

    return make


@pytest.fixture
def private_key(tmp_path: Path) -> Path:
    path = tmp_path / "signature.key"
    path.write_bytes(SIGNER.private_pem())
    return path


SIGNER = generate("rsa")


def old_client(folder: Path, server, private_key: Path) -> OldClient:
    certificate = SIGNER.self_signed("one", time.time())
    urls = (server.cache_url, server.dir_url)
    return OldClient.of(folder, *urls, certificate, private_key)


def test_old_client_old_server(make_near, tmp_path, private_key):
    """What was put into the old server comes through, and is there when it is gone."""
    (tmp_path / "content").write_bytes(LARGE)
    absent = Digest.of(b"absent").hex
    with incumbents.old_server(tmp_path / "old server") as server:
        publisher = old_client(tmp_path, server, private_key)
        digest = publisher.upload(tmp_path / "content", KEY, url=URL)
        near = make_near(server)
        reader = old_client(tmp_path, near, private_key)
        assert [entry["url"] for entry in reader.select(KEY)] == [URL]
        assert reader.download(digest) == LARGE
        with pytest.raises(OldClientError) as raised:
            reader.download(absent)
        assert raised.value.status == 404
        batch = {"keys": [KEY, "other"], "contents": [digest, absent]}
        answer = json.loads(ask(near, "POST", "/shadir", json.dumps(batch).encode()).body)
        assert list(answer["entries"]) == [KEY]
        assert answer["missing_content"] == [absent]
    assert reader.download(digest) == LARGE
    assert len(pairs(near, KEY)) == 1


def test_old_client_reads_along(make_near, tmp_path, private_key):
    with gate(LARGE, len(LARGE) - 1) as far:
        far.open()
        reader = old_client(tmp_path, make_near(far), private_key)
        assert reader.download(far.digest.hex) == LARGE


def test_old_client_never_ends_with_wrong_bytes(make_near, tmp_path, private_key):
    with NetworkCache() as far:
        digest = far.contents.put([LARGE])
        far.plan(faults.wrong)
        near = make_near(far)
        with pytest.raises(OldClientError):
            old_client(tmp_path, near, private_key).download(digest.hex)
        assert files(near.root) == []
        assert len(far.requests) <= 2
