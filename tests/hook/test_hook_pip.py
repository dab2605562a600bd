"""What pip fetches to build source distributions comes from the cache, and is published;
with whatever pip is configured to use."""

from __future__ import annotations

import http.server
import threading
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from nodes import (
    Node,
    entries,
    make_isolated_sdist,
    make_wheel,
    page_key,
    part,
    stored,
)
from origin import Origin

SECRET = "s3cr3t"
SAY_ENVIRONMENT = """\
import os
names = sorted(n for n in os.environ if n.startswith("PIP_") or n.lower() == "no_proxy")
print("environment:", [(name, os.environ[name]) for name in names])
"""


def isolated(node: Node) -> Node:
    """The same node, where pip builds in isolation, as it does by default."""
    node.environment["PIP_NO_BUILD_ISOLATION"] = ""
    return node


def wants(node: Node, name: str, *parts: str) -> Node:
    parts = (part("a", "egg", eggs=name), *parts)
    names = [text[1 : text.index("]")] for text in parts]
    head = f"parts = {' '.join(names)}"
    node.profile(*parts, f"[versions]\n{name} = 1.0", buildout=head)
    return node


def user_agents(origin: Origin, path: str) -> set[str]:
    """The first words of who asked for a path."""
    found = origin.asked(path)
    return {asked.headers.get("User-Agent", "").partition("/")[0] for asked in found}


@pytest.fixture
def project(site) -> str:
    """A project on the index, with the one that its build needs."""
    name = f"built{site.folder.name.partition('_')[2]}".replace("_", "")
    needed = f"{name}needed"
    site.origin.distribute(name, make_isolated_sdist(site.folder, name, needed))
    site.origin.distribute(needed, make_wheel(site.folder, needed))
    return name


def test_published_and_repeated(site, project):
    """The environment is as it was, before and after."""
    needed = f"{project}needed"
    script = site.folder / "say.py"
    script.write_text(SAY_ENVIRONMENT)
    say = [part(name, "script", script=str(script)) for name in ("before", "after")]
    first = isolated(site.node(signs=site.one))
    first.profile(
        say[0],
        part("a", "egg", eggs=project),
        say[1],
        f"[versions]\n{project} = 1.0",
        buildout="parts = before a after",
    )
    run = first.networkcache()
    assert run.code == 0, run.said
    assert first.eggs == {project}
    said = [line for line in run.stdout.splitlines() if line.startswith("environment:")]
    assert len(said) == 2
    assert said[0] == said[1]
    assert f"('PIP_INDEX_URL', '{site.origin.index}')" in said[0]

    wheel = site.folder / f"{needed}-1.0-py3-none-any.whl"
    (found,) = entries(site.cache, f"pypi:{needed}=1.0")
    assert found["basename"] == wheel.name
    assert stored(site.cache, wheel.read_bytes())
    (found,) = entries(site.cache, page_key(f"{site.origin.index}{needed}/"))
    assert found["requirement"] == needed
    assert user_agents(site.origin, f"/simple/{needed}/") == {"slapos.networkcache"}

    site.origin.stop()
    again = wants(isolated(site.node()), project)
    run = again.networkcache()
    assert run.code == 0, run.said
    assert again.eggs == {project}
    assert run.reports("from their origin: 0 files"), run.report


@pytest.fixture
def other() -> Iterator[Origin]:
    """Another origin than that of the package index."""
    origin = Origin()
    yield origin
    origin.stop()


def test_all_that_pip_is_configured_to_use(site, other):
    """A further index, a page of links and a file, in a file of configuration."""
    name = "configured"
    needed = ["fromindex", "frompage", "fromfile"]
    site.origin.distribute(name, make_isolated_sdist(site.folder, name, *needed))
    wheels = [make_wheel(site.folder, one) for one in needed]
    other.distribute(needed[0], wheels[0])
    files = [other.put(f"/files/{wheel.name}", wheel.read_bytes()) for wheel in wheels]
    page = other.put("/links/", f'<a href="{files[1]}">here</a>', type="text/html")
    node = wants(isolated(site.node(signs=site.one)), name)
    config = node.write(
        "pip.conf",
        f"[global]\nextra-index-url = {other.index}\n"
        f"[install]\nfind-links =\n  {page}\n  {files[2]}\n",
    )
    run = node.networkcache(PIP_CONFIG_FILE=str(config))
    assert run.code == 0, run.said
    assert node.eggs == {name}
    for one in needed:
        assert entries(site.cache, f"pypi:{one}=1.0"), one
    assert entries(site.cache, page_key(page))
    assert entries(site.cache, page_key(f"{other.index}fromindex/"))
    agents = {asked.headers["User-Agent"].partition("/")[0] for asked in other.requests}
    assert "pip" not in agents


