"""Index pages, and the 404s in their place: when they are published, and when the cache
serves them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from nodes import Node, asked_of, entries, make_egg, page_key, part, stored
from origin import Origin, out_of_order

from slapos.networkcache.buildout.pages import Page

MONTH = 30 * 24 * 3600


def add(site, name: str, version: str = "1.0") -> str:
    """Add a distribution to the index; the URL of its project's page."""
    site.origin.distribute(name, make_egg(site.folder, name, version))
    return f"{site.origin.index}{name}/"


def link_page(site, path: str, name: str) -> str:
    """A page of links to a distribution, for ``find-links``; its URL."""
    egg = make_egg(site.folder, name)
    file = site.origin.put(f"/files/{egg.name}", egg.read_bytes())
    return site.origin.put(path, f'<a href="{file}">here</a>', type="text/html")


def wants(node: Node, *names: str, pin: str = "", links: str = "") -> Node:
    """Give it a profile with eggs, whose version is pinned if `pin` is one."""
    pins = "".join(f"{name} = {pin}\n" for name in names) if pin else ""
    head = f"find-links = {links}\n" if links else ""
    node.profile(
        part("a", "egg", eggs=" ".join(names)),
        f"[versions]\n{pins}",
        buildout=f"parts = a\n{head}",
    )
    return node


def published(site, *names: str, **how) -> None:
    """A node has used these, and signed what it used."""
    run = wants(site.node(signs=site.one), *names, **how).networkcache()
    assert run.code == 0, run.said
    site.origin.forget()


def asked(origin: Origin) -> set[str]:
    return {request.path for request in origin.requests}


@pytest.fixture
def index() -> Iterator[Origin]:
    """An index whose page of all projects is so small that it may be asked for."""
    origin = Origin()
    text = '<a href="/simple/Odd_Name/">Odd_Name</a>'
    origin.put("/simple/", text, type="text/html")
    yield origin
    origin.stop()


def test_what_an_entry_says(site):
    page = add(site, "members")
    published(site, "members")
    (found,) = entries(site.cache, page_key(page))
    wanted = {
        "key": page_key(page),
        "url": page,
        "status": 200,
        "content_type": "text/html",
        "final_url": page,
        "requirement": "members",
        "transport": "http",
        "signer": site.one.fingerprint,
    }
    assert wanted.items() <= found.items()
    assert 0 < found["expires"] - found["created"] <= MONTH
    assert found["expires"] > time.time()
    assert stored(site.cache, site.origin.pages["/simple/members/"].body)


@pytest.mark.parametrize(
    ("status", "kind", "lasting"),
    [
        (200, "text/html", True),
        (200, "application/vnd.pypi.simple.v1+HTML; charset=utf-8", True),
        (200, "application/octet-stream", False),
        (404, "text/plain", True),
        (404, "", True),
        (203, "text/html", False),
        (410, "text/html", False),
        (503, "text/html", False),
    ],
)
def test_what_may_be_published(status, kind, lasting):
    assert Page("http://index.test/", status, kind, b"").lasting == lasting


def test_a_pinned_version_that_it_links(site):
    """Its origin is there, and is not asked."""
    add(site, "pinned")
    published(site, "pinned")
    node = wants(site.node(), "pinned", pin="1.0")
    run = node.networkcache()
    assert run.code == 0, run.said
    assert node.eggs == {"pinned"}
    assert asked(site.origin) == set()
    assert run.reports(f"from the network cache {site.cache.dir_url}: 2 files"), run.report


@pytest.mark.parametrize("pin", ["", "2.0"])
def test_a_page_may_have_changed(site, pin):
    """Nothing is pinned, or a version that the page does not link: the origin is asked,
    and its new page published."""
    name = f"changed{pin[:1]}"
    page = add(site, name)
    published(site, name)
    add(site, name, "2.0")
    node = wants(site.node(signs=site.two, believes=[site.one]), name, pin=pin)
    run = node.networkcache()
    assert run.code == 0, run.said
    assert list(node.place.glob(f"eggs/**/{name}-2.0-*"))
    assert f"/simple/{name}/" in asked(site.origin)
    assert {entry["signer"] for entry in entries(site.cache, page_key(page))} == {
        site.one.fingerprint,
        site.two.fingerprint,
    }
    assert stored(site.cache, site.origin.pages[f"/simple/{name}/"].body)


