"""Two publishers make a threshold of two; what older programs signed must be asked for."""

from __future__ import annotations

import hashlib
import json
import urllib.request

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from nodes import Publisher, entries, file_key, make_wheel, page_key, part, reads

from slapos.networkcache.certificates import Signer


def test_threshold_of_two(site):
    name = "voted"
    url = site.origin.put("/voted.tar.gz", b"voted")
    site.origin.distribute(name, make_wheel(site.folder, name))
    both = [site.one, site.two]

    def run_node(**how):
        site.origin.forget()
        node = site.node("signature-threshold = 2", believes=both, **how)
        node.profile(
            part("a", "fetch", url=url),
            part("b", "egg", eggs=name),
            f"[versions]\n{name} = 1.0",
            buildout="parts = a b",
        )
        run = node.networkcache()
        assert run.code == 0, run.said
        assert node.part("a") == b"voted"
        return run, {r.path for r in site.origin.requests}

    page = f"/simple/{name}/"
    files = {"/voted.tar.gz", page, f"/files/{name}-1.0-py3-none-any.whl"}
    run, asked = run_node(signs=site.one)
    assert asked == files
    assert run.reports("not in the network cache: 3 not-found"), run.report

    # The same one again makes no second voice.
    run, asked = run_node(signs=site.one)
    assert asked == files
    assert run.reports("not in the network cache: 3 below-threshold"), run.report
    assert len(site.entries(url)) == 1

    run, asked = run_node(signs=site.two)
    assert asked == files
    assert run.reports("not in the network cache: 3 below-threshold"), run.report
    assert run.reports("published: 3 files"), run.report
    keys = file_key(url), f"pypi:{name}=1.0", page_key(site.origin.url + page)
    for found in (entries(site.cache, key) for key in keys):
        assert {e["signer"] for e in found} == {p.fingerprint for p in both}

    run, asked = run_node()
    assert asked == set()
    assert run.reports(f"from the network cache {site.cache.dir_url}: 3 files"), run.report


def test_two_records_that_agree(observed):
    """How long an origin took is each publisher's own. Once both take all from the cache,
    their records say the same, and a third node follows it."""
    site = observed
    urls = [site.origin.put(f"/recorded{n}.gz", b"%d" % n * 99) for n in range(3)]
    both = [site.one, site.two]
    parts = [part(f"f{n}", "fetch", url=url) for n, url in enumerate(urls)]
    for signs in (*both, *both, None):
        site.origin.forget()
        site.cache.requests.clear()
        node = site.node("signature-threshold = 2", believes=both, signs=signs)
        profile = node.profile(*parts, buildout="parts = f0 f1 f2").read_bytes()
        run = node.networkcache()
        assert run.code == 0, run.said
    assert site.origin.requests == []
    found = entries(site.cache, f"buildout-run:{hashlib.sha256(profile).hexdigest()}")
    assert {e["signer"] for e in found} == {p.fingerprint for p in both}
    asked = [str(request) for request in site.cache.requests]
    record = f"GET /shacache/{found[0]['sha512']}"
    assert asked[:2] == ["POST /shadir", record]


def test_two_who_disagree_make_no_two(site):
    """The origin changed in between: each vouches for what it saw."""
    url = site.origin.put("/disagreed.tar.gz", b"before")
    both = [site.one, site.two]
    for signer, body in ((site.one, b"before"), (site.two, b"after"), (None, b"after")):
        site.origin.put("/disagreed.tar.gz", body)
        node = site.node("signature-threshold = 2", believes=both, signs=signer)
        node.profile(part("a", "fetch", url=url), buildout="parts = a")
        run = node.networkcache()
        assert node.part("a") == body
    assert run.reports("not in the network cache: 1 below-threshold"), run.report


@pytest.fixture
def incumbent(site) -> Publisher:
    """A signer of the old kind."""
    return Publisher(site.folder, "old", Signer(rsa.generate_private_key(65537, 2048)))


