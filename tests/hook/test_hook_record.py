"""The record of a run: one request tells the next node what to ask for, and it harms
nobody, whoever wrote it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from itertools import count

import pytest
from nodes import Node, Publisher, Run, entries, make_wheel, part

from slapos.networkcache.certificates import Signer
from slapos.networkcache.digest import Digest, Digests
from slapos.networkcache.entry import Entry, Key, Pair
from slapos.networkcache.members import members_of_file, members_of_run
from slapos.networkcache.record import KEYS_LIMIT, Used, decode_record, encode_record
from slapos.networkcache.storage import Stored
from slapos.networkcache.testing import faults

BATCH, CONTENT = "POST /shadir", "GET /shacache/"
DAY = 24 * 3600
FILES = ("one", "two", "three")
_numbers = count()


class Project:
    """A profile by URL that fetches three files and installs an egg."""

    def __init__(self, site):
        self.site = site
        self.name = f"recorded{next(_numbers)}"
        self.files = {f"/{file}.tar.gz": file.encode() * 999 for file in FILES}
        self.urls = [site.origin.put(path, body) for path, body in self.files.items()]
        site.origin.distribute(self.name, make_wheel(site.folder, self.name))
        self.url = site.origin.put("/software.cfg", self.text())
        self.key = Key.for_run(self.url)

    def text(self, *more: str) -> str:
        """The profile; `more` are URLs to fetch besides."""
        urls = [*self.urls, *more]
        parts = [part(f"f{n}", "fetch", url=url) for n, url in enumerate(urls)]
        names = " ".join(f"f{n}" for n in range(len(urls)))
        node = self.site.bare_node()
        node.profile(
            *parts,
            part("egg", "egg", eggs=self.name),
            f"[versions]\n{self.name} = 1.0",
            buildout=f"parts = {names} egg",
        )
        return (node.place / "buildout.cfg").read_text()

    @property
    def wheel_key(self) -> Key:
        return Key.for_distribution(self.name, "1.0")

    @property
    def keys(self) -> set[Key]:
        """What a run uses."""
        page = Key.for_page(f"{self.site.origin.index}{self.name}/")
        return {*map(Key.for_file, [self.url, *self.urls]), page, self.wheel_key}

    def build(self, *options: str, **how) -> tuple[Node, Run]:
        """A new node installs it, and is asserted to have all of it; what the cache and
        the origin are asked is counted anew."""
        node = self.site.node(*options, **how)
        self.site.origin.forget()
        self.site.cache.requests.clear()
        run = self.run(node)
        assert run.code == 0, run.said
        for n, body in enumerate(self.files.values()):
            assert node.part(f"f{n}") == body
        assert self.name in node.eggs
        assert "Traceback" not in run.said
        return node, run

    def run(self, node: Node, *before: str) -> Run:
        directory = f"buildout:directory={node.place}"
        return node.networkcache(*before, "-c", self.url, directory)

    def publish(self) -> None:
        self.build(signs=self.site.one)

    def records(self, key: Key | None = None) -> list[dict]:
        """The entries of its records, latest put first."""
        return entries(self.site.cache, (key or self.key).text)

    def record(self) -> list[Used]:
        """What the latest record says."""
        digest = Digest(self.records()[0]["sha512"])
        return decode_record(b"".join(self.site.cache.contents.open(digest).pieces()))

    def forge(self, content: bytes, **how) -> Digest:
        """Put something in the place of a record; see `put`."""
        expires = int(time.time()) + DAY
        put(self.site, self.key, content, members_of_run(self.url), expires, **how)
        return Digest.of(content)


@pytest.fixture
def project(observed) -> Project:
    return Project(observed)


def put(
    site,
    key: Key,
    content: bytes,
    members,
    expires: int | None = None,
    *,
    signer: Publisher | None = None,
    size: int | None = None,
    at: Key | None = None,
    created: int | None = None,
) -> None:
    """Put a content, and an entry for it signed by `signer`, by default the one whom
    nodes believe; `size` is what it says of its size, `at` another key to put it under.
    It is newer than what runs have put."""
    site.cache.contents.put([content])
    signer = Signer.parse((signer or site.one).key.read_bytes())
    digests = Digests.of([content])
    if size is not None:
        digests = Digests(size, digests.sha512, digests.sha256, digests.md5)
    entry = Entry.make(
        key, digests, created or int(time.time()) + 60, members, expires=expires,
        signer=signer.fingerprint,
    )  # fmt: skip
    pair = Pair(entry.text, signer.sign(entry.text))
    site.cache.entries.put(at or key, Stored(pair))


def put_file(site, url: str, content: bytes, **how) -> Used:
    """The same for a file; as a record names it."""
    key = Key.for_file(url)
    put(site, key, content, members_of_file(url, checked=True), **how)
    return Used(key, Digest.of(content), how.get("size") or len(content))


def asked(site) -> list[str]:
    return [str(request) for request in site.cache.requests]


def contents_asked(site) -> list[str]:
    contents = (one for one in asked(site) if one.startswith(CONTENT))
    return [one.removeprefix(CONTENT).partition("?")[0] for one in contents]


# Published


def test_published_at_the_end(project):
    site = project.site
    site.cache.plan(faults.drip(300), "POST /shacache", times=1)
    _, run = project.build(signs=site.one)
    (entry,) = project.records()
    assert entry["profile"] == project.url
    assert entry["signer"] == site.one.fingerprint
    assert entry["expires"] - entry["created"] <= 30 * DAY
    content = b"".join(site.cache.contents.open(Digest(entry["sha512"])).pieces())
    assert b"//" not in content
    assert b"tar.gz" not in content
    used = decode_record(content)
    assert {one.key for one in used} == project.keys
    assert all(site.cache.contents.size(one.digest) == one.size for one in used)
    assert all(one.milliseconds is not None for one in used)
    # In the order of use, though the first one was sent last.
    assert [u.key for u in used if u.key != project.wheel_key][:4] == [
        Key.for_file(url) for url in [project.url, *project.urls]
    ]
    puts = [one for one in asked(site) if one.startswith("PUT /shadir")]
    assert puts[-1] == f"PUT /shadir/{project.key}"
    # The record is none of the files of the run.
    assert run.reports("published: 6 files"), run.report


def test_a_run_that_fails_puts_none(observed):
    url = observed.origin.put("/fails.tar.gz", b"fails")
    node = observed.node(signs=observed.one)
    node.profile(part("a", "fetch", url=url), part("b", "fail"), buildout="parts = a b")
    assert node.networkcache().code == 1
    assert len(observed.entries(url)) == 1
    assert not any(one.startswith("PUT /shadir/buildout-run") for one in asked(observed))


def test_a_node_that_does_not_publish_puts_none(project):
    project.build()
    assert project.records() == []


def test_a_run_that_fetches_nothing_puts_none(observed):
    node = observed.node(signs=observed.one)
    node.profile(buildout="parts =")
    assert node.networkcache().code == 0
    assert asked(observed) == []


def test_a_local_profile_is_named_by_its_digest(observed):
    url = observed.origin.put("/local.tar.gz", b"local")
    keys = []
    for number in range(2):
        node = observed.node(signs=observed.one if number == 0 else None)
        cfg = node.profile(part("a", "fetch", url=url), buildout="parts = a")
        sha256 = hashlib.sha256(cfg.read_bytes()).hexdigest()
        keys.append(f"buildout-run:{sha256}")
        observed.cache.requests.clear()
        run = node.networkcache()
        assert run.code == 0, run.said
    assert keys[0] == keys[1]
    (entry,) = entries(observed.cache, keys[0])
    assert entry["profile"] == sha256
    body = Digest.of(b"local")
    assert contents_asked(observed) == [entry["sha512"], body.hex]


def test_a_secret_in_the_url_of_the_profile(project):
    path = "/software.cfg?token=s3cr3t"
    project.url = project.site.origin.put(path, project.text())
    project.publish()
    (_,) = entries(project.site.cache, Key.for_file(project.urls[0]).text)
    assert not any("buildout-run" in one for one in asked(project.site))
    assert project.records(Key.for_run(project.url)) == []
    project.build()
    # What it will fetch, and what it pins: nothing is asked about the run.
    assert asked(project.site).count(BATCH) == 2


# Followed


def test_three_exchanges_before_contents_flow(project):
    """The record's key, the record, all keys: then the contents, and no other request."""
    project.publish()
    digests = {one.digest.hex for one in project.record()}
    record = project.records()[0]["sha512"]
    node, run = project.build()
    first, second, third, *others = asked(project.site)
    assert [first, second, third] == [BATCH, CONTENT + record, BATCH]
    assert sorted(others) == sorted(CONTENT + digest for digest in digests)
    assert project.site.origin.requests == []
    assert run.reports(f"from the network cache {project.site.cache.source}: 6 files")
    assert node.leftovers == []


