"""The pages for people: what they show, to whom, and that nothing on them is more than
text. `test_server_browser` looks at them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from urllib.parse import quote, unquote, urlencode

import caches
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import (
    BUILD,
    HOSTILE,
    HTML,
    PAGES,
    RELEASE,
    REQUIREMENTS,
    SIGNER,
    URL,
    crawl,
    fill,
    make_hostile,
    page,
    put_entry,
    read,
    write,
)
from wire import Reply, ask, old, ours, pairs, post, put

from slapos.networkcache.digest import Digests
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.server.monitoring.statistics import Statistics
from slapos.networkcache.server.pages.rendering import Renderer
from slapos.networkcache.server.pages.views import Asked, Views
from slapos.networkcache.server.root import open_root
from slapos.networkcache.server.threads import Threads
from slapos.networkcache.storage import Stored

FAR = {"X-Forwarded-For": "192.0.2.1"}


@pytest.fixture(scope="module")
def filled(shared_server):
    fill(shared_server)
    return shared_server


@pytest.fixture(scope="module")
def hostile(make_shared_server):
    return make_hostile(make_shared_server)


# -- what is shown


def test_every_link_of_every_page_leads_somewhere(filled):
    found = crawl(filled)
    assert {*PAGES} <= found.keys() | {"/search"}
    kinds = {target.split("/")[1] for target in found}
    assert kinds >= {"entry", "shacache", "shadir", "style", "traffic", "search"}


def test_what_came_last_is_on_the_first_page(filled):
    text = page(filled, "/").text
    places = [text.index(title) for title in (RELEASE, "a-1.0-py3-none-any.whl", URL)]
    assert places == sorted(places)


def test_how_to_use_it_is_to_be_pasted(filled):
    text = page(filled, "/").text
    assert f"download-cache-url = {filled.url}/shacache\n" in text
    assert f"download-dir-url-list = {filled.url}/shadir\n" in text


@pytest.mark.parametrize("host", ["a b", 'x"<script>', "example.com/evil", "a" * 300, ""])
def test_a_host_that_is_none_is_not_repeated(filled, host):
    text = page(filled, "/", {"Host": host}).text
    assert "download-cache-url = http://cache.example.com/shacache\n" in text


def test_an_operator_says_where_it_is(make_server):
    server = make_server("--public-url", "https://cache.example.org/x/")
    text = page(server, "/", {"Host": "elsewhere.example.org"}).text
    assert "download-cache-url = https://cache.example.org/x/shacache\n" in text
    assert "elsewhere" not in text


def test_programs_are_greeted_in_a_line(filled):
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        reply = ask(filled, "GET", "/", None, headers)
        assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert reply.body.count(b"\n") == 1
    head = ask(filled, "HEAD", "/", None, HTML)
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) > 1000


@pytest.mark.parametrize(
    ("question", "key"),
    [
        (URL, Key.for_file(URL)),
        (f" {URL}#md5=00 ", Key.for_file(URL)),
        (RELEASE, Key.for_release(RELEASE)),
        ("a==1.0", Key.for_distribution("a", "1.0")),
        ("A == 1.0", Key.for_distribution("a", "1.0")),
        ("pypi:a=1.0", Key.for_distribution("a", "1.0")),
    ],
)
def test_search(filled, question, key):
    document = page(filled, "/search?" + urlencode({"q": question}))
    [link] = [link for link in document.links if link.startswith("/entry/")]
    assert unquote(link) == f"/entry/{key}"
    assert [a["value"] for a in document.all("input")] == [question.strip()]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("https://example.com/other", "Nothing is known of"),
        ("no key", "neither a URL"),
        ("x" * 5000, "neither a URL"),
        ("é", "neither a URL"),
        ("", "Look for"),
    ],
)
def test_search_in_vain(filled, question, words):
    assert words in page(filled, "/search?" + urlencode({"q": question})).text


@pytest.mark.parametrize(
    "query", ["", "?", "?q", "?q=%ff%00", "?" + "a=b&" * 50, "?q=a&q=b"]
)
def test_any_query_has_an_answer(filled, query):
    page(filled, f"/search{query}")


def test_an_entry_says_all_that_is_claimed(filled):
    document = page(filled, f"/entry/{Key.for_file(URL)}")
    for words in (URL, SIGNER, "4 B", "2023-11-14 22:13", "claimed, and not checked"):
        assert words in document.text
    digest = Digests.of([b"file"]).sha512.hex
    assert f"/shacache/{digest}" in document.links


def test_of_many_pairs_the_newest_are_shown(filled):
    digest = post(filled, b"many")
    for number in range(55):
        put(filled, "many", old(digest, number=f"pair {number}"))
    document = page(filled, "/entry/many")
    assert len(document.all("article")) == 50
    assert [f"pair {n}\n" in document.text for n in (4, 5, 54)] == [False, True, True]
    assert "5 more are not shown" in document.text


def test_a_release_says_for_which_hosts_it_is(filled):
    text = page(filled, f"/entry/{Key.for_release(RELEASE)}").text
    assert "x86_64, glibc 2.34, x86-64-v2, 1 more library" in text
    assert "libc.so.6 (GLIBC_2.2.5 GLIBC_2.34), libz.so.1" in text


@pytest.mark.parametrize("damaged", ["software_url", "os", "requirements"])
def test_a_release_that_is_damaged_is_shown(filled, damaged):
    key = Key(hashlib.md5(damaged.encode()).hexdigest())
    members = {**BUILD, "requirements": REQUIREMENTS, damaged: "damaged"}
    if damaged == "software_url":
        del members[damaged]
    if damaged == "requirements":
        put_entry(filled, key, b"damaged", **members)
    else:
        put(filled, key.text, old(post(filled, b"damaged"), **members))
    text = page(filled, f"/entry/{key}").text
    assert "/opt/slapgrid" in text
    assert "For hosts with" not in text


def test_downloads_are_counted(make_server):
    server = make_server()
    put_entry(server, Key.for_file(URL), b"file", url=URL)
    for _ in range(2):
        ask(server, "GET", f"/shacache/{Digests.of([b'file']).sha512}")
        assert pairs(server, Key.for_file(URL).text)
    server.stop()
    server.start()
    text = page(server, f"/entry/{Key.for_file(URL)}").text
    assert "downloaded 2 times" in text
    assert re.search("Looked up\\s*2 times", text)


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/entry/nothing:here", 404, "Nothing is known under nothing:here."),
        ("/entry/a%2Fb", 400, "Expected a key"),
        ("/entry/<script>", 404, "Nothing is known under <script>."),
        ("/entry/", 404, "There is no such page."),
        ("/entry", 404, "There is no such page."),
        ("/traffic/x", 404, "There is no such page."),
    ],
)
def test_what_is_not_there_is_said_on_a_page(filled, target, status, words):
    assert words in page(filled, target, status=status).text


def test_pages_are_only_read(filled):
    for target in PAGES:
        reply = ask(filled, "POST", target, b"")
        assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")


def test_the_style_is_the_same_for_ever(filled):
    [style] = [a["href"] for a in page(filled, "/").all("link") if a["rel"] == "stylesheet"]
    reply = ask(filled, "GET", style)
    assert reply.headers["Content-Type"] == "text/css; charset=utf-8"
    assert reply.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert hashlib.sha256(reply.body).hexdigest()[:16] in style
    assert ask(filled, "GET", style.replace("-", "-0")).status == 404
    assert ask(filled, "GET", "/style/../services.py").status == 404


# -- to whom


def shown_anywhere(server, key):
    """Whether the first page, a search or its own page has something of a key."""
    first = page(server, "/")
    found = page(server, "/search?" + urlencode({"q": key}))
    reply = ask(server, "GET", f"/entry/{key}", None, HTML)
    on_pages = [f"/entry/{quote(key)}" in document.links for document in (first, found)]
    return {*on_pages, reply.status == 200}


def test_what_shadir_hides_is_shown_nowhere(server):
    for content in (b"comes later", b"never comes"):
        digest = Digests.of([content]).sha512.hex
        assert put(server, content.split()[0].decode(), old(digest)).status == 201
    page(server, "/entry/comes", status=404)
    post(server, b"comes later")
    assert shown_anywhere(server, "comes") == {True}
    assert shown_anywhere(server, "never") == {False}


def test_secrets_of_urls_are_not_shown(server):
    digest = post(server, b"content")
    url = "https://me:hunter2@example.com/x?token=hunter2"
    put(server, "file-urlmd5:x", ours("file-urlmd5:x", digest, url=url, more={"a": [url]}))
    for target in ("/", "/entry/file-urlmd5:x", "/search?" + urlencode({"q": url})):
        assert "hunter2" not in page(server, target).text
    assert (
        "https://***@example.com/x?token=***" in page(server, "/entry/file-urlmd5:x").text
    )


def test_what_is_hostile_is_text(hostile):
    found = crawl(hostile)
    question = read(ask(hostile, "GET", "/search?" + urlencode({"q": HOSTILE}), None, HTML))
    entries = [target for target in found if target.startswith("/entry/")]
    assert len(entries) == 4
    # It is there, and nowhere as more than text: `read` knows all elements there may be.
    for target in ("/", "/accounts", "/upstreams", "/check", "/traffic", *entries):
        assert "<script>alert(1)</script>" in read(found[target]).text, target
    assert "\\u202e\\u2066\\x1b[2J" in question.text
    assert "{{7*7}}&amp;" in question.text


def test_names_are_shown_to_who_is_near(hostile):
    near = {target: page(hostile, target).text for target in PAGES}
    far = {target: page(hostile, target, FAR).text for target in PAGES}
    entry = [page(hostile, "/entry/old", headers).text for headers in (None, FAR)]
    assert "alert" in near["/accounts"]
    assert "alert" not in far["/accounts"]
    assert "http://127.0.0.1:9/d" in near["/upstreams"]
    assert not [text for text in far.values() if "http://127.0.0.1:9/" in text]
    assert "alert" in near["/check"]
    assert "What is wrong" not in far["/check"]
    assert ["Put by" in text for text in entry] == [True, False]
    assert "has been lying for" in near["/"]
    assert "has been lying for" in far["/"]


# -- how it is


def test_all_is_well_on_a_new_server(server):
    assert "What needs a look" not in page(server, "/").text
    assert "Nothing has been put here yet." in page(server, "/").text
    assert "Nothing yet" in page(server, "/traffic").text
    assert "None yet." in page(server, "/check").text
    assert "This cache has no upstream" in page(server, "/upstreams").text


def test_what_needs_a_look_is_on_the_first_page(make_server):
    urls = [f"http://127.0.0.1:9/{name}" for name in ("c", "d")]
    server = make_server("--upstream", *urls, "--upload-through")
    write(
        server,
        "INSERT INTO outgoing (key, entry, signature, since, tries, due)"
        " VALUES ('k', '{}', '', 1, 1, ?)",
        1 << 40,
    )
    found = json.dumps({"bad_count": 3, "missing_count": 0, "repaired": 1})
    write(server, "INSERT INTO inspection (began, ended, found) VALUES (1, 2, ?)", found)
    text = page(server, "/").text
    assert "1 entry could not go on upstream" in text
    assert "The last check found 2 contents wrong or missing." in text


def test_a_proximity_cache_shows_what_upstreams_have(make_server, near):
    caches.fill(near, b"far away", URL)
    source = near.source
    server = make_server("--upstream", source.cache_url, source.dir_url)
    key = Key.for_file(URL)
    assert shown_anywhere(server, key.text) == {False, True}  # not as put here
    text = page(server, f"/entry/{key}").text
    assert "Put by" in text
    assert "upstream 1" in text
    assert "not here" in text


# -- any entry

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
_TYPED = ["format", "size", "created", "expires", "signer", "url", "requirements"]
NAMES = st.sampled_from([*_TYPED, *BUILD, *REQUIREMENTS])
MEMBERS = st.dictionaries(NAMES | TEXT, VALUES, max_size=12)
KEYS = st.sampled_from(["0" * 32, "pypi:a=1", "file-urlmd5:x", "git-buildout-x", "other"])


@pytest.fixture(scope="module")
def show(tmp_path_factory):
    """Makes the page of a key under which there is a pair."""
    root = open_root(tmp_path_factory.mktemp("root"), make=True)
    threads, renderer = Threads(), Renderer()
    statistics = Statistics(root.database, root.folder)

    async def show(key, stored):
        async def look_up(keys):
            return {key: [stored]}

        views = Views(statistics, look_up, root.contents, root.catalogue, threads)
        asked = Asked(key.text, {}, "http://x", names=True, now=2e9)
        return renderer.page(await views.entry(asked), asked)

    yield lambda key, stored: asyncio.run(show(key, stored))
    threads.close()
    root.close()


@settings(deadline=None, max_examples=50)
@given(key=KEYS.map(Key.parse), first=MEMBERS, second=MEMBERS | st.just(BUILD))
def test_any_entry_makes_a_page(show, key, first, second):
    """All that a directory takes can be shown, and is nothing but text."""
    members = {**second, **first, "sha512": "0" * 128}
    answer = show(key, Stored(Pair(json.dumps(members), ""), "somebody"))
    read(Reply(answer.status, answer.headers, answer.body))
