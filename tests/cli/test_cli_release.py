"""``networkcache release``: every step, and every way in which it can end."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import SCRIPTS, TIMEOUT, Node, networkcache
from compiling import profile
from nodes import entries
from origin import Origin
from trees import make_tree
from wire import put

from slapos.networkcache.certificates import Signer, generate
from slapos.networkcache.digest import Digests
from slapos.networkcache.entry import Entry, Key
from slapos.networkcache.host import look_at_host
from slapos.networkcache.testing import NetworkCache, faults

LONG = "x" * 40
"""In the name of the software root of who builds."""
FILES = {"bin/hello": "#!/bin/sh\necho PLACE\n"}


@pytest.fixture
def url(request) -> str:
    """A software URL of the test's own; nobody answers there."""
    name = hashlib.md5(request.node.nodeid.encode()).hexdigest()[:8]
    return f"http://127.0.0.1:1/{name}/software.cfg"


class Done(NamedTuple):
    code: int
    said: str
    """On standard output."""
    errors: str
    """In one line."""


def release(node: Node, step: str, *words: str) -> Done:
    """``networkcache release STEP ... -c CONFIG``."""
    command = ["release", step, *words, "-c", node.config]
    done = networkcache(*command, env=node.clean(), cwd=node.folder)
    return Done(done.returncode, done.stdout.decode(), " ".join(done.stderr.split()))


def must(node: Node, step: str, *words: str) -> str:
    """What it prints where it comes to its end."""
    done = release(node, step, *words)
    assert done.code == 0, done
    return done.said


def refused(node: Node, step: str, *words: str, code: int = 1) -> str:
    """What it says where it does not; nothing is printed then."""
    done = release(node, step, *words)
    assert (done.code, done.said) == (code, ""), done
    return done.errors


def binary(server, *ways: str) -> dict[str, str]:
    """Options of the binary cache."""
    urls = {"cache": server.cache_url, "dir": server.dir_url}
    return {f"{way}-binary-{at}-url": url for way in ways for at, url in urls.items()}


@pytest.fixture
def farm(tmp_path, shared_server) -> Node:
    """It builds, and publishes."""
    node = Node.of(tmp_path / "farm", shared_server)
    node.options |= binary(shared_server, "download", "upload")
    return with_root(node, f"root-{LONG}")


def with_root(node: Node, name: str = "root") -> Node:
    folder = root_of(node, name)
    folder.mkdir()
    node.slapos["software_root"] = str(folder)
    return node


def root_of(node: Node, name: str = "") -> Path:
    return node.folder / name if name else Path(node.slapos["software_root"])


def place_of(node: Node, url: str) -> Path:
    return root_of(node) / hashlib.md5(url.encode()).hexdigest()


@pytest.fixture
def node(tmp_path, farm, shared_server) -> Node:
    """It believes the farm, builds nothing, and publishes nothing."""
    folder = tmp_path / "node"
    folder.mkdir()
    options = {
        "signature-certificate-list": farm.options["signature-certificate-list"],
        "download-from-binary-cache-force-url-list": "http://127.0.0.1",
        **binary(shared_server, "download"),
    }
    return with_root(Node(folder, options))


@pytest.fixture
def memory(farm, node) -> Iterator[NetworkCache]:
    """What both nodes use then: it may misbehave, and forget."""
    with NetworkCache() as cache:
        farm.options |= binary(cache, "download", "upload")
        node.options |= binary(cache, "download")
        yield cache


def build(farm: Node, url: str, files=FILES) -> Path:
    """What a build would have left."""
    return make_tree(root_of(farm), url, files)


def publish(farm: Node, url: str, files=FILES) -> None:
    """Publish a release, and remove it."""
    build(farm, url, files)
    must(farm, "publish", url)
    must(farm, "remove", url)


