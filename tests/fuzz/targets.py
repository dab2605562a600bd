"""The parsers of what comes from outside, as functions of bytes.

Each raises nothing but the errors that its docstring documents, which are caught here; an
`AssertionError` where what it made of the bytes is not what it promises.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from urllib.parse import quote, unquote, urlsplit

from slapos.networkcache.binary.manifest import Manifest
from slapos.networkcache.certificates import CertificateList
from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import DEPTH_LIMIT, PAIR_LIMIT, Entry, Pair, nested_deeper
from slapos.networkcache.errors import (
    InvalidArchive,
    InvalidDigest,
    InvalidEntry,
    InvalidInput,
    InvalidKey,
    Refusal,
)
from slapos.networkcache.key import KEY_LIMIT, Key
from slapos.networkcache.protocol import (
    BATCH_LIMIT,
    Batch,
    BatchAnswer,
    decode_directory,
    decode_put,
    encode_directory,
    encode_put,
    refusal,
)
from slapos.networkcache.ranges import parse_range
from slapos.networkcache.record import decode_record, encode_record
from slapos.networkcache.server.accounts.authority import requested_key
from slapos.networkcache.server.accounts.rights import KINDS, Right, check
from slapos.networkcache.server.directory import accept
from slapos.networkcache.server.pages.statements import statement_of
from slapos.networkcache.storage import Stored
from slapos.networkcache.unpacking import as_invalid
from slapos.networkcache.unpacking.tar import read_tar

Target = Callable[[bytes], None]

KEY = Key.parse("pypi:a=1")
RELEASE = Key.for_release("https://example.com/dist/software.cfg")
PREFIX = "https://example.com/dist/"
ASKED = Batch((KEY, Key.parse("pypi:b=2")), (Digest.of(b""),))


def _text(data: bytes) -> str:
    """Any text, lone surrogates included, which JSON can hold."""
    return data.decode("utf-8", "surrogatepass" if b"\xed" in data else "replace")


def entry(data: bytes) -> None:
    """An entry, as a reader takes it and as a server does."""
    with suppress(UnicodeDecodeError):
        _entry(_text(data))


def _entry(text: str) -> None:
    parsed = None
    with suppress(InvalidEntry):
        parsed = Entry.parse(text)
    if parsed is not None:
        assert parsed.text == text
        assert text.isascii()
        assert not nested_deeper(dict(parsed.members))
        assert parsed.legacy or None not in (parsed.key, parsed.size, parsed.created)
    with suppress(Refusal):
        digest, may_come_later = accept(KEY, Pair(text, ""))
        _readable_by_old_clients(text, digest)
        if may_come_later:
            assert "format" not in json.loads(text)
        return
    # What is refused is none that a reader believes under this key.
    assert parsed is None or not (parsed.legacy or parsed.key == KEY.text)


def _readable_by_old_clients(text: str, digest: Digest) -> None:
    members = json.loads(text)
    assert members["sha512"].lower() == digest.hex
    assert not nested_deeper(members, DEPTH_LIMIT)
    json.dumps(members, ensure_ascii=False).encode()


def shown(data: bytes) -> None:
    """What a server takes as an entry of a release, on its page."""
    with suppress(UnicodeDecodeError, Refusal):
        pair = Pair(_text(data), "")
        digest, hidden = accept(RELEASE, pair)
        statement = statement_of(RELEASE, Stored(pair, "", hidden))
        assert statement.digest == digest


def rights(data: bytes) -> None:
    """Whether an account may put an entry; and the text of a right itself."""
    with suppress(UnicodeDecodeError, InvalidInput):
        right = Right.parse(_text(data))
        assert Right.parse(str(right)) == right
    with suppress(ValueError, RecursionError):
        members = json.loads(data)
        if isinstance(members, dict):
            _rights(members)


def _rights(members: Mapping[str, object]) -> None:
    for name in KINDS:
        with suppress(Refusal):
            check([Right.parse(name)], KEY, members)
    url = members.get("url")
    if not isinstance(url, str):
        return
    key = Key.for_file(url)
    with suppress(Refusal):
        check([Right.parse(f"file-urlmd5:{PREFIX}")], key, {**members, "key": key.text})
        # As another parser of URLs has it.
        parts = urlsplit(url)
        assert (parts.scheme, parts.hostname) == ("https", "example.com")


def put(data: bytes) -> None:
    """A pair as somebody puts it."""
    with suppress(Refusal):
        pair = decode_put(data)
        assert pair.size <= PAIR_LIMIT
        assert base64.b64encode(pair.signature_bytes()).decode() == pair.signature
        assert decode_put(encode_put(pair)) == pair
        _entry(pair.entry)


def directory(data: bytes) -> None:
    """What a directory answers, and all in it."""
    pairs = []
    with suppress(InvalidEntry):
        for pair in decode_directory(data):
            if isinstance(pair, Pair):
                pairs.append(pair)
                _entry(pair.entry)
        assert list(decode_directory(encode_directory(pairs))) == pairs


def batch(data: bytes) -> None:
    with suppress(Refusal):
        asked = Batch.decode(data)
        assert len(asked.keys) <= BATCH_LIMIT
        assert len(asked.contents) <= BATCH_LIMIT
        assert Batch.decode(asked.encode()) == asked


def batch_answer(data: bytes) -> None:
    with suppress(InvalidEntry):
        answer = BatchAnswer.decode(data, ASKED)
        assert set(answer.entries) <= set(ASKED.keys)
        assert set(answer.later) <= set(ASKED.keys)
        for pairs in answer.entries.values():
            assert all(isinstance(pair, (Pair, InvalidEntry)) for pair in pairs)
        again = BatchAnswer.decode(answer.encode(), ASKED)
        assert again.missing_content == answer.missing_content


def refused(data: bytes) -> None:
    """What a server, be it one of ours or not, says when it refuses."""
    code = _text(data[:20]) if b"\xed" not in data[:20] else None
    error = refusal(400 + len(data) % 120, code, data)
    assert str(error).isprintable()
    assert len(str(error)) <= 500


def key(data: bytes) -> None:
    text = data.decode("latin-1")
    with suppress(InvalidKey):
        parsed = Key.parse(text)
        assert parsed.text == text
        assert 1 <= len(text) <= KEY_LIMIT
        assert unquote(quote(text, safe="")) == text
        assert parsed.suffix in text
    with suppress(InvalidDigest):
        assert Digest.parse(text).hex == text.lower()


def byte_range(data: bytes) -> None:
    """A range of a content as long as the first byte says."""
    size = data[0] if data else 0
    with suppress(Refusal):
        part = parse_range(data[1:].decode("latin-1"), size)
        assert part is None or 0 <= part.start < part.stop <= size


def certificates(data: bytes) -> None:
    """A list of them, or one in DER."""
    listed = CertificateList.parse(_pem(data, "CERTIFICATE"))
    assert len(set(listed.certificates)) == len(listed.certificates)
    for certificate in listed.certificates:
        again = CertificateList.parse(certificate.pem)
        assert again.certificates == (certificate,)
        certificate.verify(data[:64], b"")
        certificate.verify_legacy(data[:64], b"")


def request(data: bytes) -> None:
    """A request for a certificate, in PEM or DER."""
    with suppress(InvalidInput):
        key = requested_key(_pem(data, "CERTIFICATE REQUEST"))
        assert getattr(key, "key_size", 256) >= 256


def _pem(data: bytes, what: str) -> str:
    """The text that `data` is, or is the DER of."""
    if data.startswith(b"\x30"):
        body = base64.b64encode(data).decode()
        return f"-----BEGIN {what}-----\n{body}\n-----END {what}-----\n"
    return data.decode("utf-8", "replace")


def run_record(data: bytes) -> None:
    with suppress(InvalidInput):
        used = decode_record(data)
        once = list({(each.key, each.digest): each for each in used}.values())
        assert decode_record(encode_record(used)) == once


class _Nowhere:
    """Takes the members of an archive, and keeps nothing."""

    def folder(self, name: str) -> None:
        assert isinstance(name, str)

    def file(
        self,
        name: str,
        size: int,
        mode: int,
        pieces: Iterable[bytes],
        modified: float | None = None,
    ) -> None:
        assert sum(map(len, pieces)) <= size

    def hard_link(self, name: str, target: str) -> None:
        self.folder(name)

    def link(self, name: str, target: str) -> None:
        self.folder(name)


def archive(data: bytes) -> None:
    """A tar as `networkcache server import` reads it; its checksums are made right."""
    with suppress(InvalidArchive), as_invalid():
        read_tar(io.BytesIO(_with_checksums(data)), _Nowhere())


def _with_checksums(data: bytes) -> bytes:
    blocks = [data[at : at + 512] for at in range(0, len(data), 512)]
    return b"".join(_with_checksum(b) if b[257:262] == b"ustar" else b for b in blocks)


def _with_checksum(block: bytes) -> bytes:
    checksum = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    return b"%b%06o\0 %b" % (block[:148], checksum, block[156:])


def manifest(data: bytes) -> None:
    with suppress(InvalidArchive):
        parsed = Manifest.parse(data)
        assert Manifest.parse(parsed.serialised()) == parsed
        for member in parsed.changed:
            for span, number in parsed.spans(member):
                assert span.offset >= 0
                assert span.length >= len(parsed.prefixes[number])


TARGETS: Mapping[str, Target] = {
    "entry": entry,
    "put": put,
    "shown": shown,
    "rights": rights,
    "directory": directory,
    "batch": batch,
    "batch-answer": batch_answer,
    "refused": refused,
    "key": key,
    "range": byte_range,
    "certificates": certificates,
    "request": request,
    "record": run_record,
    "manifest": manifest,
    "archive": archive,
}