def test_contents_come_ahead_of_who_asks_for_them(project):
    """While the first file is still on its way, others come."""
    project.publish()
    first = project.record()[0].digest
    project.site.cache.plan(faults.drip(2000), f"{CONTENT}{first}", times=1)
    project.build()
    connections = {
        request.path.rpartition("/")[2]: request.connection
        for request in project.site.cache.requests
        if str(request).startswith(CONTENT)
    }
    assert len(set(connections.values())) > 2


def test_a_profile_that_changed_since(project):
    """What is new in it is asked for too, in one batch."""
    project.publish()
    site = project.site
    url = site.origin.put("/new.tar.gz", b"new")
    put_file(site, url, b"new")
    text = project.text(url)
    site.origin.put("/software.cfg", text)
    put_file(site, project.url, text.encode())
    node, _ = project.build()
    assert node.part("f3") == b"new"
    assert site.origin.requests == []
    requests = asked(site)
    assert requests.count(BATCH) == 3
    assert not any(one.startswith("GET /shadir") for one in requests)


def test_without_a_record_what_the_profile_names_is_asked_in_batches(observed):
    """Local, so that all is known before the first request."""
    project = Project(observed)
    project.publish()
    node = observed.node()
    node.write("buildout/buildout.cfg", project.text())
    observed.cache.requests.clear()
    observed.origin.forget()
    run = node.networkcache()
    assert run.code == 0, run.said
    requests = asked(observed)
    assert requests[:2] == [BATCH, BATCH]  # what it will fetch; what it pins
    assert all(one.startswith(CONTENT) for one in requests[2:])
    assert len(requests) == 2 + 5
    assert observed.origin.requests == []


