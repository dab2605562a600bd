"""The package index on loopback that pip is told to ask: what it shows, and to whom."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import pytest
from caches import options_for
from origin import Origin, out_of_order

from slapos.networkcache.buildout.pip_index import PipIndex
from slapos.networkcache.buildout.pip_settings import PipSettings
from slapos.networkcache.buildout.run import Run
from slapos.networkcache.precedence import Place

WHEEL = b"a wheel"


@pytest.fixture
def origin() -> Iterator[Origin]:
    origin = Origin()
    origin.put("/files/needed-1.0-py3-none-any.whl", WHEEL)
    yield origin
    origin.stop()


@pytest.fixture
def make_index(near, tmp_path, monkeypatch):
    """Makes running indexes of a run with the options given."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made: list[tuple[PipIndex, Run]] = []

    def make(**options: str) -> PipIndex:
        section = options_for(near) | {n.replace("_", "-"): v for n, v in options.items()}
        run = Run({Place.CONFIG_FILE: section})
        index = PipIndex(run, PipSettings())
        made.append((index, run))
        return index.__enter__()

    yield make
    for index, run in made:
        index.__exit__()
        run.close()


def get(url: str, host: str | None = None) -> tuple[int, bytes]:
    """Ask for a URL, in the name of another `host` if there is one."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    connection.request("GET", address.path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def page_of(origin: Origin, text: str, path: str = "/simple/needed/") -> None:
    origin.put(path, text, type="text/html; charset=utf-8")


LINK = '<a href="../../files/needed-1.0-py3-none-any.whl#sha256=ab">needed</a>'


def links(index: PipIndex, url: str) -> list[str]:
    """The addresses of what a page links."""
    status, body = get(url)
    assert status == 200
    return [urljoin(url, href) for href in re.findall('href="([^"]*)"', body.decode())]


def test_page_and_file(make_index, origin):
    page_of(origin, LINK)
    index = make_index()
    url = index.url_for(origin.index)
    (link,) = links(index, f"{url}needed/")
    assert link.startswith(url.partition("/index/")[0] + "/file/")
    assert link.endswith("/needed-1.0-py3-none-any.whl#sha256=ab")
    assert get(link.partition("#")[0]) == (200, WHEEL)
    assert [asked.path for asked in origin.requests] == [
        "/simple/needed/",
        "/files/needed-1.0-py3-none-any.whl",
    ]


def test_what_pip_reads_of_a_link_is_kept(make_index, origin):
    page_of(
        origin,
        '<a href="a-1.0.zip" data-requires-python="&gt;=3.8" data-yanked="">a</a>'
        '<a href="b-1.0.zip" data-yanked="it is &quot;bad&quot;" class="x">b</a>'
        '<a href="file:///etc/passwd">c</a><a>d</a><a href="http://[">e</a>',
    )
    index = make_index()
    status, body = get(f"{index.url_for(origin.index)}needed/")
    found = re.findall(r'<a href="/[^"]*/file/([^"]*)"(.*)>(.*)</a>', body.decode())
    assert status == 200
    assert found == [
        ("0/a-1.0.zip", ' data-requires-python="&gt;=3.8" data-yanked=""', "a-1.0.zip"),
        ("1/b-1.0.zip", ' data-yanked="it is &quot;bad&quot;"', "b-1.0.zip"),
    ]


def test_a_page_with_a_base(make_index, origin):
    text = '<base href="/files/"><a href="needed-1.0-py3-none-any.whl">needed</a>'
    page_of(origin, text)
    index = make_index()
    (link,) = links(index, f"{index.url_for(origin.index)}needed/")
    assert get(link) == (200, WHEEL)


def test_a_page_that_is_configured_twice_is_asked_for_once(make_index, origin):
    page_of(origin, LINK)
    index = make_index()
    for url in (index.url_for(origin.index), index.url_for(origin.index.rstrip("/"))):
        assert links(index, f"{url}Needed/")
    assert len(origin.requests) == 1


def test_a_page_that_is_not_there(make_index, origin):
    index = make_index()
    assert get(f"{index.url_for(origin.index)}missing/")[0] == 404
    assert index.refused == {}


def test_a_file_that_is_configured_itself(make_index, origin):
    index = make_index()
    url = index.url_for(f"{origin.url}/files/needed-1.0-py3-none-any.whl")
    assert url.endswith("/needed-1.0-py3-none-any.whl")
    assert get(url) == (200, WHEEL)


def test_other_users_of_the_computer(make_index, origin):
    """Without the token, or in the name of another host, there is nothing; nor is
    anything that no page of this run had."""
    page_of(origin, LINK)
    index = make_index()
    url = index.url_for(origin.index)
    (link,) = links(index, f"{url}needed/")
    base, token = re.fullmatch(r"(http://[^/]*/)([^/]*)/index/0/", url).groups()
    assert len(token) >= 32
    origin.forget()
    for path in (
        f"{base}index/0/needed/",
        f"{base}{token[:-1]}/index/0/needed/",
        f"{base}x{token}/index/0/needed/",
        f"{base}{token}/",
        f"{base}{token}/index/1/needed/",
        f"{base}{token}/index/-1/needed/",
        f"{base}{token}/file/1/needed-1.0-py3-none-any.whl",
        f"{base}{token}/file/{origin.url}/files/needed-1.0-py3-none-any.whl",
        f"{base}{token}/other/0/needed/",
    ):
        assert get(path) == (404, b""), path
    for host in ("evil.test", f"localhost:{urlsplit(url).port}", "127.0.0.1"):
        assert get(f"{url}needed/", host) == (404, b""), host
        assert get(link.partition("#")[0], host) == (404, b""), host
    assert origin.requests == []


def test_two_runs_have_two_tokens(make_index, origin):
    first, second = (make_index().url_for(origin.index) for _ in range(2))
    assert first.split("/")[3] != second.split("/")[3]


def test_it_listens_on_loopback_only(make_index, origin):
    assert make_index().host.startswith("127.0.0.1:")


def test_block_origin(make_index, origin):
    """What no cache has is remembered, to be said at the end, and counted once."""
    page_of(origin, LINK)
    index = make_index(block_origin="true")
    page = f"{index.url_for(origin.index)}needed/"
    file = index.url_for(f"{origin.url}/files/needed-1.0-py3-none-any.whl")
    for _ in range(2):
        assert get(page)[0] == get(file)[0] == 404
    assert list(index.refused) == [
        f"{origin.index}needed/",
        f"{origin.url}/files/needed-1.0-py3-none-any.whl",
    ]
    assert origin.requests == []


def test_an_origin_that_cuts(make_index, origin):
    """pip must see that it was cut."""
    origin.put("/files/needed-1.0-py3-none-any.whl", WHEEL, announced=100)
    index = make_index()
    url = index.url_for(f"{origin.url}/files/needed-1.0-py3-none-any.whl")
    with pytest.raises(http.client.IncompleteRead):
        get(url)


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n"])
def test_an_origin_that_makes_no_sense(make_index, origin, answer, capfd):
    """pip tries a file again; it has nothing else to ask for."""
    index = make_index()
    page = f"{index.url_for(origin.index)}needed/"
    file = index.url_for(f"{origin.url}/files/needed-1.0-py3-none-any.whl")
    with out_of_order(origin, answer):
        assert get(page) == (404, b"")
        assert get(file) == (503, b"")
    assert capfd.readouterr() == ("", "")