def publish_as_of_old(site, incumbent: Publisher, url: str, body: bytes) -> None:
    """As slapos.libnetworkcache 0.30 does for a download."""
    upload = urllib.request.Request(site.cache.cache_url, data=body, method="POST")
    with urllib.request.urlopen(upload) as answer:
        digest = answer.read().decode()
    urlmd5 = hashlib.md5(url.encode()).hexdigest()
    entry = json.dumps({"file_name": "x", "urlmd5": urlmd5, "sha512": digest})
    signature = Signer.parse(incumbent.key.read_bytes()).sign_legacy(entry)
    put = urllib.request.Request(
        f"{site.cache.dir_url}/{file_key(url)}",
        data=json.dumps([entry, signature]).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(put) as answer:
        assert answer.status == 201


@pytest.mark.parametrize("md5sum", ["", "right", "wrong"])
def test_legacy_is_believed_where_it_is_asked_for(site, incumbent, md5sum):
    body = b"of old"
    url = site.origin.put(f"/legacy{md5sum}.tar.gz", body)
    publish_as_of_old(site, incumbent, url, body if md5sum != "wrong" else b"another")
    node = site.node("signature-legacy = accept", believes=[incumbent])
    options = {"md5sum": hashlib.md5(body).hexdigest()} if md5sum else {}
    node.profile(part("a", "fetch", url=url, **options), buildout="parts = a")
    run = node.networkcache()
    assert run.code == 0, run.said
    assert node.part("a") == body
    asked = len(site.origin.asked(f"/legacy{md5sum}.tar.gz"))
    if md5sum == "wrong":
        assert asked == 1
        assert run.reports("not in the network cache: 1 checksum"), run.report
    else:
        assert asked == 0
        believed = "believed in the old way (signature-legacy = accept): 1"
        assert believed in run.report
        assert any(line.endswith("(signed in the old way)") for line in run.ours)


def test_legacy_is_refused_unless_asked_for(site, incumbent):
    urls = [site.origin.put(f"/refused{n}.tar.gz", b"of old") for n in (1, 2)]
    for url in urls:
        publish_as_of_old(site, incumbent, url, b"of old")
    node = site.node(believes=[incumbent])
    parts = [part(f"a{n}", "fetch", url=url) for n, url in enumerate(urls)]
    node.profile(*parts, buildout="parts = a0 a1")
    run = node.networkcache()
    assert run.code == 0, run.said
    assert run.reports("not in the network cache: 2 weak-signature"), run.report
    lines = [line for line in run.report if "signature-legacy" in line]
    assert lines == [
        "2 refused only because they are signed in the old way:"
        " signature-legacy = accept believes them"
    ]


def test_legacy_for_another_url_is_refused(site, incumbent):
    """What was signed for one URL is served for another one."""
    url = site.origin.put("/bound.tar.gz", b"bound")
    other = site.origin.put("/other.tar.gz", b"other")
    publish_as_of_old(site, incumbent, other, b"other")
    address = f"{site.cache.dir_url}/{file_key(other)}"
    with urllib.request.urlopen(address) as answer:
        (pair,) = json.load(answer)
    moved = f"/shadir/{file_key(url)}"
    site.origin.put(moved, json.dumps([pair]), type="application/json")
    node = site.node("signature-legacy = accept", believes=[incumbent])
    node.configure(
        *site.options("signature-legacy = accept", believes=[incumbent])[:1],
        "signature-legacy = accept",
        "download-cache-url-list = " + site.cache.cache_url,
        f"download-dir-url-list = {site.origin.url}/shadir",
    )
    node.profile(part("a", "fetch", url=url), buildout="parts = a")
    run = node.networkcache()
    assert run.code == 0, run.said
    assert node.part("a") == b"bound"
    assert run.reports("not in the network cache: 1 key-mismatch"), run.report


def test_what_an_entry_says_is_escaped(site):
    """A signer whose entry, for the same key, would talk to the terminal."""
    url = site.origin.put("/escaped.tar.gz", b"escaped")
    signer = Signer.parse(site.one.key.read_bytes())
    entry = json.dumps(
        {
            "format": 1,
            "key": file_key(url),
            "url": "http://x/\x1b[2J\nslapos.networkcache: all is well",
            "sha512": hashlib.sha512(b"escaped").hexdigest(),
            "size": 7,
            "created": 1,
        }
    )
    body = json.dumps([[entry, signer.sign(entry)]])
    site.origin.put(f"/shadir/{file_key(url)}", body, type="application/json")
    node = site.bare_node()
    text = reads(site.cache, site.one).replace(
        site.cache.dir_url, site.origin.url + "/shadir"
    )
    node.configure(text)
    node.profile(part("a", "fetch", url=url), buildout="parts = a")
    run = node.networkcache()
    assert run.code == 0, run.said
    assert run.reports("not in the network cache: 1 key-mismatch"), run.report
    assert "\x1b" not in run.said
    assert "http://x/\\x1b[2J\\nslapos" in run.said
