"""What schemathesis runs with: requests that meet each other, and checks of every answer.

Chance alone never finds a digest, nor the text of an entry inside JSON. In a world of three
contents and five keys, requests that are right reach what others put there; what was drawn
decides what becomes of each.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, unquote

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

from slapos.networkcache.digest import Digest
from slapos.networkcache.errors import Code
from slapos.networkcache.protocol import ERROR_HEADER, STATUS

CONTENTS = (b"", b"hello", bytes(range(256)) * 20)
KEYS = ("pypi:a=1", "file-urlmd5:" + "0" * 32, "page-urlmd5:" + "0" * 32, "0" * 32, '"!~')
SIGNATURES = ("", "AAAA", "c2lnbmF0dXJl", "c2lnbmF0dXJl", "c2lnbmF0dXJ")
FRONT: list[dict[str, str]] = json.loads(Path(os.environ["FRONT"]).read_text())
"""What a server in front may say of who uploads; see `surface`."""
CERTIFICATE = "Networkcache-Client-Certificate"
UPLOADS = ("storeContent", "storeContentOfDigest", "addEntry")
NEVER_PUT = Digest.of(b"never put").hex
PROBES = ("/healthz", "/readyz")
"""Their 503 is an answer, and no refusal."""


# -- requests that meet


@schemathesis.hook
def map_case(context: HookContext, case: Case) -> Case:
    """Move three of four requests that the description allows into the small world."""
    chance = Random(repr((case.path_parameters, case.headers, case.body)))
    if _is_made_of_a_schema(case) and chance.random() < 0.75:
        _move(case, chance)
    return case


def _is_made_of_a_schema(case: Case) -> bool:
    meta = case.meta
    return meta is None or (
        meta.generation.mode.is_positive and meta.phase.name.value != "examples"
    )


def _move(case: Case, chance: Random) -> None:
    operation = case.operation.definition.raw.get("operationId")
    content = chance.choice(CONTENTS)
    parameters = case.path_parameters
    if "sha512" in parameters:
        parameters["sha512"] = Digest.of(content).hex
    if "key" in parameters:
        parameters["key"] = chance.choice(KEYS)
    if operation in ("storeContent", "storeContentOfDigest"):
        case.body = content
    elif operation == "addEntry":
        case.body = [_entry(parameters["key"], chance), chance.choice(SIGNATURES)]
    elif operation == "lookUpMany":
        case.body = {
            "keys": [*chance.sample(KEYS, 2), "?", None],
            "contents": [Digest.of(content).hex, NEVER_PUT, "0"],
        }
    if operation in UPLOADS and chance.random() < 0.4:
        case.headers.update(_passed_on(chance))


def _passed_on(chance: Random) -> dict[str, str]:
    """The headers of a server in front; the certificate may be damaged."""
    headers = dict(chance.choice(FRONT))
    if chance.random() < 0.3:
        first, *lines, last = unquote(headers[CERTIFICATE]).splitlines()
        der = bytearray(base64.b64decode("".join(lines)))
        der[chance.randrange(len(der))] = chance.randrange(256)
        body = base64.encodebytes(bytes(der)).decode()
        headers[CERTIFICATE] = quote(f"{first}\n{body}{last}\n")
    return headers


def _entry(key: str, chance: Random) -> str:
    """The text of an entry, which may be wrong in one member."""
    members: dict[str, Any] = {
        "format": 1,
        "key": key,
        "sha512": chance.choice([*(Digest.of(c).hex for c in CONTENTS), NEVER_PUT]),
        "size": 5,
        "created": chance.randrange(4),
    }
    name = chance.choice([*members, "expires", "signer", "url", "software_url", "os"])
    if chance.random() < 0.3:
        members[name] = chance.choice([None, -1, 1.5, 1 << 60, "<script>\u202e", [[]], {}])
    elif chance.random() < 0.2:
        del members[name if name in members else "format"]
    return json.dumps(members, ensure_ascii=chance.random() < 0.9)


@schemathesis.deserializer("text/plain")
def text(context: Any, response: Response) -> str:
    """For the links of the description: the body of an upload is the digest."""
    return response.content.decode()


# -- checks beside those of schemathesis


@schemathesis.check
def a_refusal_has_its_code(ctx: CheckContext, response: Response, case: Case) -> None:
    """Every one, of the status that goes with it, whatever was asked."""
    if response.status_code < 400 or case.path in PROBES:
        return
    code = Code(_header(response, ERROR_HEADER))
    assert STATUS[code] == response.status_code, f"{code} is not {response.status_code}"
    assert _header(response, "Cache-Control") == "no-store"
    assert code is not Code.STORAGE_FULL, "there is room"
    assert code is not Code.QUOTA or CERTIFICATE in case.headers, "nobody has a quota"
    if case.path.startswith("/shacache") and case.method in ("GET", "HEAD"):
        assert not response.content, "old clients take this for a part of the content"
    elif case.method != "HEAD" and case.path.startswith("/sha"):
        said = json.loads(response.content)
        assert said["error"] == code.value
        assert said["message"], "nobody says why"


@schemathesis.check
def a_content_is_what_was_asked_for(
    ctx: CheckContext, response: Response, case: Case
) -> None:
    """Whole, or the part that the answer says it is."""
    if case.path != "/shacache/{sha512}" or case.method != "GET":
        return
    digest = str(case.path_parameters.get("sha512", "")).lower()
    if response.status_code == 200:
        assert hashlib.sha512(response.content).hexdigest() == digest
    elif response.status_code == 206:
        part, size = _header(response, "Content-Range").removeprefix("bytes ").split("/")
        first, last = map(int, part.split("-"))
        assert len(response.content) == last + 1 - first
        for whole in CONTENTS:
            if Digest.of(whole).hex == digest:
                assert int(size) == len(whole)
                assert response.content == whole[first : last + 1]


def _header(response: Response, name: str) -> str:
    return ", ".join(response.headers.get(name.lower(), []))
