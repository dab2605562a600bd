"""Recipes that call urllib themselves: what they fetch is published, and taken, and they
see no difference."""

from __future__ import annotations

from nodes import RECIPES, Node, part, stored

BODY = b"first line\nsecond line\n" * 3000
USE = """\
import urllib.request

url = options["url"]
with urllib.request.urlopen(url) as answer:
    body = answer.read()
    print("with:", answer.status, answer.code, answer.getcode(), answer.reason, answer.msg)
    print("headers:", answer.headers["content-length"], answer.info()["Content-Length"])
    print("header:", answer.getheader("Content-Length"), answer.getheader("X-No", "none"))
    print("url:", answer.geturl() == answer.url == url, answer.read(), answer.closed)
print("closed:", answer.closed)
request = urllib.request.Request(url, headers={"User-Agent": "a recipe"})
answer = urllib.request.urlopen(request, timeout=30)
print("pieces:", answer.read(3), answer.readline(), len(list(answer)))
answer.close()
path, headers = urllib.request.urlretrieve(url, place)
print("retrieved:", path == place, headers["Content-Length"])
print("same:", open(path, "rb").read() == body)
"""


def script(node: Node, text: str, **options: str) -> Node:
    """Give the node a part that runs `text`."""
    path = str(node.write("script.py", text))
    node.profile(part("a", "script", script=path, **options), buildout="parts = a")
    return node


def printed(run) -> list[str]:
    assert run.code == 0, run.said
    return run.stdout.partition("Installing a.\n")[2].splitlines()


def test_published_and_taken(site):
    """The script reads the same, whoever serves it."""
    url = site.origin.put("/used", BODY)
    bare = script(site.bare_node(), USE, url=url).buildout()
    first = script(site.node(signs=site.one), USE, url=url)
    run = first.networkcache()
    assert printed(run)[:8] == printed(bare)[:8]
    assert printed(run)[7] == "same: True"
    # The second and the third time it is in the local store.
    assert run.reports("from their origin: 1 file, "), run.report
    assert run.reports("published: 1 file, "), run.report
    (entry,) = site.entries(url)
    assert entry["transport"] == "http"
    assert stored(site.cache, BODY)

    site.origin.stop()
    second = script(site.node(), USE, url=url)
    run = second.networkcache()
    assert printed(run)[:8] == printed(bare)[:8]
    assert second.part("a") == BODY
    assert first.leftovers == second.leftovers == []


UNTOUCHED = """\
import urllib.request

url = options["url"]
for how in (
    {"method": "HEAD"},
    {"data": b"posted"},
    {"method": "POST"},
    {"method": "GET", "data": b"posted"},
    {"headers": {"Range": "bytes=0-3"}},
    {"headers": {"If-None-Match": '"tag"'}},
    {"headers": {"Authorization": "Basic abc"}},
    {"headers": {"Cookie": "a=b"}},
    {"headers": {"X-Api-Key": "abc"}},
    {"headers": {"Accept": "application/json"}},
):
    urllib.request.urlopen(urllib.request.Request(url, **how)).read()
urllib.request.urlopen(url, b"posted").read()
urllib.request.urlretrieve(url, place, data=b"posted")
"""


def test_what_is_not_for_everybody_passes(site):
    """No cache is asked, nothing is published."""
    url = site.origin.put("/untouched", BODY)
    run = script(site.node(signs=site.one), UNTOUCHED, url=url).networkcache()
    assert run.code == 0, run.said
    asked = site.origin.asked("/untouched")
    methods = ["HEAD", "POST", "POST", *["GET"] * 7, "POST", "POST"]
    assert [request.method for request in asked] == methods
    assert asked[4].headers["Range"] == "bytes=0-3"
    assert asked[5].headers["If-None-Match"] == '"tag"'
    assert asked[6].headers["Authorization"] == "Basic abc"
    assert site.entries(url) == []
    assert run.report == ["from the network cache: nothing, for nothing was fetched"]


IN_VAIN = """\
import urllib.error
import urllib.request

try:
    urllib.request.urlopen(options["url"])
except urllib.error.HTTPError as error:
    print("error:", error, error.code, error.read())
answer = urllib.request.urlopen(options["other"])
print("begun:", answer.read(5))
answer.close()
print("local:", urllib.request.urlopen("file://" + options["script"]).read(6))
"""


def test_what_is_not_whole_is_not_published(site):
    """An error, an answer that nobody read to its end, and what is no http at all."""
    url = site.origin.put("/error", "gone", status=410)
    other = site.origin.put("/begun", BODY)
    node = script(site.node(signs=site.one), IN_VAIN, url=url, other=other)
    run = node.networkcache()
    assert printed(run)[:3] == [
        "error: HTTP Error 410: Gone 410 b'gone'",
        "begun: b'first'",
        "local: b'import'",
    ]
    assert site.entries(url) == site.entries(other) == []
    assert run.reports("not published: 1 wrong-content"), run.report
    assert node.leftovers == []


def test_an_opener_that_was_installed_before(site):
    """It fetches what no cache has."""
    url = site.origin.put("/opener", BODY)
    folder = site.folder / "opener"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import urllib.request as r\n"
        "opener = r.build_opener()\n"
        "opener.addheaders = [('User-Agent', 'the site')]\n"
        "r.install_opener(opener)\n"
    )
    text = 'import urllib.request as r; r.urlretrieve(options["url"], place)'
    for signs in (site.one, None):
        node = script(site.node(signs=signs), text, url=url)
        run = node.networkcache(PYTHONPATH=f"{folder}:{RECIPES}")
        assert run.code == 0, run.said
        assert node.part("a") == BODY
    (asked,) = site.origin.asked("/opener")
    assert asked.headers["User-Agent"] == "the site"


def test_block_origin(site):
    url = site.origin.put("/blocked", BODY)
    text = 'import urllib.request as r; r.urlopen(options["url"])'
    run = script(site.node("block-origin = true"), text, url=url).networkcache()
    assert run.code == 1
    assert f"Error: {url} is not taken from the network cache (not-found" in run.said
    assert site.origin.requests == []


def test_what_another_seam_fetches_is_seen_once(site):
    url = site.origin.put("/once", BODY)
    node = site.node(signs=site.one)
    node.profile(part("a", "fetch", url=url), buildout="parts = a")
    run = node.networkcache()
    assert run.code == 0, run.said
    assert run.reports("from their origin: 1 file, "), run.report
    assert run.reports("published: 1 file, "), run.report
    assert run.misses == "1 not-found"


CUT = """\
import http.client, urllib.request

try:
    print("read:", len(urllib.request.urlopen(options["url"]).read()))
except http.client.IncompleteRead as error:
    print("cut:", len(error.partial))
open(place, "w").close()
"""


def test_a_cut_answer_raises_as_without_us(site):
    url = site.origin.put("/cut", b"x" * 100, announced=200)
    for node in (site.bare_node(), site.node(signs=site.one)):
        run = script(node, CUT, url=url).networkcache()
        assert "cut: 100" in printed(run)
    assert site.entries(url) == []


FORKED = """\
import os, sys, urllib.request

body = urllib.request.urlopen(options["url"]).read()
child = os.fork()
if child == 0:
    sys.exit(0)
os.waitpid(child, 0)
open(place, "wb").write(body)
"""


def test_a_forked_child_ends_nothing_of_the_run(site):
    url = site.origin.put("/forked", BODY)
    run = script(site.node(signs=site.one), FORKED, url=url).networkcache()
    assert run.code == 0, run.said
    assert run.said.count("published: 1 file,") == 1
    assert len(site.entries(url)) == 1
