"""A secret in a URL, and what is fetched with a password, reaches no cache and no log."""

from __future__ import annotations

import base64

import pytest
from nodes import RECIPES, asked_of, entries, file_key, make_wheel, part, stored

SECRET = "s3cr3t"


def fetching(node, url: str, **options: str):
    node.profile(part("a", "fetch", url=url, **options), buildout="parts = a")
    return node


def said_by_us(run) -> str:
    return "\n".join(run.ours)


@pytest.mark.parametrize(
    "query", ["token={}", "a=b&X-Amz-Signature={}", "API_KEY={}", "%74oken={}"]
)
def test_secret_in_the_query(site, query):
    path = "/secret.tar.gz?" + query.format(SECRET)
    body = b"secret" + query.encode()
    url = site.origin.put(path, body)
    node = fetching(site.node(signs=site.one), url)
    run = node.networkcache("-v")
    assert run.code == 0, run.said
    assert node.part("a") == body
    assert asked_of(site.cache, file_key(url)) == []
    assert not stored(site.cache, body)
    assert SECRET not in said_by_us(run)
    assert "***" in said_by_us(run)
    assert run.reports("not in the network cache: 1 secret-url"), run.report
    assert run.reports("not published: 1 secret-url"), run.report


def test_secret_in_the_query_of_a_distribution(site):
    wheel = make_wheel(site.folder, "secretwheel")
    (url,) = site.origin.distribute("secretwheel", wheel)
    plain, _, fragment = url.partition("#")
    secret = f"{plain}?token={SECRET}#{fragment}"
    site.origin.put(f"/files/{wheel.name}?token={SECRET}", wheel.read_bytes())
    page = f'<a href="{secret}">{wheel.name}</a>'
    site.origin.put("/simple/secretwheel/", page, type="text/html")
    node = site.node(signs=site.one)
    node.profile(
        part("a", "egg", eggs="secretwheel"),
        "[versions]\nsecretwheel = 1.0",
        buildout="parts = a",
    )
    run = node.networkcache("-v")
    assert run.code == 0, run.said
    assert entries(site.cache, "pypi:secretwheel=1.0") == []
    assert SECRET not in said_by_us(run)
    assert run.reports("not published: 1 secret-url"), run.report


def test_user_and_password_in_the_url(site):
    """Urllib cannot ask for such a URL; the package index can."""
    wheel = make_wheel(site.folder, "userwheel")
    site.origin.distribute("userwheel", wheel)
    site.origin.put(f"/files/{wheel.name}", wheel.read_bytes(), password=f"user:{SECRET}")
    address = site.origin.url.replace("//", f"//user:{SECRET}@")
    page = f'<a href="{address}/files/{wheel.name}">{wheel.name}</a>'
    site.origin.put("/simple/userwheel/", page, type="text/html")
    node = site.node(signs=site.one)
    node.profile(
        part("a", "egg", eggs="userwheel"),
        "[versions]\nuserwheel = 1.0",
        buildout="parts = a",
    )
    run = node.networkcache("-v")
    assert run.code == 0, run.said
    assert asked_of(site.cache, "userwheel") == []
    assert SECRET not in said_by_us(run)

    url = f"{address}/files/{wheel.name}"
    run = fetching(site.node(signs=site.one), url).networkcache()
    assert run.code == 1
    assert SECRET not in said_by_us(run)
    assert asked_of(site.cache, file_key(url)) == []


def test_pypirc(site):
    """The password stands beside the profile, so the URL alone looks harmless."""
    name = "pypircwheel"
    wheel = make_wheel(site.folder, name)
    site.origin.distribute(name, wheel)
    path = f"/files/{wheel.name}"
    site.origin.put(path, wheel.read_bytes(), password=f"user:{SECRET}")
    node = site.node(signs=site.one)
    node.write(
        "home/.pypirc",
        f"[private]\nrepository = {site.origin.url}/files/\n"
        f"username = user\npassword = {SECRET}\n",
    )
    node.profile(
        part("a", "egg", eggs=name), f"[versions]\n{name} = 1.0", buildout="parts = a"
    )
    run = node.networkcache()
    assert run.code == 0, run.said
    sent = site.origin.asked(path)[0].headers["Authorization"]
    assert base64.b64decode(sent.split()[1]) == f"user:{SECRET}".encode()
    assert asked_of(site.cache, name) == []
    assert "1 secret-url" in run.misses, run.report
    assert run.reports("not published: 1 secret-url"), run.report


@pytest.mark.parametrize("moved", [False, True])
def test_authorization_of_an_installed_opener(site, moved):
    """A recipe, or a site, that gives urllib a password."""
    url = site.origin.put("/opener.tar.gz", b"opener", password=f"user:{SECRET}")
    if moved:
        url = site.origin.put("/moved.tar.gz", b"", location=url, status=302)
    folder = site.folder / "opener"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import urllib.request as r\n"
        "passwords = r.HTTPPasswordMgrWithDefaultRealm()\n"
        f"passwords.add_password(None, {site.origin.url!r}, 'user', {SECRET!r})\n"
        "r.install_opener(r.build_opener(r.HTTPBasicAuthHandler(passwords)))\n"
    )
    node = fetching(site.node(signs=site.one), url)
    run = node.networkcache(PYTHONPATH=f"{folder}:{RECIPES}")
    assert run.code == 0, run.said
    assert node.part("a") == b"opener"
    assert site.entries(url) == []
    assert run.reports("not published: 1 secret-url"), run.report


def test_netrc_reaches_nobody(site):
    """Neither the cache nor the origin: zc.buildout knows no netrc, nor do we."""
    url = site.origin.put("/netrc.tar.gz", b"netrc")
    node = fetching(site.node(signs=site.one), url)
    netrc = node.write("home/.netrc", f"machine 127.0.0.1\nlogin user\npassword {SECRET}\n")
    netrc.chmod(0o600)
    run = node.networkcache()
    assert run.code == 0, run.said
    assert len(site.entries(url)) == 1
    asked = site.origin.asked("/netrc.tar.gz")
    assert [request.headers.get("Authorization") for request in asked] == [None]


def test_netrc_is_not_sent_to_the_cache(site):
    """An origin in place of the cache sees all that the client sends."""
    url = site.origin.put("/seen.tar.gz", b"seen")
    node = site.bare_node()
    node.configure(
        f"download-cache-url = {site.origin.url}/shacache",
        f"download-dir-url = {site.origin.url}/shadir",
    )
    netrc = node.write("home/.netrc", f"machine 127.0.0.1\nlogin user\npassword {SECRET}\n")
    netrc.chmod(0o600)
    run = fetching(node, url).networkcache()
    assert run.code == 0, run.said
    asked = [r for r in site.origin.requests if r.path.startswith("/shadir/")]
    assert len(asked) == 2  # for the record of a run, and for the file
    assert not any("Authorization" in request.headers for request in asked)
