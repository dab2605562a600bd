"""One pair, and one thing wrong with it."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from golden.case import (
    BUNDLE_KEY,
    CONTENT,
    DAY,
    EGG,
    EGG_KEY,
    NOW,
    OTHER,
    PAGE,
    PAGE_KEY,
    REPOSITORY,
    RUN_KEY,
    SOFTWARE,
    URL,
    Case,
    bundle,
    distribution,
    file,
    hexmd5,
    md5,
    of_entry,
    of_kind,
    one,
    page,
    release,
    run,
    sha256,
    sha512,
)
from golden.good import Cases
from golden.signing import STRANGER, fingerprint, signature, signed

from slapos.networkcache.errors import Reason

BAD = Reason.BAD_ENTRY
MISMATCH = Reason.KEY_MISMATCH


def cases() -> Cases:
    yield from of_the_answer()
    yield from of_the_text()
    yield from of_the_signature()
    yield from of_files()
    yield from of_distributions()
    yield from of_other_kinds()
    yield from of_time_and_digest()


def of_the_answer() -> Cases:
    yield "empty-list", Case("[]", Reason.NOT_FOUND)
    yield "not-json", Case("<html>", BAD)
    yield "not-a-list", Case("{}", BAD)
    yield "cut-answer", Case(json.dumps([signed(file())])[:-3], BAD)
    yield "not-a-list-nested-200000", Case('{"a":' + "[" * 200_000, BAD)
    yield "two-numbers", one([1, 2], BAD)
    yield "three-members", one([*signed(file()), ""], BAD)
    yield "nested-200000", Case("[" * 200_000 + "]" * 200_000, BAD)
    text, made = signed(file())
    yield "bad-base64", one([text, "*" + made[1:]], BAD)
    yield "unpadded-base64", one([text, made.rstrip("=")], BAD)
    yield "base64-with-line-end", one([text, made[:40] + "\n" + made[40:]], BAD)
    yield (
        "not-canonical-base64",
        one([text, made[:-3] + chr(ord(made[-3]) + 1) + "=="], BAD),
    )
    yield "lone-surrogate", one(["\ud800", made], BAD)
    yield "too-long-pair", of_entry(file(comment="x" * (64 << 10)), BAD)


def raw(old: str, new: str, reason: Reason = BAD) -> Case:
    """A pair whose text is changed before it is signed."""
    text = json.dumps(file())
    assert text.count(old) == 1, old
    return one(signed(text.replace(old, new)), reason)


def of_the_text() -> Cases:
    size = f'"size": {len(CONTENT)}'
    yield "unknown-format", of_entry(file(format=2), Reason.UNKNOWN_FORMAT)
    future: dict[str, Any] = {"format": 3, "sha3": "00", "size": "much"}
    yield "unknown-format-of-other-members", of_entry(future, Reason.UNKNOWN_FORMAT)
    yield "format-as-text", of_entry(file(format="1"), BAD)
    yield "no-format", of_entry(file(format=None), Reason.UNKNOWN_FORMAT)
    yield "true-for-one", raw('"format": 1', '"format": true')
    yield "float-for-one", raw('"format": 1', '"format": 1.0')
    yield "true-for-size", raw(size, '"size": true')
    yield "float-for-size", raw(size, f'"size": {len(CONTENT)}.0')
    yield "negative-size", of_entry(file(size=-1), BAD)
    yield "text-for-created", of_entry(file(created=str(NOW)), BAD)
    yield "integer-beyond-2-53", of_entry(file(size=(1 << 53) + 1), BAD)
    yield "integer-of-5000-digits", raw(size, '"size": ' + "9" * 5000)
    yield "nan", raw(size, size + ', "x": NaN')
    yield "infinity", raw(size, size + ', "x": -Infinity')
    yield "duplicate-member", raw(size, f'{size}, "url": "http://b/"')
    nested = '"x": {"a": 1, "a": 2}'
    yield "duplicate-member-inside", raw(size, f"{size}, {nested}")
    accents = json.dumps(file(comment="\u00e9"), ensure_ascii=False)
    yield "entry-beyond-ascii", of_entry(accents, BAD)
    yield "surrogate-in-member", of_entry(file(comment="\ud800"), BAD)
    deep = '"x": ' + "[" * 30_000 + "]" * 30_000
    yield "nested-30000-in-entry", raw(size, f"{size}, {deep}")
    deep = '"x": ' + "[" * 40 + "]" * 40
    yield "nested-40-in-entry", raw(size, f"{size}, {deep}")
    yield "entry-not-json", of_entry("hello", BAD)
    yield "entry-not-an-object", of_entry(json.dumps([file()]), BAD)
    yield "entry-cut", of_entry(json.dumps(file())[:-1], BAD)
    yield "digest-too-short", of_entry(file(sha512=file()["sha512"][:-1]), BAD)
    for name in ("sha512", "size", "created", "key"):
        yield f"no-{name}", of_entry(file(**{name: None}), BAD)
    yield "url-as-number", of_entry(file() | {"url": 1}, BAD)
    yield "signer-cut", of_entry(file(signer=fingerprint("ed25519")[:-1]), BAD)
    yield "md5-cut", of_entry(file(md5="00"), BAD)


def of_the_signature() -> Cases:
    unknown, bad, weak = (
        Reason.UNKNOWN_SIGNER,
        Reason.BAD_SIGNATURE,
        Reason.WEAK_SIGNATURE,
    )
    yield "unsigned", one([json.dumps(file()), ""], unknown)
    yield "unknown-signer", of_entry(file(), unknown, by=STRANGER)
    named = file(signer=fingerprint(STRANGER))
    yield "unknown-signer-named", of_entry(named, unknown, by=STRANGER)
    yield (
        "signed-by-another-than-named",
        of_entry(file(signer=fingerprint("p256")), bad, by="ed25519"),
    )
    text, made = signed(file(signer=fingerprint("ed25519")))
    yield "changed-after-signing", one([text.replace("hello", "other"), made], bad)
    yield "changed-white-space", one([text + " ", made], bad)
    text, made = signed(file())
    yield "changed-signer-not-named", one([text.replace("hello", "other"), made], unknown)
    yield "sha1-signature", one(signed(file(), "rsa-2048", "sha1"), weak)
    yield "rsa-1024", of_entry(file(), weak, by="rsa-1024")
    yield "rsa-1024-sha1", one(signed(file(), "rsa-1024", "sha1"), weak)
    accept = {"policy": {"accept_legacy": True}}
    yield "rsa-1024-sha512-not-legacy", of_entry(file(), weak, by="rsa-1024", **accept)
    for name in ("p256", "p384"):
        entry = file(signer=fingerprint(name))
        yield f"ecdsa-high-s-{name}", one(signed(entry, name, "high-s"), bad)
    entry = file(signer=fingerprint("p256"))
    yield "ecdsa-sha256", one(signed(entry, "p256", "sha256"), bad)
    zero = encode_dss_signature(0, 0)
    yield "ecdsa-zero", one([json.dumps(entry), b64encode(zero).decode()], bad)
    text = json.dumps(file(signer=fingerprint("rsa-2048")))
    yield "ed25519-for-rsa", one([text, signature("ed25519", text)], bad)
    none = {"policy": {"certificates": []}}
    yield "no-certificate-listed", of_entry(file(), unknown, **none)


def of_files() -> Cases:
    other = "http://example.com/other.tar.gz"
    yield "signed-for-another-key", of_entry(file(other), MISMATCH)
    # What a collision of MD5 looks like: the key is right, the URL is not.
    yield "signed-for-another-url", of_entry(file(url=URL) | {"url": other}, MISMATCH)
    by_key = {"asked": {"url": None}}
    collision = file() | {"url": other}
    yield "key-not-made-of-url", of_entry(collision, MISMATCH, **by_key)
    yield "no-url", of_entry(file(url=URL) | {"url": ""}, MISMATCH)
    entry = file()
    del entry["url"]
    yield "no-url-member", of_entry(entry, MISMATCH)
    yield "signed-for-another-kind", of_entry(page(), MISMATCH)
    yield "page-for-a-file", of_entry(page(url=URL), MISMATCH)
    yield "url-with-fragment", of_entry(file() | {"url": URL + "#x"}, MISMATCH)
    free = {"key": "my-own-key", "url": None}
    yield "unknown-kind", of_entry(of_kind("my-own-key"), MISMATCH, asked=free)
    free["any_kind"] = True
    yield "free-key-of-another", of_entry(of_kind("your-own-key"), MISMATCH, asked=free)
    old = {"key": f"slapos-buildout-{hexmd5(URL)}", "url": URL}
    yield (
        "old-kind-of-key",
        of_entry(of_kind(old["key"], url=URL, urlmd5=hexmd5(URL)), MISMATCH, asked=old),
    )


def of_distributions() -> Cases:
    asked: dict[str, Any] = {"key": EGG_KEY, "url": EGG}
    sdist = EGG.replace("-py3-none-any.whl", ".tar.gz")

    def bad(entry: dict[str, Any], **more: Any) -> Case:
        return of_entry(entry, MISMATCH, asked=asked | more)

    yield "another-file-of-that-version", bad(distribution(sdist))
    mirror = EGG.replace(".com", ".net")
    yield "file-of-another-index", bad(distribution(mirror))
    other = [["sha256", sha256(OTHER).hexdigest()]]
    yield "file-with-another-sha256", bad(distribution(), checksums=other)
    other = [["md5", md5(OTHER).hexdigest()]]
    yield "file-with-another-md5", bad(distribution(), checksums=other)
    unstated = distribution(sha256=None)
    right = [["sha256", sha256(CONTENT).hexdigest()]]
    yield "file-without-sha256", bad(unstated, checksums=right)
    sha1 = [["sha1", "0" * 40]]
    yield "file-of-another-index-sha1", bad(distribution(mirror), checksums=sha1)
    yield "no-basename", bad(distribution(basename=None))
    renamed = distribution(basename="hello-1.0.tar.gz")
    yield "another-basename", bad(renamed)
    yield "another-basename-of-that-hash", bad(distribution(sdist), checksums=right)
    entry = distribution()
    del entry["url"]
    yield "distribution-without-url", bad(entry)
    yield "version-of-another", bad(distribution(version="2.0"), url=None)
    yield "basename-of-another", bad(distribution(basename="hello-1.0.egg"), url=None)
    renamed = "http://example.com/other-2.0.tar.gz"
    yield "url-of-another-distribution", bad(distribution(renamed), url=None)


def of_other_kinds() -> Cases:
    wanted = {"key": PAGE_KEY, "url": PAGE}
    yield "no-requirement", of_entry(page(requirement=None), MISMATCH, asked=wanted)
    other = wanted | {"requirement": "hello"}
    yield "page-of-another-project", of_entry(page(), MISMATCH, asked=other)
    yield "page-without-end", of_entry(page(expires=None), MISMATCH, asked=wanted)
    long = page(created=NOW, expires=NOW + 30 * DAY + 1)
    yield "page-for-too-long", of_entry(long, MISMATCH, asked=wanted)
    yield "page-of-another-url", of_entry(page(url=URL), MISMATCH, asked=wanted)
    wanted = {"key": hexmd5(SOFTWARE), "url": SOFTWARE}
    yield "no-software-url", of_entry(release(software_url=None), MISMATCH, asked=wanted)
    other = wanted | {"url": None}
    moved = release(software_url=URL)
    yield "release-of-another-url", of_entry(moved, MISMATCH, asked=wanted)
    yield "release-key-of-another", of_entry(moved, MISMATCH, asked=other)
    wanted = {"key": RUN_KEY, "url": None}
    yield "no-profile", of_entry(run(profile=None), MISMATCH, asked=wanted)
    yield "run-of-another-profile", of_entry(run(profile=URL), MISMATCH, asked=wanted)
    yield "run-without-end", of_entry(run(expires=None), MISMATCH, asked=wanted)
    wanted = {"key": BUNDLE_KEY, "url": REPOSITORY}
    yield "no-revision", of_entry(bundle(revision=None), MISMATCH, asked=wanted)
    yield "no-repository", of_entry(bundle(repository=None), MISMATCH, asked=wanted)
    tag = bundle(revision="v1.0")
    yield "another-revision", of_entry(tag, MISMATCH, asked=wanted)
    fork = bundle(repository=REPOSITORY + "x")
    yield "another-repository", of_entry(fork, MISMATCH, asked=wanted)


def of_time_and_digest() -> Cases:
    yield "expired", of_entry(file(expires=NOW - 1), Reason.EXPIRED)
    yield "from-the-future", of_entry(file(created=NOW + 601), Reason.CLOCK)
    banned = {"blacklist": [sha512(CONTENT).hexdigest()]}
    yield "blacklisted-digest", of_entry(file(), Reason.BLACKLISTED_DIGEST, policy=banned)
    upper = file(sha512=file()["sha512"].upper())
    yield (
        "blacklisted-in-capitals",
        of_entry(upper, Reason.BLACKLISTED_DIGEST, policy=banned),
    )
    checked = {"policy": {"require_checked_origin": True}}
    unchecked = file(transport="http")
    yield "unchecked-origin", of_entry(unchecked, Reason.UNCHECKED_ORIGIN, **checked)
    yield "good-http-origin", of_entry(unchecked)
    yield "good-checked-origin", of_entry(file(), **checked)
