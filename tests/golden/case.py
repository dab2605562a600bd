"""What a golden file is made from: an answer, the question, and who is believed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import md5, sha256, sha512
from typing import Any

from golden.signing import LISTED, signed

from slapos.networkcache.errors import Reason

NOW = 1_800_000_000
"""The time at which every golden file is judged."""
DAY = 24 * 3600
CONTENT = b"the content of the golden files\n"
OTHER = b"another content\n"
URL = "http://example.com/hello-1.0.tar.gz"


def hexmd5(text: str) -> str:
    return md5(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass
class Case:
    """`reason` is what must come of it, None where it is believed. `asked` are the
    arguments of a `Request`, `policy` those of a `Policy`, as JSON can hold them."""

    body: str
    reason: Reason | None = None
    asked: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    newest_believed: int | None = None

    def __post_init__(self) -> None:
        self.asked, self.policy = dict(self.asked), dict(self.policy)

    def expected(self) -> dict[str, Any]:
        asked = {"key": f"file-urlmd5:{hexmd5(URL)}", "url": URL} | self.asked
        return {
            "reason": self.reason and self.reason.value,
            "asked": asked,
            "policy": {"certificates": LISTED} | self.policy,
            "newest_believed": self.newest_believed,
        }


def one(pair: list[Any], reason: Reason | None = None, **more: Any) -> Case:
    """An answer of one pair."""
    return Case(json.dumps([pair]), reason, **more)


def many(*pairs: Any, reason: Reason | None = None, **more: Any) -> Case:
    return Case(json.dumps(pairs), reason, **more)


def of_entry(
    entry: dict[str, Any] | str,
    reason: Reason | None = None,
    by: str = "ed25519",
    **more: Any,
) -> Case:
    """An answer of one pair that is signed as it should be."""
    return one(signed(entry, by), reason, **more)


def stated(content: bytes = CONTENT) -> dict[str, Any]:
    return {
        "sha512": sha512(content).hexdigest(),
        "size": len(content),
        "created": NOW - DAY,
        "md5": md5(content).hexdigest(),
        "sha256": sha256(content).hexdigest(),
    }


def file(url: str = URL, content: bytes = CONTENT, **changed: Any) -> dict[str, Any]:
    """The entry of a file; a member that is given as None is left out."""
    entry = {"format": 1, "key": f"file-urlmd5:{hexmd5(url)}", **stated(content)}
    entry |= {"url": url, **changed}
    return {name: value for name, value in entry.items() if value is not None}


def of_kind(key: str, **members: Any) -> dict[str, Any]:
    """The entry of another kind of key."""
    entry = {"format": 1, "key": key, **stated(), **members}
    return {name: value for name, value in entry.items() if value is not None}


EGG = "http://example.com/simple/hello-1.0-py3-none-any.whl"
EGG_KEY = "pypi:hello=1.0"


def distribution(url: str = EGG, **changed: Any) -> dict[str, Any]:
    members = {
        "url": url,
        "basename": url.rpartition("/")[2],
        "name": "hello",
        "version": "1.0",
    }
    return of_kind(EGG_KEY, **members | changed)


PAGE = "http://example.com/simple/hello/"
PAGE_KEY = f"page-urlmd5:{hexmd5(PAGE)}"


def page(**changed: Any) -> dict[str, Any]:
    members = {
        "url": PAGE,
        "status": 200,
        "content_type": "text/html",
        "final_url": PAGE,
        "requirement": "Hello_World[x]>=1",
        "expires": NOW + DAY,
    }
    return of_kind(PAGE_KEY, **members | changed)


SOFTWARE = "http://example.com/software/hello/software.cfg"


def release(**changed: Any) -> dict[str, Any]:
    members = {
        "software_url": SOFTWARE,
        "software_root": "/opt/slapgrid",
        "multiarch": "x86_64-linux-gnu",
        "os": ["debian", "12", "bookworm"],
    }
    return of_kind(hexmd5(SOFTWARE), **members | changed)


RUN_KEY = f"buildout-run:{hexmd5(SOFTWARE)}"


def run(**changed: Any) -> dict[str, Any]:
    return of_kind(RUN_KEY, **{"profile": SOFTWARE, "expires": NOW + DAY} | changed)


REPOSITORY = "https://example.com/hello.git"
REVISION = "0123456789abcdef0123456789abcdef01234567"
BUNDLE_KEY = f"git-bundle:{hexmd5(REPOSITORY)}={REVISION}"


def bundle(**changed: Any) -> dict[str, Any]:
    return of_kind(BUNDLE_KEY, **{"repository": REPOSITORY, "revision": REVISION} | changed)
