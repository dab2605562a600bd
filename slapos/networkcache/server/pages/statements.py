"""What a pair says, for people. Nothing of it is believed here: whether a signature is
right, and by whom, only those can tell who list certificates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...binary.builds import Build
from ...binary.hosts import hosts_of
from ...binary.incumbent import IncumbentBuild
from ...binary.requirements import Requirements
from ...digest import Digest
from ...entry import Entry, Kind
from ...errors import InvalidEntry, NotBelieved
from ...key import Key
from ...storage import Stored
from ..directory import named_content
from ..monitoring.overview import Recent

MEMBERS = 60
"""Members of an entry that are shown at most, and the characters of each."""
CHARACTERS = 400

KINDS: Mapping[Kind, str] = {
    Kind.FILE: "File",
    Kind.DISTRIBUTION: "Python distribution",
    Kind.PAGE: "Index page",
    Kind.RUN: "Record of a run",
    Kind.BUNDLE: "Git bundle",
    Kind.RELEASE: "Software release",
    Kind.OLD_PAGE: "Index page, older clients",
    Kind.OLD_FILE: "File, older clients",
    Kind.OLD_DISTRIBUTION: "Python distribution, older clients",
    Kind.OLD_CHECKOUT: "Git checkout, older clients",
    Kind.OTHER: "Another kind of key",
}
_TITLES = ("basename", "url", "software_url", "repository", "profile", "file_name")
"""Members that say what an entry is about, the most telling first."""
_SHOWN_APART = frozenset({"key", "sha512", "size", "created", "expires", "signer"})
_TIME_LIMIT = 1 << 53


class Member(NamedTuple):
    """A member of an entry as text."""

    name: str
    value: str


@dataclass(frozen=True)
class Statement:
    """What is claimed. `created` and `expires` are POSIX seconds, `size` is bytes; `fault`
    is why no reader believes it, `hosts` for which hosts a release is, `needs` what else
    is known of that; `others` are the members that are not shown apart."""

    kind: str
    title: str
    digest: Digest | None
    size: int | None
    created: int | None
    expires: int | None
    signer: str | None
    fault: str | None
    hosts: str | None
    needs: Sequence[Member]
    others: Sequence[Member]
    account: str


def statement_of(key: Key, stored: Stored) -> Statement:
    """Read what was put under `key`; see `directory.accept` for what that can be."""
    members = _members(stored.pair.entry)
    build = _build(key, members)
    return Statement(
        KINDS[key.kind],
        _title(key, members),
        named_content(stored),
        _number(members, "size"),
        _number(members, "created"),
        _number(members, "expires"),
        _string(members, "signer"),
        _fault(stored.pair.entry),
        None if build is None else hosts_of(build),
        _needs(build.requirements) if isinstance(build, Build) else (),
        _others(members),
        stored.account,
    )


def title_of(recent: Recent) -> str:
    """What one of the pairs that were put last is about."""
    return _title(recent.key, _members(recent.stored.pair.entry))


def _members(text: str) -> Mapping[str, Any]:
    """Tolerant, for what is no entry of this version may still be shown."""
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}


def _fault(text: str) -> str | None:
    try:
        Entry.parse(text)
    except InvalidEntry as error:
        return str(error)
    return None


def _title(key: Key, members: Mapping[str, Any]) -> str:
    names = (_string(members, name) for name in _TITLES)
    return next(filter(None, names), key.text)


def _string(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    return _short(value) if isinstance(value, str) else None


def _number(members: Mapping[str, Any], name: str) -> int | None:
    value = members.get(name)
    return value if type(value) is int and 0 <= value <= _TIME_LIMIT else None


def _short(text: str) -> str:
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]}…"


def _others(members: Mapping[str, Any]) -> list[Member]:
    names = [name for name in members if name not in _SHOWN_APART]
    return [Member(_short(name), _short(_text(members[name]))) for name in names[:MEMBERS]]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# -- releases


def _build(key: Key, members: Mapping[str, Any]) -> Build | IncumbentBuild | None:
    """None where it is no release, or damaged."""
    if key.kind is not Kind.RELEASE:
        return None
    kind = Build if "format" in members else IncumbentBuild
    try:
        return kind.parse(members)
    except (NotBelieved, KeyError):
        return None


def _needs(requirements: Requirements) -> list[Member]:
    """All that decides whether a host can run it."""
    needs = [
        ("Machine", str(requirements.abi or "")),
        ("Linux", ".".join(map(str, requirements.kernel))),
        ("Processor", f"x86-64-v{requirements.cpu_level}" * bool(requirements.cpu_level)),
        ("Compiled for", ", ".join(requirements.compiled_for)),
        ("Interpreters", ", ".join(requirements.interpreters)),
        ("Libraries", ", ".join(_libraries(requirements))),
        ("Pythons", ", ".join(f"{p} ({abi})" for p, abi in requirements.pythons.items())),
    ]
    return [Member(name, _short(value)) for name, value in needs if value]


def _libraries(requirements: Requirements) -> list[str]:
    return [
        f"{name} ({' '.join(versions)})" if versions else name
        for name, versions in requirements.libraries.items()
    ]
