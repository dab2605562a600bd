"""Pages of a server, read as strictly as they are made; and servers with much to show."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from wire import SIGNATURE, TIMEOUT, ask, old, ours, post, put

from slapos.networkcache.digest import Digests
from slapos.networkcache.entry import Entry, Key

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
PAGES = ["/", "/search", "/traffic", "/accounts", "/upstreams", "/check"]
HOSTILE = (
    "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"
    "\u202e\u2066\x1b[2J\x00\r\n\u2028{{7*7}}&amp;"
)
"""What would end an attribute, begin an element, turn the writing, command a terminal."""
SIGNER = hashlib.sha256(b"somebody").hexdigest()

# -- a page, read strictly

ELEMENTS = {
    *("html", "head", "meta", "title", "link", "body", "a", "header", "nav", "div", "form"),
    *("label", "input", "button", "main", "section", "article", "footer", "h1", "h2", "p"),
    *(
        "small",
        "span",
        "bdi",
        "wbr",
        "time",
        "q",
        "em",
        "strong",
        "code",
        "pre",
        "ul",
        "ol",
    ),
    *("li", "dl", "dt", "dd", "figure", "figcaption", "details", "summary", "table"),
    *("thead", "tbody", "tr", "th", "td", "svg", "desc", "g", "path", "text", "rect"),
}
VOID = {"meta", "link", "input", "wbr"}
ATTRIBUTES = {
    *("lang", "charset", "name", "content", "rel", "href", "type", "class", "action", "id"),
    *("for", "placeholder", "value", "maxlength", "autocomplete", "autocapitalize"),
    *("spellcheck", "role", "aria-label", "aria-labelledby", "aria-current", "scope"),
    *("aria-hidden", "tabindex", "open", "datetime", "viewbox", "preserveaspectratio"),
    *("x", "y", "width", "height", "d"),
}
"""Neither a script nor a style among them."""


class Document(HTMLParser):
    """What a browser makes of a page, which must be well-formed and of known parts."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.links: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag in ELEMENTS, tag
        attributes = dict(attrs)
        assert len(attributes) == len(attrs)
        assert set(attributes) <= ATTRIBUTES, attributes
        self.elements.append((tag, attributes))
        self.links += [
            attributes[name] for name in ("href", "action") if name in attributes
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in ("rect", "path")
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def read(reply) -> Document:
    """The page of an answer, checked as every page must be."""
    headers = reply.headers
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    page = reply.body.decode()
    assert page.startswith("<!DOCTYPE html>\n")
    lines = page.replace("\n", "")
    assert all(character.isprintable() for character in lines)
    document = Document(page)
    check_accessible(document)
    return document


def check_accessible(document):
    assert document.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in (
        document.all("meta")
    )
    ids = [a["id"] for _, a in document.elements if "id" in a]
    assert len(ids) == len(set(ids))
    labelled = {name for a in document.all("label") for name in [a["for"]]}
    assert {a["id"] for a in document.all("input")} == labelled
    for _, attributes in document.elements:
        assert set(attributes.get("aria-labelledby", "").split()) <= set(ids)
    assert all(a["scope"] in ("col", "row") for a in document.all("th"))
    for attributes in document.all("svg"):
        assert "aria-hidden" in attributes or {"role", "aria-labelledby"} <= {*attributes}
    assert len(document.all("h1")) == len(document.all("main")) == 1


def page(server, target, headers=None, status=200) -> Document:
    reply = ask(server, "GET", target, None, {**HTML, **(headers or {})})
    assert reply.status == status, reply
    return read(reply)


def crawl(server, start="/"):
    """Every page and file that can be reached; each must answer."""
    found, wanted = {}, [start]
    while wanted:
        target = wanted.pop()
        if target in found:
            continue
        reply = ask(server, "GET", target, None, HTML)
        assert reply.status == 200, target
        found[target] = reply
        if reply.headers["Content-Type"].startswith("text/html"):
            links = [urljoin(target, link) for link in read(reply).links]
            assert all(urlsplit(link).netloc == "" for link in links)
            wanted += [link.partition("#")[0] for link in links]
    return found


def write(server, statement, *parameters):
    """In the database of a server that runs."""
    database = sqlite3.connect(server.root / "entries.sqlite", timeout=TIMEOUT)
    with database:
        database.execute(statement, parameters)
    database.close()


def put_entry(server, key, content, **members):
    post(server, content)
    entry = Entry.make(key, Digests.of([content]), 1_700_000_000, members, signer=SIGNER)
    assert put(server, key.text, [entry.text, SIGNATURE]).status == 201


# -- servers


URL = "https://example.com/data.bin"
RELEASE = "https://example.com/software.cfg"
REQUIREMENTS = {
    "machine": "x86_64", "bits": 64, "byte_order": "little", "cpu_level": 2,
    "libraries": {"libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.34"], "libz.so.1": []},
}  # fmt: skip
BUILD = {
    "software_url": RELEASE, "software_root": "/opt/slapgrid", "prefix": "/opt/slapgrid/x",
    "shared": [], "files": 3, "unpacked_size": 9, "manifest": 1, "archive": "tar.zst",
    "multiarch": "x86_64-linux-gnu", "os": ["debian", "12", "bookworm"],
}  # fmt: skip


def fill(server):
    """A file, a wheel and a release."""
    put_entry(server, Key.for_file(URL), b"file", url=URL)
    wheel = {"basename": "a-1.0-py3-none-any.whl", "name": "a", "version": "1.0"}
    wheel["url"] = f"https://example.com/{wheel['basename']}"
    put_entry(server, Key.for_distribution("a", "1.0"), b"wheel", **wheel)
    key = Key.for_release(RELEASE)
    put_entry(server, key, b"release", **BUILD, requirements=REQUIREMENTS)


def make_hostile(make_server):
    """A server in which every text is hostile that anybody may have put there."""
    urls = [f"http://127.0.0.1:9/{name}" for name in ("c", "d")]
    server = make_server("--upstream", *urls)
    digest = post(server, b"content")
    text = HOSTILE.replace("\x00", "")
    names = ("url", "basename", "name", "version", "repository", "machine", text)
    put(server, "pypi:h=1", ours("pypi:h=1", digest, **dict.fromkeys(names, HOSTILE)))
    put(server, "old", old(digest, **dict.fromkeys((*names, "file_name"), HOSTILE)))
    put(server, "old", [json.dumps({"sha512": digest, "format": 2, text: [text]}), ""])
    key = hashlib.md5(b"release").hexdigest()
    members = {**BUILD, "software_root": HOSTILE, "multiarch": HOSTILE, "os": [HOSTILE] * 3}
    put(server, key, old(digest, **members))
    put(server, "<b>\"'&{{7*7}}:>", ours("<b>\"'&{{7*7}}:>", digest, url=HOSTILE))
    write(server, "INSERT INTO held VALUES (?, 0, 1, 5000)", HOSTILE)
    write(server, "UPDATE entry SET account = ?", HOSTILE)
    write(
        server,
        "INSERT INTO upstream (name, state, since, until, pause, error)"
        " VALUES (?, 'lying', 1, 2, 3, ?)",
        urls[1],
        HOSTILE,
    )
    finding = {"key": HOSTILE, "what": HOSTILE}
    found = {"bad_count": 1, "bad": [finding], "missing": [], HOSTILE: 1}
    write(
        server,
        "INSERT INTO inspection (began, ended, found) VALUES (1, 2, ?)",
        json.dumps(found),
    )
    write(server, "INSERT INTO counter VALUES (?, 1)", f"refused:{HOSTILE}")
    return server