def test_what_a_hit_saves_is_in_the_record(project):
    project.publish()
    used = [
        Used(one.key, one.digest, one.size, 60_000 if one.key == project.wheel_key else 0)
        for one in project.record()
    ]
    project.forge(encode_record(used))
    file = project.site.folder / "report.json"
    node = project.site.node()
    run = project.run(node, "--networkcache-report", str(file))
    assert run.code == 0, run.said
    assert 50 < json.loads(file.read_text())["saved"] <= 60
    saved = [line for line in run.report if "which saved" in line]
    assert len(saved) == 1, run.report


# Kept fresh


def test_a_publisher_that_took_all_from_the_cache_puts_no_other(project):
    project.publish()
    before = project.record()
    _, run = project.build(signs=project.site.one)
    assert len(project.records()) == 1
    assert not any(one.startswith("PUT ") for one in asked(project.site))
    assert run.reports("published: 0 files"), run.report
    assert project.record() == before


@pytest.mark.parametrize(("left", "puts"), [("20 d", 1), ("12 d", 2)])
def test_a_record_is_put_anew_when_half_its_life_is_over(project, left, puts):
    project.build(f"entry-expires = {left}", signs=project.site.one)
    project.build(signs=project.site.one)
    records = project.records()
    assert len(records) == puts
    assert len({record["sha512"] for record in records}) == 1
    project.build(signs=project.site.one)
    assert len(project.records()) == puts


def test_another_publisher_puts_its_own(project):
    site = project.site
    both = [site.one, site.two]
    project.build(signs=site.one, believes=both)
    project.build(signs=site.two, believes=both)
    assert {r["signer"] for r in project.records()} == {p.fingerprint for p in both}


# Not believed, or harmful


def check_not_followed(project: Project, record: Digest) -> None:
    """The run does without; the only batches are of what the profile is known to need."""
    _, run = project.build()
    assert record.hex not in contents_asked(project.site)
    assert not any("record" in line for line in run.ours), run.said


def stranger(project: Project) -> Used:
    """What no profile here needs, but anybody may have."""
    url = project.site.origin.url + "/stranger.tar.gz"
    return put_file(project.site, url, b"stranger" * 500)


def test_a_wrong_signer(project):
    record = project.forge(encode_record([stranger(project)]), signer=project.site.two)
    check_not_followed(project, record)


def test_expired(project):
    content = encode_record([stranger(project)])
    then = int(time.time()) - 10
    members = members_of_run(project.url)
    put(project.site, project.key, content, members, then, created=then - DAY)
    check_not_followed(project, Digest.of(content))


@pytest.mark.parametrize("days", [None, 31])
def test_one_that_lasts_too_long(project, days):
    content = encode_record([stranger(project)])
    expires = None if days is None else int(time.time()) + 100 + days * DAY
    put(project.site, project.key, content, members_of_run(project.url), expires)
    check_not_followed(project, Digest.of(content))


def test_for_another_profile(project):
    content = encode_record([stranger(project)])
    other = project.site.origin.url + "/other.cfg"
    expires = int(time.time()) + DAY
    how = {"expires": expires, "at": project.key}
    put(project.site, Key.for_run(other), content, members_of_run(other), **how)
    put(project.site, project.key, content, members_of_run(other), **how)
    check_not_followed(project, Digest.of(content))


def test_too_long(project):
    """It says so itself, and is not even asked for."""
    record = project.forge(encode_record([stranger(project)]), size=1 << 40)
    check_not_followed(project, record)


