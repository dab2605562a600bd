"""What the fuzzer of the parsers begins with: golden files, and examples of the rest."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from targets import ASKED, KEY, PREFIX, RELEASE

from slapos.networkcache.binary.builds import Build
from slapos.networkcache.binary.manifest import Manifest
from slapos.networkcache.binary.requirements import Requirements
from slapos.networkcache.certificates import Signer
from slapos.networkcache.digest import Digest
from slapos.networkcache.elf import Abi
from slapos.networkcache.errors import Code, Refusal
from slapos.networkcache.protocol import Batch, error_body
from slapos.networkcache.record import Used, encode_record

TESTS = Path(__file__).resolve().parent.parent
GOLDEN = TESTS / "golden"
FOUND = Path(__file__).resolve().parent / "found"
"""Inputs that once were a fault, in a folder for each target: they stay seeds for good."""
LONGEST = 16 << 10
"""Bytes of a seed, at most: the shorter, the more inputs a second."""

_DIGEST = Digest.of(b"")
_HASH = "0123456789abcdef" * 2
_MANIFEST = Manifest(
    ("/opt/slapgrid/0123", "/opt/shared"),
    {"0123/bin/curl": [[17, 9046], [1042]]},
    {"0123/bin/curl": [[[90, 62]]]},
    {"0123/bin/python": 0, "0123/etc/localtime": None},
    {f"shared/0/zlib/{_HASH}": "5f" * 32},
)
_URL = f"{PREFIX}software.cfg"
_BUILD = Build(
    software_url=_URL,
    software_root="/opt/slapgrid",
    prefix="/opt/slapgrid/0123",
    shared=("/opt/shared",),
    files=3,
    unpacked_size=4,
    manifest=5,
    archive="tar.zst",
    requirements=Requirements(
        abi=Abi("x86_64", 64, "little"),
        kernel=(3, 2, 0),
        cpu_level=2,
        interpreters=("/lib64/ld-linux-x86-64.so.2",),
        libraries={"libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.34"), "libz.so.1": ()},
        pythons={"/usr/bin/python3": "cpython-311"},
        unresolved=("libodbc.so.2",),
    ),
)
_HURTS = (
    *(b"null", b"true", b"NaN", b"-1", b"1.0", b"1e999", b"9007199254740993", b"[[[[[[[["),
    *(b'"\\ud800"', b"\\u0000", b"\xe2\x80\xae", b"\xed\xa0\x80", b"\r\n", b"\0"),
    *(b"bytes=", b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"),
)
_RANGES = ("bytes=0-3", "bytes=4-", "bytes=-4", "bytes=0-1,3-4", "bytes=9-", "items=0-3")


def seeds_of(target: str) -> list[bytes]:
    """What to begin with for a target."""
    known = sorted((FOUND / target).glob("*")) if FOUND.is_dir() else []
    seeds = [*_SEEDS[target], *(path.read_bytes() for path in known)]
    return [seed for seed in dict.fromkeys(seeds) if len(seed) <= LONGEST]


def words_of(seeds: Iterable[bytes]) -> list[bytes]:
    """What to put together anew: strings of JSON that stand in them, and what hurts."""
    found = {word for seed in seeds for word in re.findall(rb'"[\w:.=-]{0,40}"', seed)}
    return sorted(found.union(_HURTS))


def _answers() -> list[bytes]:
    return [path.read_bytes() for path in sorted((GOLDEN / "answers").glob("*.json"))]


def _pairs() -> Iterator[list[object]]:
    for answer in _answers():
        try:
            pairs = json.loads(answer)
        except ValueError:
            continue
        yield from (pair for pair in pairs if isinstance(pair, list))


def _entries() -> Iterator[bytes]:
    yield from (str(pair[0]).encode("utf-8", "surrogatepass") for pair in _pairs() if pair)


def _releases() -> Iterator[bytes]:
    """Of ours, and of slapos.core's, older ones too."""
    old = {"sha512": _DIGEST.hex, "software_url": _URL, "software_root": "/opt/slapgrid"}
    ours = {"format": 1, "key": RELEASE.text, "size": 1, "created": 1}
    distribution = ("debian", "12", "bookworm")
    for members in (
        {**ours, **old, **_BUILD.members()},
        {**old, "multiarch": "x86_64-linux-gnu", "os": distribution},
        {**old, "machine": "x86_64", "os": str(distribution)},
    ):
        yield json.dumps(members).encode()


def _rights() -> Iterator[bytes]:
    yield from (right.encode() for right in ("pypi", "release", f"file-urlmd5:{PREFIX}"))
    for url in (_URL, f"{PREFIX}%2e%2e/x", "https://EXAMPLE.com:443/dist/x#y"):
        for name in ("url", "software_url", "profile", "repository", "urlmd5"):
            yield json.dumps({"format": 1, "key": KEY.text, name: url}).encode()


def _batch_answers() -> Iterator[bytes]:
    for pair in _pairs():
        answer = {"entries": {KEY.text: [pair]}, "missing_content": [], "later": []}
        yield json.dumps(answer).encode()
    missing = [digest.hex for digest in ASKED.contents]
    later = [key.text for key in ASKED.keys]
    answer = {"entries": {}, "missing_content": missing, "later": later}
    yield json.dumps(answer).encode()


def _certificates() -> list[bytes]:
    each = [path.read_bytes() for path in sorted((GOLDEN / "keys").glob("*.crt"))]
    return [*each, *map(_der, each), b"# comment\n".join(each[:3])]


def _requests() -> Iterator[bytes]:
    for path in sorted((GOLDEN / "keys").glob("*.key")):
        pem = Signer.parse(path.read_bytes()).request("anna").encode()
        yield from (pem, _der(pem))


def _der(pem: bytes) -> bytes:
    return base64.b64decode(b"".join(pem.splitlines()[1:-1]))


def _archives() -> list[bytes]:
    folder = TESTS / "golden_archives" / "archives"
    return [path.read_bytes().rstrip(b"\0") for path in sorted(folder.glob("*.tar"))]


_SEEDS: Mapping[str, list[bytes]] = {
    "entry": list(_entries()),
    "shown": [*_releases(), *_entries()],
    "rights": [*_rights(), *_entries()],
    "put": [json.dumps(pair).encode() for pair in _pairs()],
    "directory": _answers(),
    "batch": [ASKED.encode(), Batch().encode(), b'{"keys": [1, "?", ".."]}'],
    "batch-answer": list(_batch_answers()),
    "refused": [error_body(Refusal(code, "no: \u202e")) for code in Code],
    "key": [b"pypi:a=1", b"0" * 32, b"0" * 128, b"..", b"a/b", b"x" * 256],
    "range": [b"\x08" + text.encode() for text in _RANGES],
    "certificates": _certificates(),
    "request": list(_requests()),
    "record": [encode_record([Used(KEY, _DIGEST, 1, 2)]), encode_record([])],
    "manifest": [_MANIFEST.serialised()],
    "archive": _archives(),
}