def test_an_origin_that_cannot_be_reached(site):
    """Then a page will do for whatever is wanted. Whether the origin is there is tried
    once, however many pages there are."""
    names = [f"unreachable{number}" for number in range(3)]
    for name in names:
        add(site, name)
    published(site, *names)
    node = wants(site.node(), *names)
    with out_of_order(site.origin) as connections:
        run = node.networkcache()
    assert run.code == 0, run.said
    assert node.eggs == set(names)
    assert len(connections) == 1


def test_nobody_has_the_page(site):
    """Neither cache nor origin: buildout asks and says what it always does."""
    with out_of_order(site.origin) as alone:
        wants(site.bare_node(), "nobody").buildout()
    with out_of_order(site.origin) as connections:
        run = wants(site.node(), "nobody").networkcache()
    assert len(connections) == len(alone)
    assert run.code == 1
    assert "Couldn't find index page for 'nobody'" in run.said
    assert "Couldn't find a distribution for 'nobody'" in run.said


def test_an_origin_in_trouble(site):
    """What it answers then is no page: not published, and not taken while a cache has
    one."""
    names = ["trouble", "troubled"]
    pages = [add(site, name) for name in names]
    published(site, *names)
    for name in names:
        site.origin.put(f"/simple/{name}/", "in trouble", status=503, type="text/html")
    node = wants(site.node(signs=site.two, believes=[site.one]), *names)
    run = node.networkcache()
    assert run.code == 0, run.said
    assert node.eggs == set(names)
    # Tried once.
    assert asked(site.origin) in ({"/simple/trouble/"}, {"/simple/troubled/"})
    assert [len(entries(site.cache, page_key(page))) for page in pages] == [1, 1]


def test_trouble_with_a_page_that_no_cache_has(site):
    """It is buildout's to say, and no reason not to ask for another page."""
    site.origin.put("/simple/broken/", "in trouble", status=500, type="text/html")
    links = link_page(site, "/broken-links/", "broken")
    add(site, "sound")
    node = wants(site.node(), "broken", "sound", pin="1.0", links=links)
    run = node.networkcache()
    assert run.code == 0, run.said
    assert node.eggs == {"broken", "sound"}


def test_a_404_is_content(site, index):
    """A project that is not in the index: a run that is repeated without the index hears
    the same."""
    name = "elsewhere"
    links = link_page(site, "/links-404/", name)

    def node_of_index(**how) -> Node:
        node = site.node(**how)
        node.index = index.index
        return wants(node, name, pin="1.0", links=links)

    def heard(run) -> list[str]:
        """Of the page that is not there; and not of the one of all projects."""
        lines = run.said.partition("Scanning")[0].splitlines()
        return [line for line in lines if "HTTP error" in line or "index page" in line]

    bare, first = node_of_index().buildout("-v"), node_of_index(signs=site.one)
    run = first.networkcache("-v")
    assert run.code == bare.code == 0, run.said
    (found,) = entries(site.cache, page_key(f"{index.index}{name}/"))
    assert (found["status"], found["requirement"]) == (404, name)
    assert stored(site.cache, b"there is no such page")
    assert heard(run) == heard(bare)

    site.origin.stop()
    index.stop()
    again = node_of_index()
    run = again.networkcache("-v")
    assert run.code == 0, run.said
    assert again.eggs == {name}
    assert heard(run) == heard(bare)
    assert len(heard(bare)) == 2
    assert run.reports("from their origin: 0 files"), run.report


