"""A failure of the cache never fails a build; unless origins are blocked."""

from __future__ import annotations

import socket

import pytest
from nodes import RECIPES, file_key, make_wheel, part


def prepare(site, node, name: str) -> str:
    """Fetch a tarball, a page and a wheel; the URL of the tarball."""
    project = f"{name}wheel"
    url = site.origin.put(f"/{name}.tar.gz", name.encode())
    site.origin.distribute(project, make_wheel(site.folder, project))
    node.profile(
        part("a", "fetch", url=url),
        part("b", "egg", eggs=project),
        f"[versions]\n{project} = 1.0",
        buildout="parts = a b",
    )
    return url


def check_built(run, node, name: str) -> None:
    assert run.code == 0, run.said
    assert node.part("a") == name.encode()
    assert node.eggs == {f"{name}wheel"}
    assert node.leftovers == []
    assert "Traceback" not in run.said
    assert 1 <= len(run.report) <= 10


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_server_down(site):
    dead = f"http://127.0.0.1:{closed_port()}"
    node = site.bare_node()
    node.configure(
        f"download-cache-url = {dead}/c\ndownload-dir-url = {dead}/d",
        f"upload-cache-url = {dead}/c\nupload-dir-url = {dead}/d",
        f"signature-private-key-file = {site.one.key}",
    )
    prepare(site, node, "down")
    run = node.networkcache()
    check_built(run, node, "down")
    # The first request asks for all at once; what fails there is not tried again.
    assert run.reports("not in the network cache: 3 left-alone"), run.report
    assert any("Connection refused" in line for line in run.ours), run.said
    assert run.reports("not published: 3 left-alone; 3 kept, the next run sends them")


