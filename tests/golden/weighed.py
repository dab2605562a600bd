"""Several pairs that are weighed together, and the entries of older programs."""

from __future__ import annotations

from typing import Any

from golden.case import (
    CONTENT,
    DAY,
    EGG,
    EGG_KEY,
    NOW,
    OTHER,
    SOFTWARE,
    URL,
    Case,
    distribution,
    file,
    hexmd5,
    many,
    of_entry,
    one,
    release,
    sha256,
)
from golden.good import Cases
from golden.signing import signed

from slapos.networkcache.errors import Reason

MISMATCH = Reason.KEY_MISMATCH


def cases() -> Cases:
    yield from of_threshold()
    yield from of_age_and_checksum()
    yield from of_old_signatures()
    yield from of_old_entries()


def of_threshold() -> Cases:
    below = Reason.BELOW_THRESHOLD
    two = {"policy": {"threshold": 2}}
    yield "one-of-two-signers", of_entry(file(), below, **two)
    again = signed(file(created=NOW - 5))
    yield "one-signer-twice", many(signed(file()), again, reason=below, **two)
    certificates = {"certificates": ["rsa-2048", "rsa-2048-expired"], "threshold": 2}
    yield (
        "one-signer-with-two-certificates",
        of_entry(file(), below, by="rsa-2048", policy=certificates),
    )
    other = signed(file(content=OTHER), "p256")
    yield "two-signers-two-contents", many(signed(file()), other, reason=below, **two)
    renamed = signed(file(comment="x"), "p256")
    yield "two-signers-two-statements", many(signed(file()), renamed, reason=below, **two)
    second = signed(file(created=NOW - 9, expires=NOW + 9, transport="http"), "p256")
    yield "good-two-signers", many(signed(file()), second, **two)
    larger = signed(file(size=1), "p256")
    yield "conflicting-sizes", many(signed(file()), larger, reason=Reason.CONFLICT)


def of_age_and_checksum() -> Cases:
    older = {"newest_believed": NOW - DAY + 1}
    yield "older-than-believed", of_entry(file(), Reason.ROLLBACK, **older)
    yield "good-as-old-as-believed", of_entry(file(), newest_believed=NOW - DAY)
    right = {"asked": {"checksums": [["sha256", sha256(CONTENT).hexdigest()]]}}
    yield "good-older-with-checksum", of_entry(file(), **older, **right)
    wrong = {"asked": {"checksums": [["sha256", sha256(OTHER).hexdigest()]]}}
    yield "another-checksum", of_entry(file(), Reason.CHECKSUM, **wrong)


def of_old_signatures() -> Cases:
    accept = {"policy": {"accept_legacy": True}}
    for name in ("rsa-2048", "rsa-1024"):
        yield f"good-sha1-{name}", one(signed(file(), name, "sha1"), **accept)
    salted = {"salt": "0123456789abcdef0123456789abcdef", **file()}
    yield "good-salted", one(signed(salted, "rsa-2048", "sha1"), **accept)
    # Accepting the signature relaxes nothing else of an entry that has a format.
    other = signed(file(url=URL) | {"url": "http://b/"}, "rsa-2048", "sha1")
    yield "sha1-for-another-url", one(other, MISMATCH, **accept)


def old(name: str = "rsa-1024", **members: Any) -> list[str]:
    """The pair of an older program."""
    return signed({"sha512": file()["sha512"], **members}, name, "sha1")


def of_old_entries() -> Cases:
    def legacy(key: str, reason: Reason | None, url: str | None = URL, **m: Any) -> Case:
        asked = {"key": key, "url": url}
        return one(old(**m), reason, asked=asked, policy={"accept_legacy": True})

    made, other = hexmd5(URL), hexmd5("http://b/")
    yield "old-entry-refused", one(old(url=URL), Reason.WEAK_SIGNATURE)
    for kind in ("file-urlmd5:", "slapos-buildout-", "pypi-buildout-"):
        name = kind.strip(":-")
        yield f"good-old-{name}", legacy(kind + made, None, urlmd5=made)
        yield f"old-{name}-of-another", legacy(kind + made, MISMATCH, urlmd5=other)
        yield f"old-{name}-binds-nothing", legacy(kind + made, MISMATCH, file_name="x")
    yield "good-old-file-by-url", one(old(url=URL), policy={"accept_legacy": True})
    yield (
        "old-file-url-before-urlmd5",
        one(old(url="http://b/", urlmd5=made), MISMATCH, policy={"accept_legacy": True}),
    )
    key = f"pypi-index-{made}-hello>=1"
    yield "good-old-page", legacy(key, None, urlmd5=made, requirement="hello>=1")
    yield "old-page-of-another", legacy(key, MISMATCH, urlmd5=made, requirement="hello")
    yield "old-page-without-requirement", legacy(key, MISMATCH, urlmd5=made)
    file_name = EGG.rpartition("/")[2]
    yield "good-old-distribution", legacy(EGG_KEY, None, EGG, basename=file_name)
    yield "good-old-distribution-by-key", legacy(EGG_KEY, None, None, basename=file_name)
    yield "old-distribution-of-another", legacy(EGG_KEY, MISMATCH, EGG, basename="x.whl")
    yield (
        "old-distribution-key-of-another",
        legacy(EGG_KEY, MISMATCH, None, basename="hello-2.0.tar.gz"),
    )
    yield "old-distribution-binds-nothing", legacy(EGG_KEY, MISMATCH, EGG, urlmd5=made)
    key = hexmd5(SOFTWARE)
    about = {"software_url": SOFTWARE, "machine": "x86_64"}
    yield "good-old-release", legacy(key, None, SOFTWARE, **about)
    policy = {"accept_legacy": True}
    asked = {"key": key, "url": SOFTWARE}
    yield (
        "old-release-with-url",
        one(old(url=SOFTWARE, **about), MISMATCH, asked=asked, policy=policy),
    )
    yield "old-release-of-another", legacy(key, MISMATCH, URL, **about)
    key = f"git-buildout-{made}"
    yield "old-checkout", legacy(key, MISMATCH, urlmd5=made, revision="1", timestamp="1")
    free = {"key": "my-own-key", "url": None, "any_kind": True}
    yield "old-free-key", one(old(key="my-own-key"), MISMATCH, asked=free, policy=policy)
    for kind, entry, where in (
        ("distribution", distribution(), EGG),
        ("release", release(), SOFTWARE),
    ):
        del entry["format"]
        key = entry.pop("key")
        yield (
            f"good-old-{kind}-with-more",
            one(
                signed({k: v for k, v in entry.items() if k != "url"}, "rsa-2048", "sha1"),
                asked={"key": key, "url": where},
                policy=policy,
            ),
        )