NOT_RECORDS = {
    "no json": b"this is none",
    "text": b'{"format": 1, "used": "abc"}',
    "items": b'{"format": 1, "used": [1]}',
    "format": b'{"format": 2, "used": []}',
    "nested": b"[" * 100_000,
    "key": b'{"format": 1, "used": [{"key": "../x", "sha512": "%s", "size": 1}]}'
    % (b"0" * 128),
    "empty": b'{"format": 1, "used": []}',
}


@pytest.mark.parametrize("content", NOT_RECORDS.values(), ids=list(NOT_RECORDS))
def test_what_is_no_record(project, content):
    record = project.forge(content)
    _, run = project.build()
    assert record.hex in contents_asked(project.site)
    said = [line for line in run.ours if line.startswith("the record of an earlier run")]
    assert len(said) == (b"used" not in content or b"[]" not in content or b"2" in content)
    assert run.reports("from their origin: 6 files"), run.report


def test_one_that_is_nowhere(project):
    record = project.forge(b"gone")
    project.site.cache.contents.delete(record)
    _, run = project.build()
    assert run.reports("from their origin: 6 files"), run.report


def test_wrong_bytes_for_it(project):
    """As any source that lies: it is left alone."""
    project.publish()
    record = project.records()[0]["sha512"]
    project.site.cache.plan(faults.wrong, CONTENT + record)
    _, run = project.build()
    assert contents_asked(project.site) == [record] * 2  # once more, past any mirror
    assert run.reports("from their origin: 6 files"), run.report
    assert run.reports("not in the network cache: 6 left-alone"), run.report


def test_foreign_keys_are_only_asked_for(project):
    """What is believed of them comes, and is used by nobody; the others do not come."""
    project.publish()
    site = project.site
    known = stranger(project)
    unsigned = put_file(site, "http://example.com/1", b"1" * 99, signer=site.two)
    other_size = put_file(site, "http://example.com/2", b"2" * 99)
    nobody = Used(Key.for_file("http://example.com/3"), Digest.of(b"3"), 1)
    odd = [
        Used(Key("unknown-kind"), known.digest, known.size),
        Used(project.key, known.digest, known.size),
        Used(other_size.key, other_size.digest, 98),
        Used(known.key, Digest.of(b"another"), 7),
    ]
    record = project.forge(
        encode_record([known, unsigned, nobody, *odd, *project.record()])
    )
    _, run = project.build()
    asked_for = contents_asked(site)
    assert asked_for[0] == record.hex
    assert asked_for.count(known.digest.hex) == 1
    for used in (unsigned, other_size, nobody):
        assert used.digest.hex not in asked_for
    assert asked(site).count(BATCH) == 2
    assert run.reports(f"from the network cache {site.cache.source}: 6 files"), run.report
    assert site.origin.requests == []


def many(number: int) -> Iterable[Used]:
    return (Used(Key(f"pypi:many={n}"), Digest.of(b"many"), 4) for n in range(number))


def test_of_millions_of_keys_five_thousand_are_asked(project):
    used = json.loads(encode_record(many(10)))["used"]
    short = b'{"key":"k%d","sha512":"' + used[0]["sha512"].encode() + b'","size":1}'
    items = b",".join(short % n for n in range(20_000))
    record = project.forge(b'{"format":1,"used":[' + items + b"]}")
    _, run = project.build()
    assert contents_asked(project.site)[0] == record.hex
    batches = [r.size for r in project.site.cache.requests if str(r) == BATCH]
    assert len([size for size in batches if size > 5000]) == KEYS_LIMIT // 1000
    assert run.reports("from their origin: 6 files"), run.report


def test_of_terabytes_half_of_the_local_store_is_asked_for(project):
    site = project.site
    size = 100_000
    used = [
        put_file(site, f"http://example.com/large{n}", bytes([n]) * size) for n in range(5)
    ]
    huge = put_file(site, "http://example.com/huge", b"huge", size=1 << 42)
    project.forge(encode_record([*used, huge]))
    project.build(f"local-store-size = {5 * size // 1024} KiB")
    ahead = [one for one in contents_asked(site) if one in {u.digest.hex for u in used}]
    assert sorted(ahead) == sorted(u.digest.hex for u in used[:2])
    project.forge(encode_record([huge, *used]))
    project.build()
    assert huge.digest.hex not in contents_asked(site)


def test_a_server_without_batches(project):
    project.publish()
    project.site.cache.plan(faults.refuse(faults.Code.BAD_METHOD), BATCH)
    _, run = project.build()
    requests = asked(project.site)
    assert requests.count(BATCH) == 1
    looked_up = [one for one in requests if one.startswith("GET /shadir/")]
    assert sorted(looked_up) == sorted(
        f"GET /shadir/{key}" for key in {project.key, *project.keys}
    )
    assert run.reports(f"from the network cache {project.site.cache.source}: 6 files")
