"""``networkcache why``: the whole decision, and every reason that it can end with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from caches import ALICE, BOB, DATA, DIGEST, EVE, NOW, fill, options_for, pair_of, put
from commands import Node

from slapos.networkcache.certificates import generate
from slapos.networkcache.digest import Digests
from slapos.networkcache.entry import Entry, Key, Pair
from slapos.networkcache.errors import Reason
from slapos.networkcache.testing import faults

URL = "http://example.com/hello.conf"
"""A URL that only a profile or a recipe fetches."""
KEY = Key.for_file(URL)


@pytest.fixture
def node(tmp_path, near) -> Node:
    """It reads `near`, and believes Alice."""
    folder = tmp_path / "node"
    folder.mkdir()
    return Node(folder, options_for(near))


def why(node: Node, *arguments: str) -> dict:
    done = node.run("why", "--json", *arguments)
    assert done.stdout, done.stderr
    return {**json.loads(done.stdout), "code": done.returncode}


def answers(told: dict, question: str, decision: int = -1) -> list[str]:
    steps = told["decisions"][decision]["steps"]
    return [step["answer"] for step in steps if step["question"] == question]


def fill_url(cache, **how) -> None:
    fill(cache, url=URL, **how)


def signed(text: str, signer=ALICE) -> Pair:
    return Pair(text, signer.sign(text))


def changed(**members) -> Pair:
    """A pair of Alice with other members."""
    return signed(json.dumps({**json.loads(pair_of(url=URL).entry), **members}))


# -- a situation for each reason; each makes it, and says what is asked


def nothing_there(node, near, far, dead):
    return URL


def a_stranger(node, near, far, dead):
    fill_url(near, signer=EVE)
    return URL


def in_another_name(node, near, far, dead):
    put(near, Pair(pair_of(url=URL).entry, EVE.sign("")), key=KEY)
    return URL


def the_old_way(node, near, far, dead):
    signer = generate("rsa")
    node.options.update(options_for(near, signers=(signer,)))
    text = pair_of(url=URL, signer=signer).entry
    put(near, Pair(text, signer.sign_legacy(text)), key=KEY)
    return URL


def a_newer_format(node, near, far, dead):
    put(near, changed(format=2), key=KEY)
    return URL


def junk(node, near, far, dead):
    near.plan(faults.among([1, 2]), "GET /shadir")
    return URL


def another_url(node, near, far, dead):
    put(near, pair_of(url="http://example.com/other", key=KEY), key=KEY)
    return URL


def too_old(node, near, far, dead):
    put(near, changed(expires=NOW - 10), key=KEY)
    return URL


def from_the_future(node, near, far, dead):
    fill_url(near, created=NOW + 5000)
    return URL


def an_unwanted_content(node, near, far, dead):
    fill_url(near)
    node.options["digest-blacklist"] = DIGEST.hex
    return URL


def an_unwanted_url(node, near, far, dead):
    fill_url(near)
    node.options["download-from-cache-url-blacklist"] = "http://example.com/"
    return URL


def too_few(node, near, far, dead):
    fill_url(near)
    options = options_for(near, signers=(ALICE, BOB))
    node.options.update(options, **{"signature-threshold": "2"})
    return URL


def two_sizes(node, near, far, dead):
    fill_url(near)
    put(near, changed(size=1), key=KEY)
    return URL


def older_than_before(node, near, far, dead):
    fill_url(far, created=NOW)
    fill_url(near, created=NOW - 100)
    before = dict(node.options)
    node.options.update(options_for(far))
    assert node.run("download", "-u", URL).returncode == 0
    node.options.update(before)
    return URL


def another_checksum(node, near, far, dead):
    fill_url(near)
    return f"{URL}#md5={'0' * 32}"


def nobody_there(node, near, far, dead):
    node.options["download-cache-url-list"] = node.options["download-dir-url-list"] = dead
    return URL


def no_answer(node, near, far, dead):
    near.plan(faults.silent)
    node.options["cache-time-budget"] = "1 s"
    return URL


def no_time(node, near, far, dead):
    node.options["cache-time-budget"] = "0 s"
    return URL


def a_secret(node, near, far, dead):
    return f"{URL}?token=hunter2"


def over_http(node, near, far, dead):
    fill_url(near, transport="http")
    node.options["require-checked-origin"] = "true"
    return URL


def no_source(node, near, far, dead):
    node.options.clear()
    return URL


SITUATIONS = {
    Reason.NOT_FOUND: nothing_there,
    Reason.UNKNOWN_SIGNER: a_stranger,
    Reason.BAD_SIGNATURE: in_another_name,
    Reason.WEAK_SIGNATURE: the_old_way,
    Reason.UNKNOWN_FORMAT: a_newer_format,
    Reason.BAD_ENTRY: junk,
    Reason.KEY_MISMATCH: another_url,
    Reason.EXPIRED: too_old,
    Reason.CLOCK: from_the_future,
    Reason.BLACKLISTED_DIGEST: an_unwanted_content,
    Reason.BLACKLISTED_URL: an_unwanted_url,
    Reason.BELOW_THRESHOLD: too_few,
    Reason.CONFLICT: two_sizes,
    Reason.ROLLBACK: older_than_before,
    Reason.CHECKSUM: another_checksum,
    Reason.UNREACHABLE: nobody_there,
    Reason.TOO_SLOW: no_answer,
    Reason.LEFT_ALONE: no_time,
    Reason.SECRET_URL: a_secret,
    Reason.UNCHECKED_ORIGIN: over_http,
    Reason.NOT_CONFIGURED: no_source,
}
UNTOLD = {Reason.UNREACHABLE, Reason.TOO_SLOW, Reason.LEFT_ALONE}
"""What a source did not say it may say another time."""


@pytest.mark.parametrize("reason", SITUATIONS, ids=str)
def test_every_reason_of_a_look_up(node, near, far, dead, reason) -> None:
    url = SITUATIONS[reason](node, near, far, dead)
    told = why(node, url)
    (decision,) = told["decisions"]
    assert decision["reason"] == reason
    assert reason in [step["reason"] for step in decision["steps"] if not step["passed"]]
    untold = reason in UNTOLD
    assert (told["code"], decision["taken"]) == ((3, None) if untold else (1, False))
    assert told["sentence"].startswith(
        f"It would not be taken from the network cache ({reason}: "
    )


def test_all_reasons_but_those_of_contents_origins_and_releases() -> None:
    others = {Reason.WRONG_CONTENT, Reason.BLOCK_ORIGIN}
    releases = {Reason.UNFIT_HOST, Reason.UNFIT_PREFIX}
    assert SITUATIONS.keys() | others | releases == set(Reason)


# -- what would be taken


def test_what_is_believed_is_walked_through(node, near) -> None:
    fill_url(near)
    told = why(node, URL)
    assert told["code"] == 0
    (decision,) = told["decisions"]
    assert decision["taken"] is True
    assert [step["question"] for step in decision["steps"]] == [
        "sources", "secret", "blacklist", "signers", "source 1", "entry 1.1", "sizes",
        "threshold", "checksum", "memory", "believed", "content", "time",
    ]  # fmt: skip
    assert [s["passed"] for s in decision["steps"] if s["question"] != "source 1"] == [
        True
    ] * 12
    assert told["sentence"] == (
        f"It would be taken from the network cache {near.source.dir_url}: the content"
        f" {DIGEST.hex[:16]}… of {len(DATA)} bytes, on the word of x."
    )


def test_for_people(node, near) -> None:
    fill_url(near)
    done = node.run("why", URL)
    assert (done.returncode, done.stderr) == (0, "")
    first, second, *steps = done.stdout.decode().splitlines()
    assert (first, second) == (URL, f"as a file of a profile or a recipe: {KEY}")
    assert "  yes secret     the URL carries none" in steps
    assert max(map(len, steps)) <= 100
    *_, sentence = done.stdout.decode().split("\n\n")
    assert sentence.replace("\n", " ").startswith("It would be taken from the network")


def test_sources_are_asked_as_a_run_would(node, near, far) -> None:
    fill_url(near)
    node.options.update(options_for(near, far))
    told = why(node, URL)
    assert answers(told, "source 1") == [f"{near.source} has 1 entry"]
    assert answers(told, "source 2") == [
        f"{far.source} is not asked: what a nearer one has is believed"
    ]
    assert f"GET /shadir/{KEY}" not in map(str, far.requests)


def test_what_is_out_is_not_in_the_way_of_what_is_believed(node, near) -> None:
    fill_url(near)
    put(near, pair_of(url=URL, signer=EVE), key=KEY)
    told = why(node, URL)
    assert told["code"] == 0
    (refused,) = answers(told, "entry 1.1")
    assert refused.startswith(f"? ({EVE.fingerprint[:16]}), ")


def test_an_entry_without_its_content(node, near) -> None:
    put(near, pair_of(url=URL), key=KEY)
    told = why(node, URL)
    assert (told["code"], told["decisions"][0]["reason"]) == (1, Reason.NOT_FOUND)
    assert answers(told, "content") == ["no source has the content"]


def test_who_holds_the_content_may_not_be_told(node, near) -> None:
    put(near, pair_of(url=URL), key=KEY)
    near.plan(faults.drop, "POST /shadir")
    near.plan(faults.drop, "HEAD /shacache")
    told = why(node, URL)
    assert (told["code"], told["decisions"][0]["taken"]) == (3, None)
    assert answers(told, "content")[0].startswith(f"{near.source}: ")


def test_a_content_that_is_wrong_is_seen_where_it_is_fetched(node, near) -> None:
    fill_url(near)
    near.plan(faults.wrong, "GET /shacache")
    assert why(node, URL)["code"] == 0
    told = why(node, "--fetch", URL)
    assert (told["code"], told["decisions"][0]["reason"]) == (1, Reason.WRONG_CONTENT)
    assert answers(told, "left alone")[0].startswith(f"{near.source} is left alone from")
    near.heal()
    told = why(node, "--fetch", URL)
    assert answers(told, "content") == [f"it came from {near.source}, and is right"]


def test_the_local_store_may_have_the_content(node, near) -> None:
    put(near, pair_of(url=URL), key=KEY)
    node.options["local-store"] = str(node.folder / "store")
    assert why(node, URL)["code"] == 1
    assert not Path(node.options["local-store"]).exists()
    folder = node.folder / "store" / "v1" / DIGEST.hex[:2] / DIGEST.hex[2:4]
    folder.mkdir(mode=0o700, parents=True)
    (node.folder / "store").chmod(0o700)
    (folder / DIGEST.hex).write_bytes(DATA)
    told = why(node, URL)
    assert told["code"] == 0
    assert answers(told, "content")[0] == "the local store of this node has it"
    assert told["sentence"].startswith("It would be taken from the local store of this")


def test_a_url_that_names_its_content_needs_no_entry(node, near) -> None:
    near.contents.put([DATA])
    told = why(node, f"{URL}#sha512={DIGEST}")
    assert told["code"] == 0
    assert answers(told, "entry") == [
        "none is needed: the URL names the content by its SHA-512"
    ]
    assert "GET" not in {asked.method for asked in near.requests}


def test_asking_changes_nothing(node, near, far) -> None:
    """What is looked at must not count against roll-back later."""
    fill_url(far, created=NOW)
    fill_url(near, created=NOW - 100)
    before = dict(node.options)
    node.options.update(options_for(far))
    assert why(node, URL)["code"] == 0
    assert node.run("lookup", URL).returncode == 0
    node.options.update(before)
    assert why(node, URL)["code"] == 0


# -- who fetches it


def test_a_distribution_may_be_fetched_in_two_ways(node, near) -> None:
    url = "http://example.com/hello-1.0.tar.gz"
    fill(near, url=url)
    told = why(node, url)
    keys = [decision["key"] for decision in told["decisions"]]
    assert keys == ["pypi:hello=1.0", Key.for_file(url).text]
    assert [decision["taken"] for decision in told["decisions"]] == [False, True]
    assert told["sentence"].startswith("As a distribution to be installed, it would not be")
    assert "; as a file of a profile or a recipe, it would be taken" in told["sentence"]


def test_an_index_page(node, near) -> None:
    told = why(node, "http://example.com/simple/hello/")
    assert told["decisions"][0]["key"].startswith("page-urlmd5:")


# -- what happens in its place


def publishing(node: Node, near, **options: str) -> str:
    """Configure it to publish; the file of its key."""
    key = node.write("key.pem", ALICE.private_pem())
    key.chmod(0o600)
    node.options["upload-cache-url"] = near.source.cache_url
    node.options["upload-dir-url"] = near.source.dir_url
    node.options["signature-private-key-file"] = str(key)
    node.options.update(options)
    return str(key)


def test_it_would_be_published(node, near) -> None:
    publishing(node, near)
    told = why(node, URL)
    assert told["sentence"] == (
        "It would not be taken from the network cache (not-found: no source has an entry"
        " for it), but fetched from its origin and published."
    )
    assert {asked.method for asked in near.requests} == {"GET"}


@pytest.mark.parametrize(
    ("options", "url", "reason"),
    [
        ({"upload-to-cache-url-blacklist": "http://example.com"}, URL, "blacklisted-url"),
        ({}, f"{URL}?sig=hunter2", "secret-url"),
        ({"signature-private-key-file": ""}, URL, "not-configured"),
        ({"signature-private-key-file": "/nowhere"}, URL, "not-configured"),
        ({"upload-dir-url": ""}, URL, "not-configured"),
    ],
)
def test_it_would_not_be_published(node, near, options, url, reason) -> None:
    publishing(node, near, **options)
    told = why(node, url)
    assert f"from its origin, and not published ({reason}: " in told["sentence"]


def test_an_origin_that_must_not_be_asked(node) -> None:
    told = why(node, URL, "networkcache:block-origin=true")
    assert told["sentence"].endswith(
        ", and the build would fail, since block-origin = true keeps it from its origin"
        " (block-origin)."
    )
    assert not answers(told, "publish")


# -- where it is configured


def test_it_reads_what_a_run_would(node, near) -> None:
    """The user's defaults too; the command line goes before the file."""
    fill_url(near)
    defaults = node.folder / ".buildout" / "default.cfg"
    defaults.parent.mkdir()
    defaults.write_text(f"[networkcache]\ndigest-blacklist = {DIGEST}\n")
    assert why(node, URL)["decisions"][0]["reason"] == Reason.BLACKLISTED_DIGEST
    assert why(node, URL, "networkcache:digest-blacklist=")["code"] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("/etc/hosts",), "is no URL of something elsewhere"),
        ((URL, "nonsense"), "expected networkcache:OPTION=VALUE"),
        ((URL, "networkcache:block-orign=true"), "did you mean block-origin?"),
    ],
)
def test_wrong_use(node, arguments, sentence) -> None:
    done = node.run("why", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert sentence in done.stderr


def test_no_secret_is_shown(node, near) -> None:
    """Not even one that an entry names in the place of the URL."""
    entry = Entry.make(
        KEY, Digests.of([DATA]), NOW, {"url": "http://me:hunter2@example.com/"}
    )
    put(near, signed(entry.text), key=KEY)
    for url in (URL, f"{URL}?token=hunter2"):
        for command in ("why", "lookup"):
            for arguments in ((url,), ("--json", url)):
                done = node.run(command, *arguments)
                assert Key.for_file(url).text in done.stdout.decode()
                assert "hunter2" not in done.stdout.decode() + done.stderr
