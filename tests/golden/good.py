"""What must be believed: every kind of signing key, and every kind of directory key."""

from __future__ import annotations

from collections.abc import Iterator

from golden.case import (
    BUNDLE_KEY,
    CONTENT,
    EGG,
    EGG_KEY,
    NOW,
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
    many,
    md5,
    of_entry,
    of_kind,
    one,
    page,
    release,
    run,
    sha256,
)
from golden.signing import fingerprint, signature, signed

Cases = Iterator[tuple[str, Case]]


def cases() -> Cases:
    yield from of_every_signer()
    yield from of_every_kind()
    yield from among_poison()


def of_every_signer() -> Cases:
    for name in ("rsa-2048", "ed25519", "p256", "p384"):
        yield f"good-{name}", of_entry(file(signer=fingerprint(name)), by=name)
    yield "good-signer-not-named", of_entry(file(), by="p384")
    expired = {"policy": {"certificates": ["rsa-2048-expired"]}}
    yield "good-expired-certificate", of_entry(file(), by="rsa-2048", **expired)
    yield "good-empty-content", of_entry(file(content=b""))
    yield "good-10-minutes-ahead", of_entry(file(created=NOW + 600))
    yield "good-last-second", of_entry(file(expires=NOW))
    escaped = file() | {"comment": "\u00e9 \U0001f600"}
    yield "good-escapes", of_entry(escaped)


def of_every_kind() -> Cases:
    egg = {"key": EGG_KEY}
    sha = ["sha256", sha256(CONTENT).hexdigest()]
    yield "good-distribution", of_entry(distribution(), asked=egg | {"url": EGG})
    mirror = egg | {"url": EGG.replace(".com", ".net"), "checksums": [sha]}
    yield "good-distribution-of-a-mirror", of_entry(distribution(), asked=mirror)
    mirror["checksums"] = [["md5", md5(CONTENT).hexdigest()]]
    yield "good-distribution-by-md5", of_entry(distribution(), asked=mirror)
    yield "good-distribution-by-key", of_entry(distribution(), asked=egg | {"url": None})
    wanted = {"key": PAGE_KEY, "url": PAGE, "requirement": "hello.world == 2"}
    yield "good-page", of_entry(page(), asked=wanted)
    wanted = {"key": hexmd5(SOFTWARE), "url": SOFTWARE}
    yield "good-release", of_entry(release(), asked=wanted)
    yield "good-release-by-key", of_entry(release(), asked=wanted | {"url": None})
    yield "good-run", of_entry(run(), asked={"key": RUN_KEY, "url": SOFTWARE})
    local = sha256(b"[buildout]\n").hexdigest()
    key = f"buildout-run:{local}"
    entry = of_kind(key, profile=local, expires=NOW + 1)
    yield "good-local-run", of_entry(entry, asked={"key": key, "url": None})
    wanted = {"key": BUNDLE_KEY, "url": REPOSITORY}
    yield "good-bundle", of_entry(bundle(), asked=wanted)
    free = {"key": "my-own-key", "url": None, "any_kind": True}
    yield "good-free-key", of_entry(of_kind("my-own-key"), asked=free)
    yield "good-by-key", of_entry(file(), asked={"url": None})


def among_poison() -> Cases:
    poison = [
        [1, 2],
        None,
        {"entry": "{}"},
        [file(), "x"],
        ["{}", "no base64!"],
        ["\ud800", ""],
        ["{}", "", ""],
        signed(file(content=b"other"), "ed25519-stranger"),
        ['{"format": true}', ""],
        12345678901234567890,
        1e400,
    ]
    yield "good-among-poisoned", many(*poison, signed(file()), *poison)
    huge = many(signed(file()), "@")
    huge.body = huge.body.replace('"@"', "9" * 5000)
    yield "good-beside-huge-number", huge
    deep = many(signed(file()), "@", [1, 2])
    deep.body = deep.body.replace('"@"', "[" * 200_000 + "]" * 200_000)
    yield "good-beside-nested-200000", deep
    text = ' \t{"sha512":"%s",\n"format":1,"url":"%s","key":"file-urlmd5:%s",%s}\n'
    entry = file()
    rest = f'"size":{entry["size"]},"created":{entry["created"]}'
    odd = text % (entry["sha512"], URL, hexmd5(URL), rest)
    yield "good-written-otherwise", one([odd, signature("p256", odd)])