def say(farm: Node, url: str, server, **changed: object) -> None:
    """Have the farm sign, later, the same as of its release, but for what is `changed`."""
    key, (entry, *_) = Key.for_release(url), said_of(server, url)
    with urllib.request.urlopen(f"{server.cache_url}/{entry['sha512']}") as answer:
        content = Digests.of([answer.read()])
    signer = signer_of(farm)
    how = {"created": entry["created"] + 1, "signer": signer.fingerprint}
    given = Entry.make(key, content, members={}, **how).members
    kept = {name: value for name, value in entry.items() if name not in given}
    made = Entry.make(key, content, members=kept | changed, **how)
    reply = put(server, key.text, [made.text, signer.sign(made.text)])
    assert reply.status == 201, reply


def said_of(server, url: str) -> list[dict]:
    """The entries of a release."""
    return entries(server, Key.for_release(url).text)


def signer_of(node: Node) -> Signer:
    return Signer.parse(Path(node.options["signature-private-key-file"]).read_bytes())


def hello(place: Path) -> str:
    done = subprocess.run([place / "bin/hello"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def left(node: Node) -> list[str]:
    """What stands in its software root."""
    return sorted(path.name for path in root_of(node).iterdir())


# -- install: taken


def test_it_is_taken(farm, node, url) -> None:
    publish(farm, url)
    place = place_of(node, url)
    assert must(node, "install", url) == f"{url} taken from the network cache: {place}\n"
    assert os.path.normpath(hello(place)) == str(place)
    assert (place / ".completed").exists()
    assert left(node) == [place.name]
    assert must(node, "install", url) == f"{url} was there already: {place}\n"


def test_a_fragment_of_the_url_does_not_count(farm, node, url) -> None:
    publish(farm, url)
    must(node, "install", f"{url}#main")
    assert hello(place_of(node, url))


def test_the_newest_is_taken_that_fits(farm, node, url) -> None:
    publish(farm, url, FILES | {"text": "older"})
    second = int(time.time())  # entries are dated to the second
    while int(time.time()) == second:
        time.sleep(0.05)
    publish(farm, url, FILES | {"text": "newer"})
    must(node, "install", url)
    assert (place_of(node, url) / "text").read_text() == "newer"


def test_the_next_best_is_taken_where_one_is_damaged(
    farm, node, url, shared_server
) -> None:
    publish(farm, url)
    say(farm, url, shared_server, files=99)
    done = release(node, "install", url)
    assert "a build is not taken: 99 members with " in done.errors
    assert done.code == 0
    assert hello(place_of(node, url))


# -- install: not taken


@pytest.mark.parametrize(
    "option", ["download-from-binary-cache-url-blacklist", "binary-cache-url-blacklist"]
)
def test_blacklisted_for_taking(farm, node, url, option) -> None:
    publish(farm, url)
    node.options[option] = url
    said = refused(node, "install", url)
    assert f"{url} is in download-from-binary-cache-url-blacklist" in said


def test_it_must_come_from_the_cache_and_does_not(node, url) -> None:
    said = refused(node, "install", url)
    assert f"{url} must come from the network cache, since http://127.0.0.1 is in" in said
    assert "download-from-binary-cache-force-url-list, and it does not: " in said
    assert "networkcache lookup" in said
    assert left(node) == []


def test_no_source(node, url) -> None:
    for option in [option for option in node.options if option.endswith("-url")]:
        del node.options[option]
    said = refused(node, "install", url)
    assert "no source is configured: set download-binary-cache-url and -dir-url" in said
    said = refused(node, "show", url, code=2)
    assert "set download-binary-cache-url and download-binary-dir-url" in said


def test_nobody_is_believed(farm, node, url) -> None:
    publish(farm, url)
    stranger = generate("ed25519").self_signed("stranger", time.time())
    node.options["signature-certificate-list"] = stranger
    assert "not in signature-certificate-list" in refused(node, "install", url)
    assert left(node) == []


def test_a_longer_place(farm, node, url) -> None:
    publish(farm, url)
    with_root(node, "longer" + 2 * LONG)
    said = refused(node, "install", url)
    assert f"choose a folder of at most {len(str(place_of(farm, url)))} bytes" in said
    assert f"build-prefix-length = {len(str(place_of(node, url)))}" in said
    assert left(node) == []


FUTURE = {"libraries": {"libc.so.6": ["GLIBC_9.99"]}}


def test_a_host_that_cannot_run_it(farm, node, url, memory) -> None:
    """An older build that does run is taken."""
    publish(farm, url)
    key = Key.for_release(url)
    (older,) = memory.entries.get([key])[key]
    say(farm, url, memory, requirements=FUTURE)
    must(node, "install", url)
    must(node, "remove", url)
    memory.entries.remove(key, older.pair)
    said = refused(node, "install", url)
    assert "and it does not: libc.so.6 here lacks GLIBC_9.99" in said
    assert "networkcache release show" in said
    assert left(node) == []


def test_no_source_answers(node, url, dead) -> None:
    for which in ("cache", "dir"):
        node.options[f"download-binary-{which}-url"] = dead
    said = refused(node, "install", url, code=3)
    assert f"and it does not: {dead}: " in said
    assert "try again, or check the URLs in [networkcache]" in said
    assert left(node) == []


def test_what_is_there_and_not_complete_is_not_replaced(farm, node, url) -> None:
    publish(farm, url)
    place = build(node, url)
    (place / ".completed").unlink()
    said = refused(node, "install", url)
    assert f"{place} is there and not complete, and buildout goes on with it" in said
    assert hello(place) == str(place)


def test_no_room(farm, node, url, unshare) -> None:
    """It is said before anything is written, or even fetched."""
    publish(farm, url, FILES | {"data": os.urandom(3 << 20)})
    root = root_of(node)
    script = f'mount -t tmpfs -o size=1m,mode=755 none {root} && shift && exec "$@"'
    command = [*unshare, "sh", "-c", script, "-", "-"]
    command += [SCRIPTS / "networkcache", "release", "install", url, "-c", node.config]
    done = subprocess.run(command, env=node.clean(), capture_output=True, text=True)
    said = " ".join(done.stderr.split())
    assert (done.returncode, done.stdout) == (1, ""), said
    assert f"MiB are needed in {root}, and " in said
    assert "are free: make room" in said


# -- install: built


@pytest.fixture
def origin() -> Iterator[Origin]:
    origin = Origin()
    yield origin
    origin.stop()


def put_profile(origin: Origin, name: str = "software") -> str:
    """A release that can be built, if the origin has the file that it names."""
    part = f"[hello]\nrecipe = slapos.networkcache:download\nurl = {origin.url}/hello\n"
    return origin.put(f"/{name}.cfg", profile(origin, part, parts="hello"))


def test_it_is_built_and_published(farm, node, origin) -> None:
    """Then another node takes it, and has the same."""
    url = put_profile(origin)
    origin.put("/hello", "hello\n")
    place = place_of(farm, url)
    done = release(farm, "install", url)
    assert done.code == 0, done
    assert done.said.endswith(f"\n{url} built here: {place}\n")
    assert f"{url} is built here: no source has an entry for it" in done.errors
    assert f"{url} is published as " in done.errors
    assert (place / "parts/hello/hello").read_text() == "hello\n"
    assert left(farm) == [place.name]
    assert must(farm, "install", url) == f"{url} was there already: {place}\n"
    origin.stop()
    must(node, "install", url)
    assert (place_of(node, url) / "parts/hello/hello").read_text() == "hello\n"
    assert ".networkcache-build.cfg" not in os.listdir(place)


def test_a_build_that_fails_is_gone_on_with(farm, origin) -> None:
    url = put_profile(origin)
    place = place_of(farm, url)
    farm.options["upload-to-binary-cache-url-blacklist"] = origin.url
    done = release(farm, "install", url)
    assert done.code == 1
    assert f"buildout failed for {url}, with exit code 1: see above." in done.errors
    assert f"What is built so far is in {place}, and the same command" in done.errors
    assert " incomplete " in must(farm, "list")
    assert "not installed, or not complete" in refused(farm, "publish", url)
    origin.put("/hello", "hello\n")
    done = release(farm, "install", url)
    assert done.code == 0, done
    assert done.said.endswith(f"\n{url} built here: {place}\n")
    assert f"{url} is published" not in done.errors


def test_one_that_is_built_longer_goes_to_a_longer_place(farm, node, origin) -> None:
    """Nothing is left of where it was built."""
    url = put_profile(origin)
    origin.put("/hello", "hello\n")
    with_root(node, "longer" + 2 * LONG)
    length = len(str(place_of(node, url)))
    farm.options["build-prefix-length"] = str(length)
    must(farm, "install", url)
    assert left(farm) == [place_of(farm, url).name]
    must(node, "install", url)
    for each in (farm, node):
        installed = (place_of(each, url) / ".installed.cfg").read_text()
        assert f"location = {place_of(each, url)}/parts/hello\n" in installed
    (build,) = json.loads(must(node, "show", url, "--json"))["builds"]
    assert len(build["members"]["prefix"]) == length
    farm.options["build-prefix-length"] = "50"
    assert "build-prefix-length: expected " in refused(farm, "publish", url, code=2)


def test_build_asks_nobody(farm, origin, dead) -> None:
    url = put_profile(origin)
    origin.put("/hello", "hello\n")
    for which in ("cache", "dir"):
        farm.options[f"download-binary-{which}-url"] = dead
        farm.options[f"upload-binary-{which}-url"] = dead
    place = place_of(farm, url)
    done = release(farm, "build", url)
    assert done.code == 0, done
    assert done.said.endswith(f"\n{url} is built: {place}\n")
    assert dead not in done.errors


# -- publish


def test_it_is_published_once(farm, url, shared_server) -> None:
    build(farm, url)
    digest = must(farm, "publish", url).removeprefix(f"{url} is published: ").strip()
    assert must(farm, "publish", url) == f"{url} is published already: {digest}\n"
    (entry,) = said_of(shared_server, url)
    assert entry["sha512"] == digest
    assert (entry["software_url"], entry["prefix"]) == (url, str(place_of(farm, url)))


def test_what_is_not_installed_is_not_published(farm, url) -> None:
    said = refused(farm, "publish", url)
    assert f"{url} is not installed, or not complete: build it first" in said
    assert left(farm) == []


def test_what_came_from_an_archive_is_not_published(farm, url) -> None:
    """Neither by who took it, nor once it is forgotten who that was."""
    publish(farm, url)
    must(farm, "install", url)
    place = place_of(farm, url)
    assert f"{place} was unpacked from an archive" in refused(farm, "publish", url)
    (place / ".networkcache-installed.json").unlink()
    assert f"{place} was unpacked from an archive" in refused(farm, "publish", url)


@pytest.mark.parametrize(
    "option", ["upload-to-binary-cache-url-blacklist", "binary-cache-url-blacklist"]
)
def test_blacklisted_for_publishing(farm, url, shared_server, option) -> None:
    build(farm, url)
    farm.options[option] = url
    said = refused(farm, "publish", url)
    assert f"{url} is in upload-to-binary-cache-url-blacklist" in said
    assert said_of(shared_server, url) == []


@pytest.mark.parametrize(
    "without", ["signature-private-key-file", "upload-binary-cache-url"]
)
def test_nowhere_to_publish(farm, url, without) -> None:
    build(farm, url)
    for option in (without, without.replace("-cache-", "-dir-")):
        for name in (option, option.replace("-binary", "")):
            farm.options.pop(name, None)
    said = refused(farm, "publish", url, code=2)
    assert "upload-binary-cache-url, upload-binary-dir-url and" in said
    assert "signature-private-key-file" in said


def test_a_key_that_is_not_there(farm, url) -> None:
    build(farm, url)
    farm.options["signature-private-key-file"] = "/none"
    assert "generate-signature-key" in refused(farm, "publish", url, code=2)


def test_what_is_taken_from_this_host_is_said(farm, url) -> None:
    build(farm, url, {"bin/script": "#!/usr/bin/perl\n"})
    done = release(farm, "publish", url)
    assert done.code == 0
    assert "/usr/bin/perl of this host runs " in done.errors


def test_a_secret_is_not_shown(farm) -> None:
    url = "http://me:hunter2@127.0.0.1:1/software.cfg"
    build(farm, url)
    said = refused(farm, "publish", url)
    assert "hunter2" not in said
    assert "secret" in said
    shown = must(farm, "list") + must(farm, "list", "--json")
    assert "hunter2" not in shown
    assert "***" in shown
    assert "hunter2" not in release(farm, "show", url).said
    assert "hunter2" not in must(farm, "remove", url)


# -- list, remove


def test_what_is_listed(farm, node, url) -> None:
    assert must(node, "list") == f"There is no release in {root_of(node)}.\n"
    assert json.loads(must(node, "list", "--json")) == []
    publish(farm, url)
    must(node, "install", url)
    begun, nameless = build(node, f"{url}.1"), build(node, f"{url}.2")
    (begun / ".completed").unlink()
    (nameless / "buildout.cfg").unlink()
    (root_of(node) / "other").mkdir()
    rows = {row["place"]: row for row in json.loads(must(node, "list", "--json"))}
    taken = rows.pop(str(place_of(node, url)))
    assert (taken["url"], taken["state"]) == (url, "complete")
    assert [signer["name"] for signer in taken["signers"]] == ["tester"]
    assert abs(taken["since"] - time.time()) < TIMEOUT
    assert rows.pop(str(begun)) == {
        "place": str(begun), "url": f"{url}.1", "state": "incomplete",
        "since": None, "signers": None,
    }  # fmt: skip
    built = rows.pop(str(nameless))
    assert (built["url"], built["state"], built["signers"]) == (None, "complete", None)
    assert rows == {}
    headings, *lines = must(node, "list").splitlines()
    assert headings.split() == ["FOLDER", "SINCE", "FROM", "SOFTWARE", "URL"]
    assert {line.partition(" ")[0] for line in lines} == {
        taken["place"], str(begun), str(nameless),
    }  # fmt: skip
    assert any(line.endswith(f"  tester     {url}") for line in lines)
    assert any("  incomplete  " in line for line in lines)
    assert any(line.endswith("  this node  ?") for line in lines)


def test_it_is_removed(farm, url) -> None:
    place = build(farm, url)
    (place / "bin").chmod(0o555)
    assert must(farm, "remove", url) == f"{url} is removed: {place}\n"
    assert left(farm) == []
    said = refused(farm, "remove", url)
    assert said == f"networkcache release: {url} is not installed: {place} is not there"


# -- show


def shown(node: Node, url: str, code: int) -> tuple[list[list[str]], str]:
    """The cells of each row, and what else is said, in one line."""
    done = release(node, "show", url)
    assert (done.code, done.errors) == (code, ""), done
    head, *lines = done.said.splitlines()
    assert head.startswith(f"{Key.for_release(url)}  {url}, here ")
    table = [line for line in lines if line.startswith("  ")]
    rows = [line.split("  ") for line in table if line.startswith("  tester")]
    return [[c.strip() for c in row if c] for row in rows], " ".join(done.said.split())


def test_what_fits_is_shown(farm, node, url) -> None:
    publish(farm, url)
    (cells,), said = shown(node, url, 0)
    assert f"{url}, here absent" in said
    assert cells[0] == "tester"
    assert cells[2:4] == [str(root_of(farm)), "any machine"]
    assert cells[-1] == "yes"
    must(node, "install", url)
    assert f"{url}, here complete" in shown(node, url, 0)[1]


def test_why_something_does_not_fit_is_shown(farm, node, url, shared_server) -> None:
    """Both here and under which other conditions; the exit code says that nothing does."""
    publish(farm, url)
    say(farm, url, shared_server, requirements=FUTURE)
    with_root(node, "longer" + 2 * LONG)
    rows, said = shown(node, url, 1)
    assert [row[-1] for row in rows] == ["no: unfit-host", "no: unfit-prefix"]
    assert rows[0][3] == "any machine, glibc 9.99"
    assert "build 1: unfit-host: libc.so.6 here lacks GLIBC_9.99" in said
    assert "build 1: unfit-prefix: it was built for " in said
    assert "build 2: unfit-prefix: it was built for " in said
    done = release(node, "show", url, "--json")
    assert done.code == 1
    plain = json.loads(done.said)
    assert plain["key"] == Key.for_release(url).text
    assert [build["fits"] for build in plain["builds"]] == [False, False]
    assert [[r["reason"] for r in build["refusals"]] for build in plain["builds"]] == [
        ["unfit-host", "unfit-prefix"], ["unfit-prefix"],
    ]  # fmt: skip
    assert plain["builds"][1]["members"]["prefix"] == str(place_of(farm, url))


def test_what_is_not_believed_is_counted(farm, node, url) -> None:
    publish(farm, url)
    stranger = generate("ed25519").self_signed("stranger", time.time())
    node.options["signature-certificate-list"] = stranger
    rows, said = shown(node, url, 1)
    assert rows == []
    assert "1 more not believed: unknown-signer; networkcache lookup shows them." in said
    assert "Nothing is believed: " in said


def test_nothing_is_there(node, url) -> None:
    rows, said = shown(node, url, 1)
    assert rows == []
    assert "Nothing is believed: no source has an entry for it" in said


def test_a_source_that_does_not_answer(farm, node, url, dead) -> None:
    """That something would do is known all the same."""
    for which in ("cache", "dir"):
        node.options[f"download-binary-{which}-url-list"] = dead
    _, said = shown(node, url, 3)
    assert f"{dead} could not be asked: " in said
    publish(farm, url)
    rows, said = shown(node, url, 0)
    assert rows[0][-1] == "yes"
    assert f"{dead} could not be asked: " in said


def test_a_damaged_statement_is_shown(farm, node, url, shared_server) -> None:
    publish(farm, url)
    say(farm, url, shared_server, files="many")
    rows, said = shown(node, url, 0)
    assert [row[-1] for row in rows] == ["yes", "no: bad-entry"]
    assert "build 2: bad-entry: what it says of the release is damaged: " in said


def test_an_entry_of_an_incumbent(tmp_path, node, url, shared_server) -> None:
    """It is for one place and one distribution, and both must be those of this node."""
    old = Node.of(tmp_path / "old", shared_server, "rsa")
    old.options |= binary(shared_server, "download", "upload")
    node.options["signature-certificate-list"] = old.options["signature-certificate-list"]
    host = look_at_host()
    members = {"software_url": url, "software_root": str(root_of(node))}
    say_old(
        old, url, shared_server, **members, multiarch=host.multiarch, os=["other", "1", ""]
    )
    assert "signature-legacy = accept" in shown(node, url, 1)[1]
    node.options["signature-legacy"] = "accept"
    ((_, root, hosts, verdict),), said = shown(node, url, 1)
    assert (root, hosts) == (str(root_of(node)), f"other 1, {host.multiarch}")
    assert verdict == "no: unfit-host"
    assert "unfit-host: it is for other 1 " in said
    say_old(
        old, url, shared_server,
        **members, multiarch=host.multiarch, os=list(host.distribution),
    )  # fmt: skip
    assert [row[-1] for row in shown(node, url, 0)[0]] == ["yes", "no: unfit-host"]


def say_old(node: Node, url: str, server, **members: object) -> None:
    """As slapos.core signs it, of a content that is no release."""
    done = node.run("upload", "-f", node.write("content", json.dumps(members).encode()))
    assert done.returncode == 0, done
    digest = hashlib.sha512(json.dumps(members).encode()).hexdigest()
    text = json.dumps({"sha512": digest, **members})
    pair = [text, signer_of(node).sign_legacy(text)]
    reply = put(server, Key.for_release(url).text, pair)
    assert reply.status == 201, reply


# -- two at once, and those that are cut short


def test_a_second_process_says_that_it_waits(farm, node, url) -> None:
    publish(farm, url)
    lock = root_of(node) / f".networkcache-{place_of(node, url).name}.lock"
    command = [SCRIPTS / "networkcache", "release", "install", url, "-c", node.config]
    with lock.open("w") as held:
        held.write("4711\n")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        waiting = subprocess.Popen(command, env=node.clean(), **how)
        assert select.select([waiting.stderr], [], [], TIMEOUT)[0], "it says nothing"
        said = waiting.stderr.readline()
        assert said == f"process 4711 is at {url}: waiting for it\n"
        assert left(node) == [lock.name]
    output, errors = waiting.communicate(timeout=TIMEOUT)
    assert (waiting.returncode, errors) == (0, "")
    assert output.startswith(f"{url} taken from the network cache: ")
    assert left(node) == [place_of(node, url).name]


def test_one_that_is_interrupted_leaves_nothing(farm, node, url, memory) -> None:
    """Control-C while the archive comes; then the same command again."""
    publish(farm, url, FILES | {"data": os.urandom(1 << 20)})
    memory.plan(faults.stall(1000), "GET /shacache")
    command = [SCRIPTS / "networkcache", "release", "install", url, "-c", node.config]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    stopped = subprocess.Popen(command, env=node.clean(), **how)
    end = time.monotonic() + TIMEOUT
    while not any(str(asked).startswith("GET /shacache") for asked in memory.requests):
        assert time.monotonic() < end
        time.sleep(0.01)
    stopped.send_signal(signal.SIGINT)
    output, errors = stopped.communicate(timeout=TIMEOUT)
    assert (stopped.returncode, output, errors) == (128 + signal.SIGINT, "", "")
    assert left(node) == []
    memory.heal()
    must(node, "install", url)
    assert hello(place_of(node, url))


# -- folders


def test_the_software_root_is_not_there(node, url) -> None:
    root_of(node).rmdir()
    for step in ("install", "list"):
        said = refused(node, step, *([url] if step == "install" else []), code=2)
        assert f"software_root in [slapos]: {root_of(node)} is not there: make it" in said


@pytest.mark.parametrize("folder", ["/srv/with space", "/srv/with:colon", "/srv/$ORIGIN"])
@pytest.mark.parametrize("option", ["software_root", "shared_part_list"])
def test_a_folder_in_which_nothing_can_be_built(node, url, option, folder) -> None:
    node.slapos[option] = folder
    said = refused(node, "list", code=2)
    assert f"{option} in [slapos]: expected an absolute path of two names or more" in said


def test_as_the_owner_of_the_software_root(farm, url) -> None:
    """Root does all in it as its owner, and nothing elsewhere."""
    if os.geteuid():
        pytest.skip("only root can act as another user")
    publish(farm, url)
    with tempfile.TemporaryDirectory() as top:  # where others may enter
        os.chmod(top, 0o755)
        root = Path(top) / "root"
        root.mkdir()
        os.chown(root, 65534, 65534)
        farm.slapos["software_root"] = str(root)
        must(farm, "install", url)
        found = list(place_of(farm, url).rglob("*"))
        assert {path.stat().st_uid for path in (place_of(farm, url), *found)} == {65534}
        assert hello(place_of(farm, url))
        must(farm, "remove", url)
        assert left(farm) == []
        assert root.stat().st_uid == 65534


# -- wrong use


def test_wrong_use(node, url) -> None:
    for words in (
        [],
        ["install"],
        ["list", url],
        ["install", url, "--json"],
        ["none", url],
    ):
        command = ["release", *words, "-c", node.config]
        done = networkcache(*command, env=node.clean(), cwd=node.folder)
        assert (done.returncode, done.stdout) == (2, b""), words
        assert done.stderr.startswith("usage: networkcache release")
    node.options["binary-cache-archive"] = "zip"
    assert "binary-cache-archive: expected tar.zst or tar.gz" in refused(
        node, "list", code=2
    )
