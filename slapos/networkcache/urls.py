"""Normalised URLs, prefixes, checksums in fragments, distributions in file names and
the names of their projects, and secrets in URLs.

A URL is compared as the profile writes it wherever something is signed or looked up;
it is normalised only to be matched with the prefixes of a blacklist.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)


def without_fragment(url: str) -> str:
    """`url` up to its first ``#``: what is looked up and signed."""
    return url.partition("#")[0]


def is_remote(url: str) -> bool:
    """Whether `url` is fetched from elsewhere: ``file:`` and plain paths are not."""
    return bool(_SCHEME.match(url)) and url[:5].lower() != "file:"


def basename(url: str) -> str:
    """The last segment of the path, unquoted, without query and fragment."""
    try:
        return unquote(urlsplit(url).path).rpartition("/")[2]
    except ValueError:
        return ""


def normalise(url: str) -> str:
    """The URL as RFC 3986 section 6.2.2 normalises it, so that two spellings compare.

    Case of scheme and host, default port, percent-encoding of unreserved characters,
    dot segments. What is not a URL, a local path for one, is returned as it is.
    """
    if not _SCHEME.match(url):
        return url
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    scheme = parts.scheme.lower()
    userinfo, at, _ = parts.netloc.rpartition("@")
    host = _tidy_escapes(parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    if port is not None and port != _DEFAULT_PORTS.get(scheme):
        host += f":{port}"
    path = _remove_dot_segments(_tidy_escapes(parts.path)) or "/"
    result = f"{scheme}://{userinfo}{at}{host}{path}"
    if parts.query or "?" in without_fragment(url):
        result += "?" + _tidy_escapes(parts.query)
    if parts.fragment:
        result += "#" + _tidy_escapes(parts.fragment)
    return result


def _tidy_escapes(text: str) -> str:
    def tidy(match: re.Match[str]) -> str:
        if match[1] is None:
            return "%25"
        code = int(match[1], 16)
        return chr(code) if code in _UNRESERVED else match[0].upper()

    return _ESCAPE.sub(tidy, text)


def _remove_dot_segments(path: str) -> str:
    """RFC 3986, section 5.2.4, for the absolute paths that URLs here have."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept)


@dataclass(frozen=True)
class Prefixes:
    """URL prefixes, as a blacklist writes them: a plain string prefix of normalised
    URLs. A local path is compared as it is, so ``/`` is every local path."""

    prefixes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, lines: Iterable[str]) -> Prefixes:
        """One prefix an element; empty ones are left out."""
        return cls(
            tuple(_normalised_prefix(line.strip()) for line in lines if line.strip())
        )

    def match(self, url: str) -> str | None:
        """The first prefix that `url` begins with."""
        normalised = normalise(url)
        for prefix in self.prefixes:
            if normalised.startswith(prefix):
                return prefix
        return None

    def __add__(self, other: Prefixes) -> Prefixes:
        return Prefixes(self.prefixes + other.prefixes)


def _normalised_prefix(prefix: str) -> str:
    """Normalise a prefix without giving it a path that it does not have: ``http://a``
    stays a prefix of ``http://a.example.com/``."""
    normalised = normalise(prefix)
    if _SCHEME.match(prefix) and "/" not in prefix.partition("://")[2]:
        return normalised.removesuffix("/")
    return normalised


_CHECKSUM = re.compile(
    r"(?:^|&)(md5|sha1|sha224|sha256|sha384|sha512)=([0-9A-Fa-f]+)(?=&|\Z)"
)
_CHECKSUM_LENGTHS = {
    "md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128,
}  # fmt: skip


class Checksum(NamedTuple):
    """A hash that a profile or a URL names: `algorithm` as hashlib knows it, and the
    `value` in lower-case hexadecimal."""

    algorithm: str
    value: str


def checksum_in(url: str) -> Checksum | None:
    """The checksum in the fragment of `url`, as index pages write it."""
    for match in _CHECKSUM.finditer(url.partition("#")[2]):
        if len(match[2]) == _CHECKSUM_LENGTHS[match[1]]:
            return Checksum(match[1], match[2].lower())
    return None


class DistributionFile(NamedTuple):
    """What the file name of a Python distribution says."""

    name: str
    version: str
    basename: str


_SDIST = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*?)-(?P<version>[0-9][A-Za-z0-9.+!_-]*)"
    r"\.(?:tar\.(?:gz|bz2|xz|Z)|tgz|tar|zip)\Z"
)
_BUILT = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._]*)-(?P<version>[0-9][A-Za-z0-9.+!_]*)"
    r"(?:-.+)?\.(?:whl|egg)\Z"
)
_UNSAFE_IN_NAME = re.compile(r"[^A-Za-z0-9.]+")
_SEPARATORS_IN_NAME = re.compile(r"[-_.]+")