def test_a_page_that_redirects(site):
    """Its links are relative to where it is."""
    egg = make_egg(site.folder, "moved")
    site.origin.put(f"/there/files/{egg.name}", egg.read_bytes())
    site.origin.put("/simple/moved/", "", location="/there/moved/")
    text = f'<a href="../files/{egg.name}">moved</a>'
    site.origin.put("/there/moved/", text, type="text/html")
    published(site, "moved")
    (found,) = entries(site.cache, page_key(f"{site.origin.index}moved/"))
    assert found["final_url"] == f"{site.origin.url}/there/moved/"
    node = wants(site.node(), "moved", pin="1.0")
    run = node.networkcache()
    assert run.code == 0, run.said
    assert node.eggs == {"moved"}
    assert asked(site.origin) == set()


def test_a_page_that_is_none(site):
    """It is handed on, as it is."""
    links = link_page(site, "/links-none/", "none")
    site.origin.put("/simple/none/", "<a>no page</a>", type="text/plain")
    node = wants(site.node(signs=site.one), "none", pin="1.0", links=links)
    run = node.networkcache("-v")
    assert run.code == 0, run.said
    assert len(site.origin.asked("/simple/none/")) == 1
    assert entries(site.cache, page_key(f"{site.origin.index}none/")) == []


def test_a_page_of_links(site):
    """It belongs to no project; it is asked for again as long as it is there."""
    name = "linked"
    links = link_page(site, "/links/", name)
    site.origin.put(f"/simple/{name}/", "<html></html>", type="text/html")
    published(site, name, links=links)
    (found,) = entries(site.cache, page_key(links))
    assert (found["requirement"], found["status"]) == ("", 200)

    node = wants(site.node(), name, pin="1.0", links=links)
    assert node.networkcache().code == 0
    assert len(site.origin.asked("/links/")) == 1

    site.origin.stop()
    node = wants(site.node(), name, pin="1.0", links=links)
    run = node.networkcache()
    assert run.code == 0, run.said
    assert node.eggs == {name}


def test_a_page_read_for_another_project(site):
    """Here it was read as one of links, for none."""
    page = add(site, "another")
    published(site, "another", links=page)
    (found,) = entries(site.cache, page_key(page))
    assert found["requirement"] == ""
    run = wants(site.node(), "another", pin="1.0").networkcache()
    assert run.code == 0, run.said
    assert asked(site.origin) == {"/simple/another/"}
    assert run.misses == "1 key-mismatch"


# -- the page of all projects


def test_the_root_page_is_asked_for_where_a_project_has_no_page(site, index):
    """As ever; but nobody keeps it."""
    egg = make_egg(site.folder, "odd_name")
    url = index.put(f"/files/{egg.name}", egg.read_bytes())
    index.put("/simple/Odd_Name/", f'<a href="{url}">here</a>', type="text/html")
    node = site.node(signs=site.one)
    node.index = index.index
    run = wants(node, "odd_name").networkcache()
    assert run.code == 0, run.said
    assert len(index.asked("/simple/")) == 1
    assert entries(site.cache, page_key(f"{index.url}/simple/Odd_Name/"))
    for root in (index.index, index.url + "/simple"):
        assert entries(site.cache, page_key(root)) == []
        # Nobody but the line before has asked.
        assert len(asked_of(site.cache, page_key(root))) == 1


def test_the_root_page_is_not_asked_for_where_all_is_found(site, index):
    """What is pinned was behind find-links."""
    index.put("/simple/", "", status=503)
    links = link_page(site, "/links-root/", "found")
    node = site.node()
    node.index = index.index
    run = wants(node, "found", pin="1.0", links=links).networkcache()
    assert run.code == 0, run.said
    assert {request.path for request in index.requests} == {"/simple/found/"}


def test_a_page_that_is_cut(site):
    """It fails as it does without us, rather than hide what came after."""
    add(site, "cutpage")
    path = "/simple/cutpage/"
    body = site.origin.pages[path].body
    url = site.origin.put(path, body, announced=len(body) + 9, type="text/html")
    codes = [
        wants(site.bare_node(), "cutpage").buildout().code,
        wants(site.node(signs=site.one), "cutpage").networkcache().code,
    ]
    assert codes == [1, 1]
    assert entries(site.cache, page_key(url)) == []
