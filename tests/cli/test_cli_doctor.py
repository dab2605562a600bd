"""``networkcache doctor``: every finding, by a misconfiguration that is real."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from commands import Node, networkcache, write_config
from cryptography.hazmat.primitives.asymmetric import rsa

from slapos.networkcache.certificates import Signer, generate
from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key
from slapos.networkcache.errors import Code
from slapos.networkcache.testing import faults

EMPTY = Digest.of(b"")
KEY = Key.parse("networkcache-doctor")


@pytest.fixture
def node(tmp_path, near) -> Node:
    """All is well with it."""
    return Node.of(tmp_path / "node", near.source)


@pytest.fixture
def store(node) -> Path:
    """A local store that is as it should be."""
    folder = node.folder / "store"
    folder.mkdir(mode=0o700)
    node.options["local-store"] = str(folder)
    return folder


def examine(node: Node, *arguments: str) -> dict:
    done = node.run("doctor", "--json", *arguments)
    assert done.stderr == ""
    return {**json.loads(done.stdout), "code": done.returncode}


def findings(node: Node, *arguments: str) -> list[tuple[str, str, str]]:
    """The mark of each finding that is not OK, what it says, and what to change."""
    told = examine(node, *arguments)
    bad = [f for f in told["findings"] if f["mark"] != "OK"]
    marks = {finding["mark"] for finding in bad}
    assert told["code"] == (1 if "WRONG" in marks else 3 if "?" in marks else 0)
    assert all(finding["change"] for finding in bad)
    return [(finding["mark"], finding["what"], finding["change"]) for finding in bad]


def finds(node: Node, mark: str, what: str, change: str, *arguments: str) -> None:
    """That there is one finding, and that it says so."""
    ((found, text, to_change),) = findings(node, *arguments)
    assert found == mark
    assert what in text
    assert change in to_change


def small_key(bits: int = 1024) -> Signer:
    return Signer(rsa.generate_private_key(65537, bits))


def sign_with(node: Node, signer: Signer) -> None:
    """Give it another key, and believe that one alone."""
    Path(node.options["signature-private-key-file"]).write_bytes(signer.private_pem())
    node.options["signature-certificate-list"] = signer.self_signed("other", time.time())


# -- all is well


def test_nothing_to_change(node, store) -> None:
    told = examine(node)
    assert told["code"] == 0
    assert {finding["mark"] for finding in told["findings"]} == {"OK"}
    about = [finding["about"] for finding in told["findings"]]
    assert list(dict.fromkeys(about)) == [
        "certificates", "signing key", "files", "servers", "clocks", "rights",
    ]  # fmt: skip


def test_no_entry_is_ever_made(node, near) -> None:
    examine(node)
    puts = [asked.path for asked in near.requests if asked.method == "PUT"]
    assert puts == ["/shadir/networkcache-doctor"]
    asked = [str(request) for request in near.requests]
    assert "POST /shacache" in asked
    assert near.contents.has(EMPTY)
    assert near.entries.get([KEY]) == {}


def test_for_people(node) -> None:
    done = node.run("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    headings, *lines = done.stdout.decode().splitlines()
    assert headings.split() == ["OPTION", "VALUE", "FROM"]
    assert "  OK     this node may upload entries to" in done.stdout.decode()
    assert lines[-1] == "Nothing needs to be changed."


def test_for_people_what_to_change(node) -> None:
    lines = node.run("doctor", "networkcache:signature-threshold=2").stdout.decode()
    assert "  WRONG  signature-threshold is 2, and 1 different key is listed" in lines
    assert "\n         -> list more signers, or lower signature-threshold\n" in lines
    assert lines.splitlines()[-1] == "Of 8 findings, 1 must be changed."


# -- where each value comes from


def places(node: Node, *arguments: str) -> dict[str, tuple[str, str]]:
    return {
        o["option"]: (o["value"], o["place"]) for o in examine(node, *arguments)["options"]
    }


def test_where_each_value_comes_from(node) -> None:
    defaults = node.folder / ".buildout" / "default.cfg"
    defaults.parent.mkdir()
    write_config(
        defaults, networkcache={"signature-threshold": "3", "cache-time-budget": "3 s"}
    )
    node.options["entry-expires"] = "1 d"
    found = places(node, "networkcache:signature-threshold=1")
    assert found["signature-threshold"] == ("1", "command line")
    assert found["entry-expires"] == ("1 d", str(node.config))
    assert found["cache-time-budget"] == ("3 s", "user's defaults")
    assert found["signature-certificate-list"] == ("1 certificate", str(node.config))


def test_what_was_completed(node, near) -> None:
    del node.options["upload-dir-url"]
    node.options["upload-binary-cache-url"] = near.source.cache_url
    node.options["upload-binary-dir-url"] = near.source.dir_url
    found = places(node)
    assert found["upload-dir-url"] == (near.source.dir_url, "as upload-binary-dir-url")
    assert findings(node) == []


def test_without_any_configuration(tmp_path) -> None:
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = networkcache("doctor", env=home, cwd=tmp_path)
    assert done.returncode == 0
    assert b"  WARN   there is no source: nothing is taken" in done.stdout


def test_no_secret_is_shown(node, near) -> None:
    url = near.source.dir_url.replace("://", "://me:hunter2@")
    for option in ("download-dir-url", "upload-dir-url"):
        node.options[option] = url
    for arguments in ((), ("--json",)):
        assert b"hunter2" not in node.run("doctor", *arguments).stdout


# -- options


def test_a_value_that_does_not_parse(node) -> None:
    """The others are examined all the same."""
    node.options["signature-threshold"] = "many"
    node.options["cache-time-budget"] = "3 parsecs"
    told = findings(node)
    assert [mark for mark, _, _ in told] == ["WRONG", "WRONG"]
    assert {what.partition(":")[0] for _, what, _ in told} == {
        "signature-threshold",
        "cache-time-budget",
    }


def test_a_value_that_another_option_was_completed_from(node) -> None:
    """What is named is the option that is set: the other one cannot be mended."""
    del node.options["download-dir-url"]
    node.options["download-binary-dir-url"] = "nonsense"
    mark, what, change = findings(node)[0]
    assert mark == "WRONG"
    assert what.startswith("download-binary-dir-url: expected an http or https URL")
    assert "write download-binary-dir-url as expected" in change


def test_an_option_that_nobody_knows(node) -> None:
    node.options["signature-treshold"] = "2"
    finds(node, "WRONG", "(did you mean signature-threshold?)", "or remove it")


def test_a_pair_of_which_one_is_given(node, near) -> None:
    node.options["download-cache-url-list"] = near.source.cache_url
    finds(node, "WARN", "has no counterpart in the other list", "set the other half")


@pytest.mark.parametrize(
    ("without", "missing"),
    [
        ("upload-cache-url upload-dir-url", "upload-cache-url and upload-dir-url"),
        ("signature-private-key-file", "signature-private-key-file"),
    ],
)
def test_who_publishes_nothing(node, without, missing) -> None:
    for option in without.split():
        del node.options[option]
    finds(node, "WARN", f"nothing is published without {missing}", f"set {missing}")


@pytest.mark.parametrize(("blocked", "mark"), [("false", "WARN"), ("true", "WRONG")])
def test_no_source(node, blocked, mark) -> None:
    for option in ("download-cache-url", "download-dir-url"):
        del node.options[option]
    node.options["block-origin"] = blocked
    finds(node, mark, "there is no source: ", "set download-cache-url and")


# -- certificates


def test_a_certificate_that_does_not_parse(node) -> None:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    node.options["signature-certificate-list"] += f"{begin}\nAAAA\n{end}\n"
    ((mark, what, change),) = findings(node)
    assert mark == "WRONG"
    assert what.startswith("certificate 2 of signature-certificate-list")
    assert what.endswith("skipped: not a certificate in PEM, or one that is damaged")
    assert "paste it again" in change


def test_nobody_is_listed(node) -> None:
    del node.options["signature-certificate-list"]
    del node.options["signature-private-key-file"]
    del node.options["upload-cache-url"], node.options["upload-dir-url"]
    finds(node, "WRONG", "holds no certificate that parses", "add the certificates")


@pytest.mark.parametrize(
    ("legacy", "what"),
    [("refuse", "nothing that it signs is believed"), ("accept", "in the old way only")],
)
def test_a_listed_key_that_is_too_small(node, legacy, what) -> None:
    node.options["signature-certificate-list"] += small_key().self_signed("old", 0)
    node.options["signature-legacy"] = legacy
    finds(node, "WARN", what, "ask this signer for a new key")


def test_a_threshold_that_nothing_reaches(node) -> None:
    node.options["signature-threshold"] = "2"
    finds(node, "WRONG", "signature-threshold is 2, and 1 different key", "list more")


# -- the signing key


@pytest.mark.parametrize("content", [None, b"no key"])
def test_a_signing_key_that_cannot_be_read(node, content) -> None:
    path = Path(node.options["signature-private-key-file"])
    path.unlink() if content is None else path.write_bytes(content)
    finds(node, "WRONG", f"signature-private-key-file {path}: ", "name the right file")


def test_a_signing_key_that_is_too_small(node) -> None:
    sign_with(node, small_key())
    (listed, key) = findings(node)
    assert "has an RSA key of 1024 bits" in listed[1]
    assert key[0] == "WRONG"
    assert "nobody would believe it" in key[1]
    node.options["signature-legacy"] = "publish accept"
    (listed, key) = findings(node)
    assert (listed[0], key[0]) == ("WARN", "WARN")


def test_a_signing_key_that_cannot_sign_for_older_programs(node) -> None:
    node.options["signature-legacy"] = "publish"
    finds(node, "WRONG", "takes an RSA key, and this is none", "take publish out")


def test_a_signer_that_does_not_believe_itself(node) -> None:
    other = generate("ed25519").self_signed("other", time.time())
    node.options["signature-certificate-list"] = other
    finds(node, "WRONG", "is not in signature-certificate-list", "add its certificate")


def test_a_certificate_of_another_key(node) -> None:
    other = generate("ed25519").self_signed("other", time.time())
    path = node.write("other.cert", other.encode())
    node.options["signature-certificate-file"] = str(path)
    finds(node, "WRONG", f"{path} is not of signature-private-key-file", "made together")


def test_its_own_certificate(node) -> None:
    own = node.options["signature-certificate-list"].encode()
    node.options["signature-certificate-file"] = str(node.write("own.cert", own))
    assert findings(node) == []


def test_a_certificate_file_that_is_not_there(node) -> None:
    node.options["signature-certificate-file"] = "/nowhere/own.cert"
    finds(node, "WRONG", "/nowhere/own.cert: No such file", "or remove the option")


def test_a_signing_key_that_others_may_read(node) -> None:
    path = Path(node.options["signature-private-key-file"])
    path.chmod(0o640)
    finds(node, "WRONG", f"{path} (mode 640)", f"chmod 600 {path}")


# -- files


@pytest.mark.parametrize("option", ["shacache-ca-file", "shadir-cert-file"])
def test_a_tls_file_that_is_not_there(node, option) -> None:
    node.options[option] = "/nowhere/x.pem"
    other = option.replace("shadir", "shacache")
    finds(node, "WRONG", f"{other} /nowhere/x.pem cannot be read", "name a file")


def test_a_tls_key_that_others_may_read(node) -> None:
    path = node.write("account.key", b"")
    path.chmod(0o604)
    node.options["shacache-key-file"] = str(path)
    finds(node, "WRONG", f"shacache-key-file {path} (mode 604)", f"chmod 600 {path}")


def test_tls_files_that_are_none(node, near) -> None:
    path = node.write("ca.pem", b"no certificate")
    node.options["shacache-ca-file"] = str(path)
    for option in ("upload-cache-url", "upload-dir-url", "signature-private-key-file"):
        del node.options[option]
    for option in ("download-cache-url", "download-dir-url"):
        node.options[option] = node.options[option].replace("http:", "https:")
    finds(node, "WRONG", f"the TLS files {path} cannot be used", "of one account")


def test_a_local_store_of_ones_own(node, store) -> None:
    assert findings(node) == []


def test_a_local_store_that_others_may_write_in(node, store) -> None:
    store.chmod(0o770)
    finds(node, "WRONG", f"{store} is not used: others may write", "set local-store")


def test_a_local_store_behind_a_link(node, store) -> None:
    link = node.folder / "link"
    link.symlink_to(store)
    node.options["local-store"] = str(link)
    finds(node, "WRONG", f"{link} is not used: it is a link", "set local-store")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a folder away")
def test_a_local_store_of_somebody_else(node, store) -> None:
    os.chown(store, 12345, 12345)
    finds(node, "WRONG", "it belongs to user 12345", "set local-store")


def test_a_memory_that_others_may_write_in(node) -> None:
    folder = node.folder / "cache" / "slapos.networkcache"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    finds(node, "WRONG", f"{folder} is not used", f"chmod 700 {folder}")


# -- releases


@pytest.fixture
def builder(node, near) -> Node:
    """One that has releases, and publishes them; all is well with it, too."""
    (node.folder / "root").mkdir()
    node.slapos["software_root"] = str(node.folder / "root")
    for way in ("download", "upload"):
        node.options[f"{way}-binary-cache-url"] = near.source.cache_url
        node.options[f"{way}-binary-dir-url"] = near.source.dir_url
    return node


def test_a_software_root(builder) -> None:
    assert findings(builder) == []
    what = f"they are in {builder.slapos['software_root']}"
    assert what in [finding["what"] for finding in examine(builder)["findings"]]


def test_a_software_root_that_is_not_there(builder) -> None:
    builder.slapos["software_root"] += "/none"
    finds(builder, "WRONG", "/root/none is not there", "change section [slapos] of ")


def test_a_builder_of_releases_alone(builder) -> None:
    for option in ("upload-cache-url", "upload-dir-url"):
        del builder.options[option]
    assert findings(builder) == []


def test_releases_that_must_come_from_nowhere(node) -> None:
    node.options["download-from-binary-cache-force-url-list"] = "http://example.com"
    what = "no source has what is in download-from-binary-cache-force-url-list"
    finds(node, "WRONG", what, "set download-binary-cache-url")


def test_releases_for_old_nodes_that_they_do_not_take(builder) -> None:
    builder.options["binary-cache-archive"] = "tar.gz"
    what = "they need a software_root of /opt/slapgrid and signature-legacy = publish"
    finds(builder, "WARN", what, "or binary-cache-archive = tar.zst")


# -- servers


def test_a_source_that_is_dead(node, dead) -> None:
    node.options["download-cache-url-list"] = node.options["download-dir-url-list"] = dead
    told = findings(node)
    assert [mark for mark, _, _ in told] == ["?", "?"]
    for (_, what, change), service in zip(told, ("SHADIR", "SHACACHE"), strict=True):
        assert what == f"source 1: {service} {dead}: unreachable: Connection refused"
        assert "whether the server runs" in change


def test_each_service_by_itself(node, dead) -> None:
    """A dead one does not hide what the other one says."""
    for option in ("download-dir-url", "upload-dir-url"):
        node.options[option] = dead
    told = findings(node)
    assert told[0][1].startswith(f"source 1, upload: SHADIR {dead}: unreachable: ")
    assert [mark for mark, _, _ in told] == ["?", "?"]
    assert f"may upload entries to {dead} cannot be told: " in told[1][1]


def test_a_service_that_hangs_does_not_hide_the_other(node, near) -> None:
    near.plan(faults.silent, "GET /shadir")
    slow, put = findings(node)
    assert "too-slow" in slow[1]
    assert "may upload entries" in put[1]


def test_a_source_that_may_not_be_read(node, near) -> None:
    near.plan(faults.refuse(Code.FORBIDDEN), "GET /shadir")
    finds(node, "WRONG", ": forbidden: ", "ask who runs the server")


def test_what_is_no_network_cache(node, near) -> None:
    near.plan(faults.say(200, b"<html>It works!</html>"), "GET /shadir")
    finds(node, "?", "unreachable: the directory's answer is not JSON", "check the URL")


@pytest.mark.parametrize("offset", [-400, 400])
def test_a_clock_that_is_off(node, near, offset) -> None:
    near.plan(faults.clock(offset))
    finds(node, "WRONG", "s apart: nothing is published", "set whichever clock is wrong")
    for option in ("upload-cache-url", "upload-dir-url", "signature-private-key-file"):
        del node.options[option]
    finds(node, "WARN", "s apart: nothing is published", "set whichever clock is wrong")


def test_a_clock_that_is_far_off(node, near) -> None:
    near.plan(faults.clock(700))
    finds(node, "WRONG", "new entries of one side are refused by the other", "clock")


# -- rights


def test_a_node_without_an_account(tmp_path, make_server) -> None:
    node = Node.of(tmp_path / "node", make_server(anonymous=False))
    told = findings(node)
    assert [mark for mark, _, _ in told] == ["WRONG", "WRONG"]
    for (_, what, change), which in zip(told, ("contents", "entries"), strict=True):
        assert f"this node may not upload {which} to " in what
        assert ": unauthorized: " in what
        assert "shacache-cert-file" in change


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (Code.FORBIDDEN, "ask who runs the server for the right"),
        (Code.STORAGE_FULL, "the server's disk is full"),
        (Code.QUOTA, "quota is used up"),
        (Code.READ_ONLY, "ask who runs the server"),
    ],
)
def test_a_server_that_takes_no_contents(node, near, code, change) -> None:
    near.plan(faults.refuse(code), "POST /shacache")
    finds(node, "WRONG", f": {code}: refused: {code}", change)


def test_a_server_that_takes_no_entries(node, near) -> None:
    near.plan(faults.refuse(Code.FORBIDDEN), "PUT /shadir")
    finds(node, "WRONG", "this node may not upload entries to", "ask who runs the server")


def test_an_older_server_cannot_be_asked(node, near) -> None:
    """It might take anything for a pair, and keep it in the place of all others."""
    near.plan(faults.say(404, b""), "POST /shadir")
    finds(node, "?", "cannot be told without making an entry", "upload something")
    assert "PUT" not in {asked.method for asked in near.requests}
    what = [finding["what"] for finding in examine(node)["findings"]]
    assert any(text.endswith("without batches, as older servers do") for text in what)


# -- wrong use


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nonsense",), "expected networkcache:OPTION=VALUE"),
        (("-c", "/nowhere"), "/nowhere cannot be read"),
    ],
)
def test_wrong_use(node, arguments, sentence) -> None:
    done = node.run("doctor", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert sentence in done.stderr