def safe_name(project: str) -> str:
    """A project's name as ``pkg_resources.safe_name`` writes it, and with it the keys
    of deployed clients: runs of anything but letters, digits and dots as ``-``."""
    return _UNSAFE_IN_NAME.sub("-", project)


def normalised_name(project: str) -> str:
    """A project's name as PEP 503 normalises it, so that two spellings compare."""
    return _SEPARATORS_IN_NAME.sub("-", project).lower()


def distribution_in(url: str) -> DistributionFile | None:
    """Which distribution the last segment of `url` names, or None if it names none.

    The name is written as `safe_name` does.
    """
    file = basename(url)
    match = _BUILT.match(file) or _SDIST.match(file)
    if match is None:
        return None
    version = match["version"].replace("_", "-")
    return DistributionFile(safe_name(match["name"]), version, file)


SECRET_PARAMETERS = frozenset(
    {
        "token", "access_token", "private_token", "job_token", "key", "api_key",
        "password", "secret", "sig", "signature",
    }
)  # fmt: skip
"""Query parameters, in any case, whose value is taken for a secret."""
SECRET_PARAMETER_PREFIXES = ("x-amz-", "x-goog-")
"""The same for whole families of parameters."""

_USER_INFO = re.compile(r"://[^/?#]*@")
_USER_INFO_IN_TEXT = re.compile(r"://[^\s/?#]*@")
_PARAMETER = re.compile(r"[?&;]([^=&;#?]*)=")
_PARAMETER_IN_TEXT = re.compile(r"[?&;]([^=&;#?\s]*)=")
# A quote or a bracket may be part of a secret, so only what no URL holds ends it.
_VALUE_IN_TEXT = re.compile(r"[^&;#\s]*")


def _is_secret_parameter(name: str) -> bool:
    name = unquote(name).lower()
    return name in SECRET_PARAMETERS or name.startswith(SECRET_PARAMETER_PREFIXES)


def has_secret(url: str) -> bool:
    """Whether `url`, or a URL inside it, carries user info, or a query parameter that is
    a secret.

    Such a URL is neither looked up nor published.
    """
    return _USER_INFO.search(url) is not None or any(
        _is_secret_parameter(match[1]) for match in _PARAMETER.finditer(url)
    )


def without_secret(url: str) -> str:
    """`url` without its query and user info, where one of them is a secret: relative
    links lead to the same places."""
    parts = split(url)
    if not has_secret(url) or parts is None:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def redact(text: str) -> str:
    """`text` with what is secret in the URLs in it replaced by ``***``, for logs.

    It rather replaces too much: a URL in a text has no certain end.
    """
    text = _USER_INFO_IN_TEXT.sub("://***@", text)
    pieces: list[str] = []
    done = 0
    for parameter in _PARAMETER_IN_TEXT.finditer(text):
        if parameter.start() >= done and _is_secret_parameter(parameter[1]):
            pieces += [text[done : parameter.end()], "***"]
            value = _VALUE_IN_TEXT.match(text, parameter.end())
            done = value.end() if value else parameter.end()
    return "".join(pieces) + text[done:]


def split(url: str) -> SplitResult | None:
    """`urllib.parse.urlsplit`, with None for what cannot be split."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        return None
    return parts
