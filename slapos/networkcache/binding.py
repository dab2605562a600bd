"""Which request an entry is about.

An entry signed for one key must not pass for another: it names its key, and the member
that the kind of key is made of must be the URL, file or project that was asked for. A
mandatory member that is missing counts as no signature at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5

from .digest import Digest
from .entry import Entry, Key, Kind, urlmd5
from .errors import InvalidKey, NotBelieved, Reason
from .key import is_full_revision
from .urls import (
    Checksum,
    basename,
    checksum_in,
    distribution_in,
    is_remote,
    normalised_name,
    safe_name,
    without_fragment,
)


@dataclass(frozen=True)
class Request:
    """What somebody wants to know of the directory.

    `key`
        the directory key
    `url`
        as the profile writes it, less its fragment; None where only the key is known
    `checksums`
        what the profile, or the fragment of the URL, says of the content
    `requirement`
        the project an index page is read for
    `any_kind`
        whether a key of a kind that has no rule may be asked for; bound by `key` alone
    """

    key: Key
    url: str | None = None
    checksums: tuple[Checksum, ...] = ()
    requirement: str | None = None
    any_kind: bool = False

    @classmethod
    def for_file(cls, url: str, *checksums: Checksum) -> Request:
        """Ask for what `url` fetches. A checksum in its fragment counts too."""
        return cls(Key.for_file(url), without_fragment(url), _with_fragment(url, checksums))

    @classmethod
    def for_distribution(cls, url: str, *checksums: Checksum) -> Request | None:
        """Ask for the Python distribution that `url` names; None if it names none."""
        file = distribution_in(url)
        if file is None:
            return None
        try:
            key = Key.for_distribution(file.name, file.version)
        except InvalidKey:  # too long
            return None
        return cls(key, without_fragment(url), _with_fragment(url, checksums))

    @classmethod
    def for_page(cls, url: str, requirement: str) -> Request:
        """Ask for an index page, read for `requirement`; empty for a page of links."""
        return cls(Key.for_page(url), without_fragment(url), requirement=requirement)

    @classmethod
    def for_run(cls, profile: str) -> Request:
        """Ask for the record of earlier runs of a root profile; see `Key.for_run`."""
        return cls(Key.for_run(profile), profile)

    @classmethod
    def for_bundle(cls, repository: str, revision: str) -> Request | None:
        """Ask for the git bundle of a revision; None where there is none, since it may
        come to name another commit, or not everybody may know of the repository: what
        goes over ssh needs a key."""
        public = repository.lower().startswith(("http://", "https://", "git://"))
        if not (public and is_full_revision(revision)):
            return None
        return cls(Key.for_bundle(repository, revision), repository)

    @classmethod
    def meant_by(cls, what: str) -> list[Request]:
        """All that may be asked for who writes a URL, ``NAME==VERSION`` or a key, a file
        first. Raises `InvalidKey` for what is none of them."""
        name, equals, version = map(str.strip, what.partition("=="))
        if is_remote(what) or "/" in what:
            return cls._all_for_url(what)
        if not equals:
            return [cls(Key.parse(what))]
        # Its files may be written with either name.
        names = dict.fromkeys((safe_name(name), normalised_name(name)))
        return [cls(Key.for_distribution(n, version)) for n in names]

    @classmethod
    def _all_for_url(cls, url: str) -> list[Request]:
        plain = without_fragment(url)
        distribution = cls.for_distribution(url)
        return [
            cls.for_file(url),
            *([distribution] if distribution else []),
            cls(Key.for_page(url), plain),
            cls.for_run(plain),
            cls(Key.for_release(url), plain),
        ]

    @property
    def named_digest(self) -> Digest | None:
        """The content, where a checksum is its name: then no entry is needed."""
        for checksum in self.checksums:
            if checksum.algorithm == "sha512":
                return Digest(checksum.value)
        return None

    def agrees(self, entry: Entry) -> bool | None:
        """Whether the entry names the content that the checksums ask for; None where it
        cannot be told before the content is read."""
        verdicts = [_agrees(checksum, entry) for checksum in self.checksums]
        if False in verdicts:
            return False
        return True if True in verdicts else None


def _with_fragment(url: str, checksums: tuple[Checksum, ...]) -> tuple[Checksum, ...]:
    in_url = checksum_in(url)
    return checksums if in_url is None or in_url in checksums else (*checksums, in_url)


LIFETIME_LIMIT = 30 * 24 * 3600
"""Seconds from `created` to `expires` of an index page or a run record, at most."""
STATED = frozenset({"md5", "sha256", "sha512"})
"""The algorithms whose checksums an entry states."""


def _agrees(checksum: Checksum, entry: Entry) -> bool | None:
    if checksum.algorithm == "sha512":
        return checksum.value == entry.sha512.hex
    stated = entry.string(checksum.algorithm) if not entry.legacy else None
    return None if stated is None else stated == checksum.value


def check_binding(entry: Entry, request: Request) -> None:
    """Raise `NotBelieved` with ``key-mismatch`` unless `entry` is about `request`.

    What is asked of an entry without `format` is less, since older programs wrote less;
    whether such entries are looked at at all is for the policy to say.
    """
    if not entry.legacy and entry.key != request.key.text:
        raise _mismatch(f"it is signed for the key {entry.key}")
    rules = _LEGACY_RULES if entry.legacy else _RULES
    rule = rules.get(request.key.kind)
    if rule is not None:
        rule(entry, request)
    elif entry.legacy or not request.any_kind:
        raise _mismatch(f"nothing binds an entry to {request.key}")


def _mismatch(message: str) -> NotBelieved:
    return NotBelieved(Reason.KEY_MISMATCH, message)


def _member(entry: Entry, name: str) -> str:
    value = entry.string(name)
    if value is None:
        raise _mismatch(f"it does not say its {name}")
    return value


def _same(entry: Entry, name: str, wanted: str | None) -> str:
    """The member of that name, which must be `wanted` where that is known."""
    value = _member(entry, name)
    if wanted is not None and value != wanted:
        raise _mismatch(f"its {name} is {value}")
    return value


def _makes_key(request: Request, suffix: str, what: str) -> None:
    if request.key.suffix != suffix:
        raise _mismatch(f"{request.key} is not made of its {what}")


def _file(entry: Entry, request: Request) -> None:
    _makes_key(request, urlmd5(_same(entry, "url", request.url)), "url")


def _distribution(entry: Entry, request: Request) -> None:
    url = _member(entry, "url")
    file = _member(entry, "basename")
    if request.url is None:
        _makes_key(
            request, f"{_member(entry, 'name')}={_member(entry, 'version')}", "version"
        )
        named = distribution_in(url)
        if named is None or named.basename != file:
            raise _mismatch(f"its basename {file} is not that of its url {url}")
        _makes_key(request, f"{named.name}={named.version}", "url")
        return
    if file != basename(request.url):
        raise _mismatch(f"its basename is {file}")
    if any(checksum.algorithm in STATED for checksum in request.checksums):
        if not request.agrees(entry):
            raise _mismatch("it is signed for another file of that name")
    elif url != request.url:
        # A private and a public index may hold different files of one name: without a
        # hash to tell them apart, only the very same URL will do.
        raise _mismatch(f"its url is {url}, and there is no checksum to compare")


def _check_lifetime(entry: Entry) -> None:
    """What a page or a run said is not for ever: both must say when they end."""
    if entry.expires is None:
        raise _mismatch("it does not say when it expires")
    if entry.expires - (entry.created or 0) > LIFETIME_LIMIT:
        raise _mismatch("it is signed for more than 30 days")


def _page(entry: Entry, request: Request) -> None:
    _makes_key(request, urlmd5(_same(entry, "url", request.url)), "url")
    _check_lifetime(entry)
    requirement = _member(entry, "requirement")
    if request.requirement is not None and _project(requirement) != _project(
        request.requirement
    ):
        raise _mismatch(f"the page was read for {requirement}")


_PROJECT = re.compile(r"\s*([A-Za-z0-9._-]*)")


def _project(requirement: str) -> str:
    """The normalised name of the project in a requirement."""
    match = _PROJECT.match(requirement)
    return normalised_name(match[1]) if match else ""


def _release(entry: Entry, request: Request) -> None:
    _makes_key(request, urlmd5(_same(entry, "software_url", request.url)), "software_url")


def _run(entry: Entry, request: Request) -> None:
    profile = _same(entry, "profile", request.url)
    _check_lifetime(entry)
    # A remote profile is named by its URL, a local one by the SHA-256 of its bytes.
    made = profile if len(request.key.suffix) == 64 else urlmd5(profile)
    _makes_key(request, made, "profile")


def _bundle(entry: Entry, request: Request) -> None:
    repository = _same(entry, "repository", request.url)
    revision = _member(entry, "revision")
    made = md5(repository.encode(), usedforsecurity=False).hexdigest()
    _makes_key(request, f"{made}={revision}", "repository and revision")


_RULES: dict[Kind, Callable[[Entry, Request], None]] = {
    Kind.FILE: _file,
    Kind.DISTRIBUTION: _distribution,
    Kind.PAGE: _page,
    Kind.RELEASE: _release,
    Kind.RUN: _run,
    Kind.BUNDLE: _bundle,
}


def _legacy_file(entry: Entry, request: Request) -> None:
    if "url" in entry.members:
        _file(entry, request)
    else:
        _legacy_urlmd5(entry, request)


def _legacy_urlmd5(entry: Entry, request: Request) -> None:
    _makes_key(request, _member(entry, "urlmd5"), "urlmd5")


def _legacy_page(entry: Entry, request: Request) -> None:
    made = f"{_member(entry, 'urlmd5')}-{_member(entry, 'requirement')}"
    _makes_key(request, made, "urlmd5 and requirement")


def _legacy_distribution(entry: Entry, request: Request) -> None:
    file = _member(entry, "basename")
    if request.url is not None:
        if file != basename(request.url):
            raise _mismatch(f"its basename is {file}")
        return
    named = distribution_in(file)
    _makes_key(request, f"{named.name}={named.version}" if named else "", "basename")


def _legacy_release(entry: Entry, request: Request) -> None:
    if "url" in entry.members:
        raise _mismatch("it has the url of a file beside the key of a release")
    _release(entry, request)


_LEGACY_RULES: dict[Kind, Callable[[Entry, Request], None]] = {
    Kind.FILE: _legacy_file,
    Kind.OLD_FILE: _legacy_urlmd5,
    Kind.OLD_DISTRIBUTION: _legacy_urlmd5,
    Kind.OLD_PAGE: _legacy_page,
    Kind.DISTRIBUTION: _legacy_distribution,
    Kind.RELEASE: _legacy_release,
}
"""What binds an entry of an older program; a git checkout (``git-buildout-``) nothing."""
