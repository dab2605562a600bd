"""Directory keys: what an entry is put under, and what each kind of key stands for."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import Enum

from .errors import InvalidKey

KEY_LIMIT = 255
"""Characters of a key, at most."""

_KEY = re.compile(rf"[!-~]{{1,{KEY_LIMIT}}}\Z")
_FORBIDDEN_IN_KEY = frozenset("/?#%\\")
_MD5 = re.compile(r"[0-9a-f]{32}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_SHA1 = re.compile(r"[0-9a-f]{40}\Z")


class Kind(Enum):
    """What a key stands for, told by its prefix; a release by its 32 hex digits."""

    FILE = "file-urlmd5:"
    DISTRIBUTION = "pypi:"
    PAGE = "page-urlmd5:"
    RUN = "buildout-run:"
    BUNDLE = "git-bundle:"
    RELEASE = "release"
    OLD_PAGE = "pypi-index-"
    OLD_FILE = "slapos-buildout-"
    OLD_DISTRIBUTION = "pypi-buildout-"
    OLD_CHECKOUT = "git-buildout-"
    OTHER = "other"


_PREFIXED = [kind for kind in Kind if kind not in (Kind.RELEASE, Kind.OTHER)]


def urlmd5(url: str) -> str:
    """MD5 of a URL, less its fragment, in hexadecimal: it names a key, nothing else."""
    return hashlib.md5(
        url.partition("#")[0].encode("utf-8", "surrogatepass"), usedforsecurity=False
    ).hexdigest()


def is_full_revision(text: str) -> bool:
    """Whether it names a commit of a git repository for good."""
    return _SHA1.match(text) is not None


@dataclass(frozen=True, order=True)
class Key:
    """A directory key: 1 to 255 characters from ``!`` to ``~``, but none of
    ``/ ? # % \\``, and neither ``.`` nor ``..``."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Key:
        """Raises `InvalidKey` for what is not a key."""
        if (
            not isinstance(text, str)
            or not _KEY.match(text)
            or _FORBIDDEN_IN_KEY.intersection(text)
            or text in (".", "..")
        ):
            raise InvalidKey(
                "expected a key of 1 to 255 characters from ! to ~ without / ? # % \\"
                f" and other than . and .., got {text!r:.100}"
            )
        return cls(text)

    @classmethod
    def for_file(cls, url: str) -> Key:
        """The key of what `url` fetches; the URL as the profile writes it."""
        return cls(Kind.FILE.value + urlmd5(url))

    @classmethod
    def for_distribution(cls, name: str, version: str) -> Key:
        """The key of a Python distribution: its sdist and all its wheels."""
        return cls.parse(f"{Kind.DISTRIBUTION.value}{name}={version}")

    @classmethod
    def for_page(cls, url: str) -> Key:
        """The key of an index page, or of the 404 in its place."""
        return cls(Kind.PAGE.value + urlmd5(url))

    @classmethod
    def for_run(cls, profile: str) -> Key:
        """The key of a run record: `profile` is the URL of the root profile, or the
        SHA-256 of a local one in hexadecimal."""
        made = profile if _SHA256.match(profile) else urlmd5(profile)
        return cls(Kind.RUN.value + made)

    @classmethod
    def for_bundle(cls, repository: str, revision: str) -> Key:
        """The key of a git bundle: a repository's URL and a full revision."""
        made = hashlib.md5(
            repository.encode("utf-8", "surrogatepass"), usedforsecurity=False
        )
        return cls.parse(f"{Kind.BUNDLE.value}{made.hexdigest()}={revision}")

    @classmethod
    def for_release(cls, software_url: str) -> Key:
        """The key of a compiled software release."""
        return cls(urlmd5(software_url))

    @property
    def kind(self) -> Kind:
        for kind in _PREFIXED:
            if self.text.startswith(kind.value):
                return kind
        return Kind.RELEASE if _MD5.match(self.text) else Kind.OTHER

    @property
    def suffix(self) -> str:
        """What follows the prefix of the kind."""
        kind = self.kind
        return self.text[len(kind.value) :] if kind in _PREFIXED else self.text

    def __str__(self) -> str:
        return self.text
