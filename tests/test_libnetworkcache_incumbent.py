"""The same program with `slapos.libnetworkcache` 0.30 and with ours, against one server."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import incumbents
import pytest
from wire import put

from slapos.networkcache.certificates import Signer, generate
from slapos.networkcache.testing import NetworkCache, faults

pytestmark = pytest.mark.incumbent

HERE = Path(__file__).resolve().parent
OLD, OURS = "slapos.libnetworkcache", "slapos.networkcache.libnetworkcache"
CONTENTS = ["the first", "the second", "the third"]
NOWHERE = "http://127.0.0.1:1"

Form = Sequence[Any]


@pytest.fixture(scope="session", autouse=True)
def environment() -> Path:
    try:
        return incumbents.client_environment()
    except incumbents.Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def signer() -> Signer:
    return generate("rsa")


@pytest.fixture
def run(environment: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run the program with one of the two modules."""

    def run(module: str, call: str, form: Form, **arguments: Any) -> dict[str, Any]:
        python = environment / "bin/python" if module == OLD else sys.executable
        done = subprocess.run(
            [python, HERE / "old_program.py", module, call],
            input=json.dumps({"form": form, **arguments}),
            capture_output=True,
            text=True,
            env={**incumbents.clean(), "XDG_CACHE_HOME": str(tmp_path / f"seen-{module}")},
            timeout=120,
            cwd=HERE.parent,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return run


@pytest.fixture
def both(run: Callable[..., dict[str, Any]]) -> Callable[..., tuple[dict, dict]]:
    """The same call with each of the two."""
    return lambda *call, **arguments: (
        run(OLD, *call, **arguments),
        run(OURS, *call, **arguments),
    )


@pytest.fixture
def options(shared_server: Any, tmp_path: Path, signer: Signer) -> dict[str, str]:
    private_key = tmp_path / "signature.key"
    private_key.write_bytes(signer.private_pem())
    private_key.chmod(0o600)
    return {
        "download-cache-url": shared_server.cache_url,
        "download-dir-url": shared_server.dir_url,
        "upload-cache-url": shared_server.cache_url,
        "upload-dir-url": shared_server.dir_url,
        "signature-certificate-list": signer.self_signed("x", time.time()),
        "signature-private-key-file": str(private_key),
        "signature-legacy": "accept publish",
    }


def key_of(url: str) -> str:
    return "file-urlmd5:" + hashlib.md5(url.encode()).hexdigest()


URL_KEY = key_of("http://example.com/a b")


def essence(answer: dict[str, Any]) -> dict[str, Any]:
    """What must agree: not the words of a message, and no line but those of 0.30."""
    return {name: answer.get(name) for name in ("result", "error", "logger")}


# -- results


@pytest.mark.parametrize("reader", [OLD, OURS])
@pytest.mark.parametrize("writer", [OLD, OURS])
def test_each_reads_what_each_has_written(
    make_server: Callable[..., Any],
    run: Callable[..., dict[str, Any]],
    options: dict[str, str],
    writer: str,
    reader: str,
) -> None:
    server = make_server()
    for way in ("download", "upload"):
        options[f"{way}-cache-url"] = server.cache_url
        options[f"{way}-dir-url"] = server.dir_url
    form = [[options], {}]
    written = run(writer, "write", form, key=URL_KEY, contents=CONTENTS)
    digests = [hashlib.sha512(text.encode()).hexdigest() for text in CONTENTS]
    assert written["result"] == digests
    answer = run(reader, "read", form, key=URL_KEY)
    entries = [
        {"sha512": d, "url": "http://example.com/a b", "list": [1, "é"], "number": n}
        for n, d in enumerate(digests)
    ]
    count = len(CONTENTS)
    assert answer["result"] == {
        "entries": entries[::-1],  # the latest first
        "contents": CONTENTS[::-1],
        "pieces": ["the", " first", ""],
        "wanted": 1,
        "lacking": 0,
        "required": count,
        "pairs": [["list", "str", "str"]] * count,
        # The old one cannot verify the signatures of today that stand beside.
        "verified": [False, True] if (writer, reader) == (OURS, OLD) else [True],
        "filtered": [1],
    }


def test_the_old_one_reads_only_what_is_published_for_it(
    run: Callable[..., dict[str, Any]], options: dict[str, str], key: str
) -> None:
    options["signature-legacy"] = "refuse"
    form = [[options], {}]
    run(OURS, "write", form, key=key, contents=["a"])
    assert run(OLD, "select", form, key=key)["result"] == []
    assert len(run(OURS, "select", form, key=key)["result"]) == 1


def test_ours_reads_only_what_it_accepts(
    run: Callable[..., dict[str, Any]], options: dict[str, str], key: str
) -> None:
    options["signature-legacy"] = "refuse"
    form = [[options], {}]
    url_key = key_of(key)
    run(OLD, "index", form, key=url_key, content="a")
    assert len(run(OLD, "select", form, key=url_key)["result"]) == 1
    answer = run(OURS, "select", form, key=url_key)
    assert answer["result"] == []
    assert "signature-legacy = accept" in answer["log"][-1][1]


@pytest.mark.parametrize("call", ["only_upload", "upload_from_pipe"])
def test_contents_alone(
    both: Callable[..., tuple[dict, dict]], options: dict[str, str], call: str
) -> None:
    old, ours = both(call, [[options], {}], content="a content")
    assert essence(old) == essence(ours)
    assert ours["result"] == hashlib.sha512(b"a content").hexdigest()


def test_index(
    run: Callable[..., dict[str, Any]], options: dict[str, str], key: str
) -> None:
    for module in (OLD, OURS):
        answer = run(module, "index", [[options], {}], key=f"{key}-{module}", content="b")
        assert answer["result"] == [7]


def test_folders(
    run: Callable[..., dict[str, Any]], options: dict[str, str], tmp_path: Path
) -> None:
    for module in (OLD, OURS):
        folder = tmp_path / module
        answer = run(module, "carry", [[options], {}], folder=str(folder))
        assert answer["result"] == [["tree"], "in the tree"]


def test_whether_it_is_configured(
    both: Callable[..., tuple[dict, dict]], options: dict[str, str]
) -> None:
    old, ours = both("announce", [[options], {}], key="KEY")
    assert old == ours
    assert ours["result"] == [True, True]
    old, ours = both("announce", [[{}], {}], key="KEY")
    assert old == ours
    assert (ours["result"], ours["log"]) == ([False, False], [])


# -- the constructor


def forms(options: dict[str, str], file: Path) -> dict[str, Form]:
    lines = (f"{n} = {v.strip()}".replace("\n", "\n ") for n, v in options.items())
    file.write_text("\n".join(["[other]", "a = b", "[networkcache]", *lines, ""]))
    pem = options["signature-certificate-list"]
    cache, dir = options["download-cache-url"], options["download-dir-url"]
    key = options["signature-private-key-file"]
    less = {n: v for n, v in options.items() if n != "signature-certificate-list"}
    return {
        "section": [[options], {}],
        "file": [["FILE", str(file)], {}],
        "named": [[], {"config": options}],
        "other-certificates": [[options, [pem, pem]], {}],
        "text-of-certificates": [[less, pem + pem], {}],
        "named-certificates": [[less], {"signature_certificate_list": [pem]}],
        "urls": [[cache, dir], {}],
        "urls-and-key": [[cache, dir, key, [pem]], {}],
        "ten": [[cache, dir, key, pem, "ca", "key", "cert", "ca2", "key2", "cert2"], {}],
        "named-urls": [
            [],
            {
                "shacache": cache,
                "shadir": dir,
                "signature_private_key_file": key,
                "signature_certificate_list": pem,
                "shacache_ca_file": None,
                "shacache_key_file": None,
                "shacache_cert_file": None,
                "shadir_ca_file": None,
                "shadir_key_file": None,
                "shadir_cert_file": None,
            },
        ],
        "nothing": [[], {}],
        "eleven": [[cache, dir, key, pem, *"abcdefg"], {}],
        "unknown": [[cache, dir], {"shadir_password": "x"}],
        "no-such-key-file": [[cache, dir, key + "s", [pem]], {}],
        "key-without-certificate": [[cache, dir, key], {}],
        "no-section": [["FILE", str(file.with_name("empty"))], {}],
    }


@pytest.mark.parametrize("name", forms(dict.fromkeys(
    ("download-cache-url", "download-dir-url", "signature-private-key-file",
     "signature-certificate-list"), ""), Path("/dev/null")))  # fmt: skip
def test_forms(
    both: Callable[..., tuple[dict, dict]],
    options: dict[str, str],
    tmp_path: Path,
    name: str,
) -> None:
    (tmp_path / "empty").write_text("")
    form = forms(options, tmp_path / "slapos.cfg")[name]
    old, ours = both("construct", form)
    if name in ("other-certificates", "text-of-certificates"):
        assert (old.pop("result"), ours.pop("result")) == (2, 1)  # one key is one signer
    assert essence(old) == essence(ours)


# -- errors, and the log


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("select", {"key": URL_KEY[:-1] + "g"}),
        ("select_generic", {"key": "nowhere"}),
        ("download", {"digest": "0" * 128}),
        ("download", {"digest": "not-a-digest"}),
        ("upload_without_members", {"key": "some-key"}),
    ],
)
def test_errors(
    both: Callable[..., tuple[dict, dict]],
    options: dict[str, str],
    call: str,
    arguments: dict[str, str],
) -> None:
    old, ours = both(call, [[options], {}], **arguments)
    assert essence(old) == essence(ours)
    assert ours["error"]
    if "key" in arguments:
        assert old["message"] == ours["message"]


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("select", {"key": "k"}),
        ("download", {"digest": "0" * 128}),
        ("only_upload", {"content": "a"}),
    ],
)
def test_nobody_there(
    both: Callable[..., tuple[dict, dict]], call: str, arguments: dict[str, str]
) -> None:
    old, ours = both(call, [[NOWHERE, NOWHERE], {}], **arguments)
    assert old["error"] == ["ConnectionRefusedError", ["OSError"], None]
    assert ours["error"] == ["ConnectionError", ["OSError"], None]