ANSWERS = {
    "page": "<html>hello</html>",
    "numbers": "[[1, 2]]",
    "object": "{}",
    "cut": '{"entries":',
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_server_that_is_none(site, kind):
    """A web server that answers everything with the same page."""
    name = f"none{kind}"
    node = site.node()
    url = prepare(site, node, name)
    fake = site.origin
    for key in (file_key(url), f"pypi:{name}wheel=1.0"):
        fake.put(f"/shadir/{key}", ANSWERS[kind], type="text/html")
    node.configure(
        f"download-cache-url = {fake.url}/shacache",
        f"download-dir-url = {fake.url}/shadir",
    )
    run = node.networkcache()
    check_built(run, node, name)
    assert run.reports("not in the network cache: "), run.report


def test_memory_that_cannot_be_written(site):
    """The cache folder cannot be made: roll-back is noticed within the run only."""
    node = site.node(signs=site.one)
    node.write("home/file", "")
    prepare(site, node, "unwritable")
    there = str(node.home / "file" / "cache")
    run = node.networkcache(XDG_CACHE_HOME=there)
    check_built(run, node, "unwritable")
    said = [line for line in run.ours if line.startswith("roll-back is noticed")]
    assert len(said) == 1
    again = site.node()
    prepare(site, again, "unwritable")
    run = again.networkcache(XDG_CACHE_HOME=there)
    check_built(run, again, "unwritable")
    assert run.reports(f"from the network cache {site.cache.dir_url}: 3 files"), run.report


BROKEN = {
    "threshold": ("signature-threshold = many", "signature-threshold: expected"),
    "url": ("download-cache-url = ftp://x/\ndownload-dir-url = ftp://x/",
            "download-cache-url: expected"),
    "duration": ("cache-time-budget = 10", "cache-time-budget: expected"),
    "reference": ("digest-blacklist = ${nowhere:nothing}", "digest-blacklist: expected"),
}  # fmt: skip


def extend(node, options: str) -> None:
    """Add the extension and its section to the profile of a node."""
    cfg = node.place / "buildout.cfg"
    head = "[buildout]\nextensions = slapos.networkcache\n"
    text = cfg.read_text().replace("[buildout]\n", head, 1)
    cfg.write_text(f"{text}\n[networkcache]\n{options}\n")


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("extension", [False, True])
def test_broken_value(site, case, extension):
    broken, complaint = BROKEN[case]
    name = f"broken{case}{extension}".lower()
    node = site.bare_node()
    prepare(site, node, name)
    if extension:
        extend(node, broken)
        run = node.buildout()
    else:
        node.configure(broken)
        run = node.networkcache()
    check_built(run, node, name)
    assert run.reports(f"the network cache was off: {complaint}"), run.said


@pytest.mark.parametrize("key", ["missing", "garbage", "small"])
def test_unusable_key(site, key):
    path = site.folder / "unusable.key"
    if key == "garbage":
        path.write_text("-----BEGIN PRIVATE KEY-----\nnone\n")
    elif key == "small":
        from cryptography.hazmat.primitives.asymmetric import rsa

        from slapos.networkcache.certificates import Signer

        path.write_bytes(Signer(rsa.generate_private_key(65537, 1024)).private_pem())
    node = site.node(
        f"upload-cache-url = {site.cache.cache_url}\nupload-dir-url = {site.cache.dir_url}",
        f"signature-private-key-file = {path}",
    )
    name = f"key{key}"
    url = prepare(site, node, name)
    run = node.networkcache()
    check_built(run, node, name)
    assert site.entries(url) == []
    said = [line for line in run.ours if "signature-private-key-file" in line]
    assert len(said) == 1, run.said
    assert run.reports("not published: 3 not-configured"), run.report


def test_key_without_a_listed_certificate(site):
    """It would publish again and again what it will never believe."""
    node = site.node(signs=site.two)
    url = prepare(site, node, "unlisted")
    run = node.networkcache()
    check_built(run, node, "unlisted")
    assert len(site.entries(url)) == 1
    said = [line for line in run.ours if "is not in signature-certificate-list" in line]
    assert len(said) == 1


def test_key_that_others_may_read(site):
    site.one.key.chmod(0o644)
    node = site.node(signs=site.one)
    prepare(site, node, "readable")
    run = node.networkcache()
    check_built(run, node, "readable")
    assert any(f"chmod 600 {site.one.key}" in line for line in run.ours), run.said


def test_certificates_that_do_not_parse(site):
    """The example that everybody copies is named, and the good one beside it counts."""
    good = site.one.certificate
    first = site.node(signs=site.one)
    prepare(site, first, "parse")
    assert first.networkcache().code == 0
    listed = f"-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n{good}"
    lines = "".join(f"  {line}\n" for line in listed.splitlines())
    second = site.bare_node()
    second.configure(
        f"download-cache-url = {site.cache.cache_url}",
        f"download-dir-url = {site.cache.dir_url}",
        f"signature-certificate-list =\n{lines}",
    )
    prepare(site, second, "parse")
    run = second.networkcache()
    check_built(run, second, "parse")
    assert run.reports(f"from the network cache {site.cache.dir_url}: 3 files"), run.report
    assert sum("certificate 1" in line for line in run.ours) == 1, run.said


def test_no_certificate_believes_nobody(site):
    first, second = site.node(signs=site.one), site.node(believes=[])
    prepare(site, first, "nobody")
    assert first.networkcache().code == 0
    prepare(site, second, "nobody")
    run = second.networkcache()
    check_built(run, second, "nobody")
    assert sum("holds no certificate that parses" in line for line in run.ours) == 1
    assert run.reports("not in the network cache: 3 unknown-signer"), run.report


def test_tls_files_that_cannot_be_used(site):
    node = site.bare_node()
    node.configure(
        "download-cache-url = https://127.0.0.1:1/c",
        "download-dir-url = https://127.0.0.1:1/d",
        "shacache-ca-file = /nowhere/ca.pem",
    )
    prepare(site, node, "tls")
    run = node.networkcache()
    check_built(run, node, "tls")
    assert run.reports("the network cache was off: the TLS files /nowhere/ca.pem")


def test_no_room_for_the_copy(site):
    """What cannot be kept to be published is not published."""
    full = site.folder / "full"
    full.mkdir()
    (full / "sitecustomize.py").write_text(
        "import errno, tempfile\n"
        "make = tempfile.NamedTemporaryFile\n"
        "def none(*arguments, **options):\n"
        "    if options.get('prefix') != 'outgoing-':\n"
        "        return make(*arguments, **options)\n"
        "    raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "tempfile.NamedTemporaryFile = none\n"
    )
    node = site.node(signs=site.one)
    prepare(site, node, "full")
    run = node.networkcache(PYTHONPATH=f"{full}:{RECIPES}")
    check_built(run, node, "full")
    assert run.reports("published: 0 files,"), run.report
    assert run.reports("not published: 3 failed"), run.report
    assert any("No space left on device" in line for line in run.ours), run.said


# -- origins are blocked


def blocked(site, node):
    site.origin.forget()
    run = node.networkcache()
    assert run.code == 1, run.said
    assert [r for r in site.origin.requests if not r.path.startswith("/simple/")] == []
    assert "Traceback" not in run.said
    assert node.leftovers == []
    return run


@pytest.mark.parametrize("seam", ["file", "page", "distribution"])
def test_block_origin(site, seam):
    name = f"block{seam}"
    node = site.node("block-origin = true")
    url = prepare(site, node, name)
    where = url
    if seam == "page":
        where = f"{site.origin.url}/simple/{name}wheel/"
    if seam == "distribution":
        where = f"{site.origin.url}/files/{name}wheel-1.0-py3-none-any.whl"
        no_files = f"upload-to-cache-url-blacklist = {site.origin.url}/files/"
        first = site.node(no_files, signs=site.one)
        prepare(site, first, name)
        assert first.networkcache().code == 0
    if seam != "file":
        cfg = node.place / "buildout.cfg"
        cfg.write_text(cfg.read_text().replace("parts = a b", "parts = b"))
    run = blocked(site, node)
    assert (
        f"Error: {where} is not taken from the network cache (not-found: no source has an"
        " entry for it), and with block-origin = true its origin is not asked"
    ) in run.said


def test_block_origin_says_why(site):
    """Somebody vouches for it, but nobody who is believed."""
    first = site.node(signs=site.one)
    prepare(site, first, "blockwhy")
    assert first.networkcache().code == 0
    node = site.node("block-origin = true", believes=[site.two])
    prepare(site, node, "blockwhy")
    run = blocked(site, node)
    assert "(unknown-signer: signed by somebody" in run.said


def test_block_origin_takes_what_there_is(site):
    first = site.node(signs=site.one)
    prepare(site, first, "blocktake")
    assert first.networkcache().code == 0
    node = site.node("block-origin = true")
    prepare(site, node, "blocktake")
    check_built(node.networkcache(), node, "blocktake")


BLOCKING = {
    "nosource": "block-origin = true",
    "broken": "block-origin = true\nsignature-threshold = many",
    "misspelt": "block-origin = yes",
    "unreachable": "block-origin = true\ndownload-cache-url = http://127.0.0.1:1/c\n"
    "download-dir-url = http://127.0.0.1:1/d\n",
}


@pytest.mark.parametrize("case", BLOCKING)
@pytest.mark.parametrize("extension", [False, True])
def test_block_origin_without_a_cache(site, case, extension):
    """What cannot be used, or is not understood, blocks all the same."""
    node = site.bare_node()
    options = BLOCKING[case]
    name = f"blocknone{case}{extension}".lower()
    prepare(site, node, name)
    if extension:
        extend(node, options)
        run = node.buildout()
    else:
        node.configure(options)
        run = node.networkcache()
    assert run.code in (1, 2), run.said
    assert node.part("a") is None
    assert [r for r in site.origin.requests if r.path == f"/{name}.tar.gz"] == []
    assert "Traceback" not in run.said
    assert "block-origin" in run.said or "signature-threshold" in run.said
