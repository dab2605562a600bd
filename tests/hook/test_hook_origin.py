"""What an origin does decides what its signer vouches for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from nodes import RECIPES, entries, make_wheel, part
from origin import Origin, make_tls


def fetch(site, url: str, *options: str, md5sum: str = "", **environment: str):
    """A node with a key fetches `url`; the run."""
    node = site.node(*options, signs=site.one)
    more = {"md5sum": md5sum} if md5sum else {}
    node.profile(part("a", "fetch", url=url, **more), buildout="parts = a")
    return node.networkcache(**environment)


def fetch_wheel(site, name: str, *, hashed: bool = True, **how):
    """The same for a wheel whose file the origin gives as `how` says."""
    wheel = make_wheel(site.folder, name)
    site.origin.distribute(name, wheel, hashed=hashed)
    body = how.pop("body", wheel.read_bytes())
    site.origin.put(f"/files/{wheel.name}", body, **how)
    node = site.node(signs=site.one)
    node.profile(
        part("a", "egg", eggs=name), f"[versions]\n{name} = 1.0", buildout="parts = a"
    )
    return node.networkcache(), entries(site.cache, f"pypi:{name}=1.0")


BODY = b"a body " * 20
MD5 = hashlib.md5(BODY).hexdigest()


@pytest.mark.parametrize("md5sum", ["", MD5])
def test_cut(site, md5sum):
    url = site.origin.put(f"/cut{len(md5sum)}.tar.gz", BODY, announced=len(BODY) + 5)
    run = fetch(site, url, md5sum=md5sum)
    assert run.code == 1
    assert "retrieval incomplete: got only 140 out of 145 bytes" in run.said
    assert site.entries(url) == []


@pytest.mark.parametrize("md5sum", ["", hashlib.md5(BODY[:-5]).hexdigest()])
def test_overrun(site, md5sum):
    """Buildout takes what was announced; but nobody should vouch for it."""
    url = site.origin.put(f"/over{len(md5sum)}.tar.gz", BODY, announced=len(BODY) - 5)
    run = fetch(site, url, md5sum=md5sum)
    assert run.code == 0, run.said
    assert site.entries(url) == []
    assert run.reports("not published: 1 wrong-content"), run.report


@pytest.mark.parametrize(
    ("how", "md5sum", "published"),
    [
        # Nothing says where it ends, so it may have been cut.
        ({"announced": 0}, "", False),
        ({"announced": 0}, MD5, True),
        ({"chunked": True}, "", True),
        ({"chunked": True}, MD5, True),
    ],
    ids=["no-length", "no-length-checked", "chunked", "chunked-checked"],
)
def test_no_length(site, how, md5sum, published):
    url = site.origin.put(f"/length{len(md5sum)}{len(how)}{published}", BODY, **how)
    run = fetch(site, url, md5sum=md5sum)
    assert run.code == 0, run.said
    assert len(site.entries(url)) == published
    assert run.reports("not published: 1 wrong-content") == (not published), run.report


@pytest.mark.parametrize("status", [404, 500])
def test_an_error_is_no_content(site, status):
    url = site.origin.put(f"/error{status}", BODY, status=status)
    run = fetch(site, url)
    assert run.code == 1
    assert f"HTTP Error {status}" in run.said
    assert site.entries(url) == []


def test_another_success_is_not_what_the_origin_has(site):
    url = site.origin.put("/part", BODY, status=203)
    run = fetch(site, url, md5sum=MD5)
    assert run.code == 0, run.said
    assert site.entries(url) == []


def test_wheel_without_length(site):
    run, found = fetch_wheel(site, "wheelnolength", announced=0)
    assert run.code == 0, run.said
    assert len(found) == 1


def test_wheel_without_length_and_hash(site):
    run, found = fetch_wheel(site, "wheelnothing", announced=0, hashed=False)
    assert run.code == 0, run.said
    assert found == []


def test_wheel_without_hash(site):
    run, found = fetch_wheel(site, "wheelnohash", hashed=False)
    assert run.code == 0, run.said
    assert [entry.get("transport") for entry in found] == ["http"]


def test_wheel_cut(site):
    wheel = make_wheel(site.folder, "wheelcut")
    body = wheel.read_bytes()
    run, found = fetch_wheel(
        site, "wheelcut", hashed=False, body=body[:-40], announced=len(body)
    )
    assert run.code == 1
    assert found == []


def test_wheel_overrun(site):
    wheel = make_wheel(site.folder, "wheelover")
    body = wheel.read_bytes()
    run, found = fetch_wheel(
        site, "wheelover", hashed=False, body=body + b"more", announced=len(body)
    )
    assert run.code == 0, run.said
    assert found == []


def test_page_in_place_of_a_wheel(site):
    page = b"<html>log in</html>"
    run, found = fetch_wheel(site, "wheelpage", hashed=False, body=page, type="text/html")
    assert run.code == 1
    assert found == []


# -- over which way it came


@pytest.fixture
def secure(tmp_path) -> Iterator[tuple[Origin, dict[str, str]]]:
    """An origin with https, and the variables of who believes its certificate."""
    context, authority = make_tls(tmp_path)
    origin = Origin(context)
    yield origin, {"SSL_CERT_FILE": str(authority)}
    origin.stop()


def transport(site, url: str, **how) -> str | None:
    run = fetch(site, url, **how)
    assert run.code == 0, run.said
    (entry,) = site.entries(url)
    return entry.get("transport")


def test_http_is_marked_unless_checksummed(site):
    url = site.origin.put("/http.tar.gz", BODY)
    assert transport(site, url) == "http"
    url = site.origin.put("/http-checked.tar.gz", BODY)
    assert transport(site, url, md5sum=MD5) is None


def test_verified_https_is_not_marked(site, secure):
    origin, trusted = secure
    assert transport(site, origin.put("/https.tar.gz", BODY), **trusted) is None


def test_redirects(site, secure):
    """Every hop counts."""
    origin, trusted = secure
    plain, end = site.origin, origin.put("/end.tar.gz", BODY)
    http_end = plain.put("/http-end.tar.gz", BODY)
    inside = plain.put("/inside", "", location=end)
    cases = {
        origin.put("/to-https", "", location=end): None,
        plain.put("/to-https", "", location=end): "http",
        origin.put("/to-http", "", location=http_end): "http",
        origin.put("/through-http", "", location=inside): "http",
    }
    assert {url: transport(site, url, **trusted) for url in cases} == cases


def test_an_unverified_https_is_marked(site, secure):
    origin, _ = secure
    careless = site.folder / "careless"
    careless.mkdir()
    (careless / "sitecustomize.py").write_text(
        "import ssl\nssl._create_default_https_context = ssl._create_unverified_context\n"
    )
    url = origin.put("/unverified.tar.gz", BODY)
    assert transport(site, url, PYTHONPATH=f"{careless}:{RECIPES}") == "http"


def test_require_checked_origin(site):
    url = site.origin.put("/unchecked.tar.gz", BODY)
    assert transport(site, url) == "http"
    run = fetch(site, url, "require-checked-origin = true")
    assert run.code == 0, run.said
    assert len(site.origin.asked("/unchecked.tar.gz")) == 2
    assert run.reports("not in the network cache: 1 unchecked-origin"), run.report


def test_a_clock_far_off_publishes_nothing(site):
    """The node's clock is ahead of the server's by more than 5 minutes."""
    off = site.folder / "off"
    off.mkdir()
    (off / "sitecustomize.py").write_text(
        "import time\nreal = time.time\ntime.time = lambda: real() + 400\n"
    )
    url = site.origin.put("/clock.tar.gz", BODY)
    run = fetch(site, url, PYTHONPATH=f"{off}:{RECIPES}")
    assert run.code == 0, run.said
    assert site.entries(url) == []
    assert any("this clock is" in line for line in run.ours), run.said
    assert run.reports("not published: 1 clock"), run.report