def test_wrong_content(both: Callable[..., tuple[dict, dict]], near: NetworkCache) -> None:
    digest = near.contents.put([b"good"]).hex
    near.plan(faults.wrong, "GET /shacache")
    form = [[near.source.cache_url, near.source.dir_url], {}]
    old, ours = both("download", form, digest=digest)
    assert essence(old) == essence(ours)
    assert ours["message"].startswith(old["message"])


def test_no_json(both: Callable[..., tuple[dict, dict]], near: NetworkCache) -> None:
    near.plan(faults.say(200, b"not JSON"), "GET /shadir")
    form = [[near.source.cache_url, near.source.dir_url], {}]
    old, ours = both("select", form, key="k")
    start = "Failed to parse json response"
    for answer in (old, ours):
        assert "NetworkcacheException" in answer["error"][1]
        assert answer["message"].startswith(start)


def test_what_is_forgiven_is_logged(
    both: Callable[..., tuple[dict, dict]], options: dict[str, str]
) -> None:
    old, ours = both("forgive", [[options], {}], key="nowhere")
    assert essence(old) == essence(ours)
    assert old["log"] == ours["log"]
    assert len(ours["log"]) == 3


def test_a_wrong_certificate_is_named(
    both: Callable[..., tuple[dict, dict]], options: dict[str, str]
) -> None:
    bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    options["signature-certificate-list"] += bad
    old, ours = both("construct", [[options], {}])
    assert essence(old) == essence(ours)
    for answer in (old, ours):
        (line,) = answer["log"]
        assert line[1].startswith("Ignored wrong certificate, reason:")


@pytest.mark.parametrize("certificates", ["", "not a certificate"])
def test_only_ours_believes_nobody_without_a_list(
    both: Callable[..., tuple[dict, dict]],
    shared_server: Any,
    key: str,
    certificates: str,
) -> None:
    url_key = key_of(key + certificates)
    entry = json.dumps({"sha512": hashlib.sha512(b"").hexdigest(), "url": key})
    assert put(shared_server, url_key, [entry, ""]).status == 201
    urls = [shared_server.cache_url, shared_server.dir_url]
    old, ours = both("only_upload", [urls, {}], content="")
    assert old["result"] == ours["result"]
    old, ours = both("select", [[*urls, None, certificates], {}], key=url_key)
    assert (len(old["result"]), len(ours["result"])) == (1, 0)
    warnings = [line for level, line in ours["log"] if level == "WARNING"]
    assert len(warnings) == 1
    assert "signature-certificate-list" in warnings[0]