def test_an_index_with_a_password_stays_with_pip(site, other):
    """Nobody else may have what is fetched with it."""
    name, needed = "secretly", "secretneeded"
    site.origin.distribute(name, make_isolated_sdist(site.folder, name, needed))
    wheel = make_wheel(site.folder, needed)
    other.distribute(needed, wheel)
    for page in other.pages.values():
        page.password = f"user:{SECRET}"
    index = other.index.replace("//", f"//user:{SECRET}@")
    node = wants(isolated(site.node(signs=site.one)), name)
    run = node.networkcache("-v", PIP_EXTRA_INDEX_URL=index)
    assert run.code == 0, run.said
    assert node.eggs == {name}
    assert entries(site.cache, f"pypi:{name}=1.0")
    assert user_agents(other, f"/simple/{needed}/") == {"pip"}
    assert user_agents(other, f"/files/{wheel.name}") == {"pip"}
    assert entries(site.cache, f"pypi:{needed}=1.0") == []
    assert not stored(site.cache, wheel.read_bytes())
    for url in (index, other.index):
        assert entries(site.cache, page_key(f"{url}{needed}/")) == []
    assert SECRET not in "\n".join(run.ours)


def test_block_origin(site, project):
    """What pip lacks is named, once; nobody is asked."""
    links = site.folder / "links"
    links.mkdir()
    sdist = make_isolated_sdist(links, project, f"{project}needed")
    node = isolated(site.node("block-origin = true"))
    node.profile(
        part("a", "egg", eggs=project),
        f"[versions]\n{project} = 1.0",
        buildout=f"parts = a\nfind-links = {sdist.parent}",
    )
    run = node.networkcache()
    assert run.code == 1
    assert site.origin.requests == []
    error = run.said.partition("Error: ")[2].partition("slapos.networkcache:")[0]
    assert error.count(f"{site.origin.index}{project}needed/") == 1, run.said
    assert "(not-found: " in error
    assert "block-origin = true its origin is not asked" in error
    assert run.reports("from their origin: 0 files, 0 B in 0.0 s, 1 not asked"), run.report


# -- proxies


class _Proxy(http.server.BaseHTTPRequestHandler):
    origin: Origin
    asked: list[str]

    def do_GET(self) -> None:
        """``index.test`` is a name that only the proxy knows."""
        self.asked.append(self.path)
        url = urlsplit(self.path)
        there = self.path.replace("http://index.test", self.origin.url)
        if url.hostname not in ("index.test", "127.0.0.1"):
            self.send_error(502)
            return
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            answer = direct.open(there)
        except urllib.error.HTTPError as error:
            answer = error
        body = answer.read().replace(self.origin.url.encode(), b"http://index.test")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy(other: Origin) -> Iterator[tuple[str, list[str]]]:
    """Its address, and the URLs that it was asked for."""
    handler = type("Handler", (_Proxy,), {"origin": other, "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler.asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("where", ["environment", "pip.conf"])
def test_a_proxy(site, other, proxy, where):
    """Whoever asks an origin goes by the proxy; pip does not ask it for our index."""
    address, asked = proxy
    name = f"proxied{where.partition('.')[0]}"
    needed = f"{name}needed"
    site.origin.distribute(name, make_isolated_sdist(site.folder, name, needed))
    other.distribute(needed, make_wheel(site.folder, needed))
    node = wants(isolated(site.node(signs=site.one)), name)
    if where == "pip.conf":
        text = f"[global]\nproxy = {address}\nextra-index-url = http://index.test/simple/\n"
        node.environment["PIP_CONFIG_FILE"] = str(node.write("pip.conf", text))
    else:
        # The cache is reached without it.
        node.configure(
            *(
                line.replace("//127.0.0.1", "//localhost")
                for line in site.options(signs=site.one)
            )
        )
        node.environment |= {"HTTP_PROXY": address, "NO_PROXY": "localhost"}
        node.environment["PIP_EXTRA_INDEX_URL"] = "http://index.test/simple/"
    run = node.networkcache()
    assert run.code == 0, run.said
    assert node.eggs == {name}
    wheel = f"http://index.test/files/{needed}-1.0-py3-none-any.whl"
    assert asked.count(f"http://index.test/simple/{needed}/") == 1
    assert asked.count(wheel) == 1
    assert not [url for url in asked if "/index/" in url or "/file/" in url]
    (found,) = entries(site.cache, f"pypi:{needed}=1.0")
    assert found["url"] == wheel


def test_what_needs_no_build_needs_no_pip(site):
    """Nor is pip asked what it is configured to use."""
    wheel = make_wheel(site.folder, "ready")
    site.origin.distribute("ready", wheel)
    node = wants(isolated(site.node()), "ready")
    broken = node.write("pip.conf", "this is no configuration")
    run = node.networkcache(PIP_CONFIG_FILE=str(broken))
    assert not [line for line in run.ours if "pip does not ask" in line], run.said
