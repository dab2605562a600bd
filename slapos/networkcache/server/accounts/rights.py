"""What an account may publish.

A right is a kind of key, ``pypi`` for one. Where the key is made of a URL that the entry
names, it may be for those URLs only that have a prefix: an account with the right
``file-urlmd5:https://example.com/dist/`` publishes no file from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...entry import Key, Kind
from ...errors import Code, InvalidInput, Refusal
from ...urls import is_remote, normalise, split

KINDS: Mapping[str, Kind] = {
    kind.value.rstrip(":-"): kind for kind in Kind if kind is not Kind.OTHER
}
"""What a kind of key is called in a right."""
_NAMES = {kind: name for name, kind in KINDS.items()}

_MADE_OF: Mapping[Kind, tuple[str, Callable[[str], Key]]] = {
    Kind.FILE: ("url", Key.for_file),
    Kind.PAGE: ("url", Key.for_page),
    Kind.RUN: ("profile", Key.for_run),
    Kind.RELEASE: ("software_url", Key.for_release),
    # Only the URL is checked here: any revision will do.
    Kind.BUNDLE: ("repository", lambda url: Key.for_bundle(url, "")),
}
"""Keys made of a URL: the member of the entry that names it, and how they are made."""
_OLD = (Kind.FILE, Kind.OLD_FILE, Kind.OLD_DISTRIBUTION, Kind.OLD_PAGE)
"""Keys made of a URL of which programs older than this one name the MD5 alone."""


@dataclass(frozen=True)
class Right:
    """The right to publish under keys of a kind; with a `prefix`, a normalised URL, only
    for URLs that begin with it."""

    kind: Kind
    prefix: str | None = None

    @classmethod
    def parse(cls, text: str) -> Right:
        """Read ``KIND[:URL_PREFIX]``. Raises `InvalidInput`."""
        name, colon, prefix = text.partition(":")
        if name not in KINDS:
            raise InvalidInput(
                f"expected KIND or KIND:URL_PREFIX, KIND being one of {', '.join(KINDS)},"
                f" got {text!r:.200}"
            )
        kind = KINDS[name]
        return cls(kind, _prefix(kind, prefix) if colon else None)

    def covers(self, url: str | None) -> bool:
        """Whether it is for a key made of `url`, or of none that is known."""
        if self.prefix is None:
            return True
        return url is not None and normalise(url).startswith(self.prefix)

    def __str__(self) -> str:
        name = _NAMES[self.kind]
        return name if self.prefix is None else f"{name}:{self.prefix}"


def _prefix(kind: Kind, text: str) -> str:
    """A prefix as it is compared: a host without a path gets its slash, since without it
    ``https://example.com`` would stand for ``https://example.com.example.org`` too."""
    if kind not in _MADE_OF:
        able = ", ".join(_NAMES[kind] for kind in _MADE_OF)
        raise InvalidInput(
            f"{_NAMES[kind]} takes no URL prefix, since its entries name no URL that their"
            f" key is made of: those of {able} do"
        )
    parts = split(text)
    if parts is None or not is_remote(text) or not parts.hostname or parts.fragment:
        raise InvalidInput(
            f"expected a URL prefix such as https://example.com/dist/, got {text!r:.200}"
        )
    return normalise(text)


def check(rights: Sequence[Right], key: Key, members: Mapping[str, object]) -> None:
    """Raise `Refusal` (``forbidden``) unless `rights` allow an entry with these `members`
    under `key`."""
    held = [right for right in rights if right.kind is key.kind]
    if not held:
        raise _forbidden(f"it has no right to publish under {key}")
    if members.get("key", key.text) != key.text:
        raise _forbidden(f"the entry is about the key {members['key']!r:.300}, not {key}")
    url = _url_of(key, members)
    if not any(right.covers(url) for right in held):
        named = "an entry that does not name its URL" if url is None else f"{url!r:.300}"
        prefixes = ", ".join(str(right.prefix) for right in held)
        raise _forbidden(f"it may publish what begins with {prefixes}, and not {named}")


def _url_of(key: Key, members: Mapping[str, object]) -> str | None:
    """The URL that `key` is made of, None where there is none or the entry does not name
    it. Raises `Refusal` where the key is made of another one."""
    member, make = _MADE_OF.get(key.kind, ("", Key))
    url = members.get(member)
    if isinstance(url, str):
        made = make(url).text
        same = key.text.startswith(made) if key.kind is Kind.BUNDLE else key.text == made
        if not same:
            raise _forbidden(f"{key} is not made of the {member} {url!r:.300}")
        return url if is_remote(url) else None
    if key.kind in _OLD:
        made = str(members.get("urlmd5"))
        if key.kind is Kind.OLD_PAGE:
            made += f"-{members.get('requirement')}"
        if key.suffix != made:
            raise _forbidden(f"the entry names nothing that {key} is made of")
    elif member:
        raise _forbidden(f"the entry does not say its {member}")
    return None


def _forbidden(message: str) -> Refusal:
    return Refusal(Code.FORBIDDEN, message)
