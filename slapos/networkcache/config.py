"""Every option of a ``[networkcache]`` section.

The same section with the same names stands in profiles, in a node's ``slapos.cfg`` and
on command lines. `precedence` says which of several places an option is taken from,
`Config.parse` reads the outcome. Existing names stay exactly as they are, and a section
that is only filled in half is completed, so that what was published for years works.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .digest import Digest
from .errors import InvalidConfiguration, InvalidDigest
from .quantities import parse_duration, parse_size
from .urls import Prefixes, redact, split

_TLS_FILES = ("ca-file", "cert-file", "key-file")
_PAIRS = tuple(
    (f"{way}-{which}cache-url", f"{way}-{which}dir-url")
    for way in ("download", "upload")
    for which in ("", "binary-")
)
PUBLISHER_OPTIONS = frozenset(
    {"signature-private-key-file", "signature-certificate-file"}
    | {f"sha{where}-{file}" for where in ("cache", "dir") for file in _TLS_FILES}
    | {option for pair in _PAIRS for option in pair if option.startswith("upload-")}
)
"""The signing key, the account and the upload URLs: they come from one place."""

OPTIONS = frozenset(
    PUBLISHER_OPTIONS
    | {option for pair in _PAIRS for option in pair}
    | {f"{option}-list" for pair in _PAIRS for option in pair if "download" in option}
    | {
        "signature-certificate-list", "signature-legacy", "signature-threshold",
        "binary-cache-url-blacklist", "download-from-binary-cache-url-blacklist",
        "upload-to-binary-cache-url-blacklist",
        "download-from-binary-cache-force-url-list",
        "download-from-cache-url-blacklist", "upload-to-cache-url-blacklist",
        "digest-blacklist", "block-origin", "cache-time-budget",
        "require-checked-origin", "entry-expires", "local-store", "local-store-size",
        "binary-cache-archive", "build-prefix-length",
    }
)  # fmt: skip
"""Every option there is."""


@dataclass(frozen=True)
class Source:
    """A network cache: the URLs of its SHACACHE and of its SHADIR."""

    cache_url: str
    dir_url: str

    def __str__(self) -> str:
        return redact(self.dir_url)


@dataclass(frozen=True)
class TLS:
    """Files for TLS towards a server: its authority's certificate, the account's
    certificate and its key. None: the system's authorities, no account."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True)
class Config:
    """What a section says, read and completed.

    Durations are in seconds, sizes in bytes. `completed` names each option that was not
    set and the one that it was taken from, `left_out` says what counts for nothing, and
    `unknown` names options that nobody knows, each with a guess what was meant.
    """

    sources: tuple[Source, ...] = ()
    upload: Source | None = None
    binary_sources: tuple[Source, ...] = ()
    binary_upload: Source | None = None
    certificate_list: str = ""
    private_key_file: str | None = None
    certificate_file: str | None = None
    cache_tls: TLS = TLS()
    dir_tls: TLS = TLS()
    download_blacklist: Prefixes = Prefixes()
    upload_blacklist: Prefixes = Prefixes()
    binary_download_blacklist: Prefixes = Prefixes()
    binary_upload_blacklist: Prefixes = Prefixes()
    binary_force_list: Prefixes = Prefixes()
    digest_blacklist: frozenset[Digest] = frozenset()
    accept_legacy: bool = False
    publish_legacy: bool = False
    threshold: int = 1
    block_origin: bool = False
    time_budget: float = 10.0
    require_checked_origin: bool = False
    entry_expires: int | None = None
    local_store: str | None = None
    local_store_size: int = 10 << 30
    binary_archive: str = "tar.zst"
    build_prefix_length: int | None = None
    completed: Mapping[str, str] = field(default_factory=dict, compare=False)
    left_out: tuple[str, ...] = field(default=(), compare=False)
    unknown: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> Config:
        """Read a section. Raises `InvalidConfiguration` for a value that does not parse.

        An unknown option is no error here: a newer profile must not break an older
        node. It is named in `unknown`, for those who want to refuse it.
        """
        section = _Section(options)
        section.complete()
        return cls(
            sources=section.sources("download-cache-url", "download-dir-url"),
            upload=section.pair("upload-cache-url", "upload-dir-url"),
            binary_sources=section.sources(
                "download-binary-cache-url", "download-binary-dir-url"
            ),
            binary_upload=section.pair("upload-binary-cache-url", "upload-binary-dir-url"),
            certificate_list=section.text("signature-certificate-list"),
            private_key_file=section.get("signature-private-key-file"),
            certificate_file=section.get("signature-certificate-file"),
            cache_tls=section.tls("shacache"),
            dir_tls=section.tls("shadir"),
            download_blacklist=section.prefixes("download-from-cache-url-blacklist"),
            upload_blacklist=section.prefixes("upload-to-cache-url-blacklist"),
            binary_download_blacklist=section.prefixes("binary-cache-url-blacklist")
            + section.prefixes("download-from-binary-cache-url-blacklist"),
            binary_upload_blacklist=section.prefixes("binary-cache-url-blacklist")
            + section.prefixes("upload-to-binary-cache-url-blacklist"),
            binary_force_list=section.prefixes("download-from-binary-cache-force-url-list"),
            digest_blacklist=section.digests("digest-blacklist"),
            accept_legacy="accept" in section.legacy(),
            publish_legacy="publish" in section.legacy(),
            threshold=section.whole_number("signature-threshold", 1) or 1,
            block_origin=section.boolean("block-origin"),
            time_budget=section.duration("cache-time-budget", 10.0),
            require_checked_origin=section.boolean("require-checked-origin"),
            entry_expires=section.lifetime("entry-expires"),
            local_store=section.get("local-store"),
            local_store_size=section.size("local-store-size", 10 << 30),
            binary_archive=section.choice("binary-cache-archive", ("tar.zst", "tar.gz")),
            build_prefix_length=section.whole_number("build-prefix-length"),
            completed=section.completed,
            left_out=tuple(section.left_out),
            unknown=tuple(map(_guess, sorted(set(options) - OPTIONS))),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was completed or left out, in sentences."""
        taken = self.completed.items()
        completed = (f"{one} is not set: taken from {other}" for one, other in taken)
        return (*completed, *self.left_out)

    def of_releases(self) -> Config:
        """The same for whoever asks for compiled releases: the sources, the target and the
        blacklists of the binary cache are in the place of those of the download cache."""
        return replace(
            self,
            sources=self.binary_sources,
            upload=self.binary_upload,
            download_blacklist=self.binary_download_blacklist,
            upload_blacklist=self.binary_upload_blacklist,
        )

    @property
    def reads(self) -> bool:
        """Whether there is a network cache to look into."""
        return bool(self.sources)

    @property
    def publishes(self) -> bool:
        """Whether what is fetched from an origin is to be published."""
        return self.upload is not None and self.private_key_file is not None


def _guess(option: str) -> str:
    near = difflib.get_close_matches(option, sorted(OPTIONS), 1)
    return f"{option} (did you mean {near[0]}?)" if near else option


class _Section:
    """The values of a section while they are read; keeps what was done to them."""

    def __init__(self, options: Mapping[str, str]):
        self._values = {o: v.strip() for o, v in options.items() if v.strip()}
        self.completed: dict[str, str] = {}
        self.left_out: list[str] = []

    def get(self, option: str) -> str | None:
        return self._values.get(option)

    def text(self, option: str) -> str:
        return self._values.get(option, "")

    def lines(self, option: str) -> list[str]:
        return [line.strip() for line in self.text(option).splitlines() if line.strip()]

    # -- completion

    def complete(self) -> None:
        """Fill in the other half of what is given by half."""
        given = dict(self._values)
        for way in ("download", "upload"):
            for which, other in (("", "binary-"), ("binary-", "")):
                cache, dir = f"{way}-{which}cache-url", f"{way}-{which}dir-url"
                if (cache in given) != (dir in given):
                    missing = dir if cache in given else cache
                    self._take(missing, missing.replace(f"-{which}", f"-{other}", 1), given)
        for file in _TLS_FILES:
            cache, dir = f"shacache-{file}", f"shadir-{file}"
            if (cache in given) != (dir in given):
                missing, other = (dir, cache) if cache in given else (cache, dir)
                self._take(missing, other, given)

    def _take(self, missing: str, other: str, given: Mapping[str, str]) -> None:
        if other in given:
            self._values[missing] = given[other]
            self.completed[missing] = other

    # -- sources

    def pair(self, cache: str, dir: str) -> Source | None:
        """The source that two options name together."""
        if self.get(cache) and self.get(dir):
            return Source(
                self._url(cache, self.text(cache)), self._url(dir, self.text(dir))
            )
        if self.get(cache) or self.get(dir):
            one, other = (cache, dir) if self.get(cache) else (dir, cache)
            self.left_out.append(f"{one} is set but {other} is not: both are left out")
        return None

    def sources(self, cache: str, dir: str) -> tuple[Source, ...]:
        """Those of the lists, nearest first, then the single one."""
        caches, dirs = self.lines(f"{cache}-list"), self.lines(f"{dir}-list")
        for option, urls in ((f"{cache}-list", caches), (f"{dir}-list", dirs)):
            for surplus in urls[min(len(caches), len(dirs)) :]:
                self.left_out.append(
                    f"{redact(surplus)} of {option} has no counterpart in the other list:"
                    " ignored"
                )
        found = [
            Source(self._url(f"{cache}-list", a), self._url(f"{dir}-list", b))
            for a, b in zip(caches, dirs)  # noqa: B905 - surplus lines were named above
        ]
        single = self.pair(cache, dir)
        if single and single not in found:
            found.append(single)
        return tuple(found)

    def _url(self, option: str, url: str) -> str:
        parts = split(url)
        if (
            parts is None
            or parts.scheme not in ("http", "https")
            or not parts.hostname
            or re.search(r"[?#\s]", url)
        ):
            expected = "an http or https URL without query and fragment"
            raise self._wrong(option, redact(url), expected)
        return url.rstrip("/")

    def tls(self, server: str) -> TLS:
        return TLS(*(self.get(f"{server}-{file}") for file in _TLS_FILES))

    # -- plain values

    def prefixes(self, option: str) -> Prefixes:
        return Prefixes.parse(self.lines(option))

    def digests(self, option: str) -> frozenset[Digest]:
        try:
            return frozenset(Digest.parse(word) for word in self.text(option).split())
        except InvalidDigest as error:
            raise self._invalid(option, str(error)) from None

    def legacy(self) -> set[str]:
        words = set(self.text("signature-legacy").split())
        if words - {"accept", "publish", "refuse"} or {"refuse"} < words:
            expected = "refuse, accept, publish, or accept publish"
            raise self._wrong("signature-legacy", self.text("signature-legacy"), expected)
        return words

    def boolean(self, option: str) -> bool:
        return self.choice(option, ("false", "true")) == "true"

    def choice(self, option: str, values: Sequence[str]) -> str:
        """One of `values`, the first of which is the default."""
        value = self.get(option) or values[0]
        if value not in values:
            raise self._wrong(option, value, " or ".join(values))
        return value

    def whole_number(self, option: str, default: int | None = None) -> int | None:
        value = self.get(option)
        if value is None or (value == "off" and default is None):
            return default
        if not re.fullmatch(r"[1-9][0-9]{0,8}", value):
            raise self._wrong(option, value, "a whole number of 1 or more")
        return int(value)

    def duration(self, option: str, default: float) -> float:
        return self._quantity(option, parse_duration, default)

    def lifetime(self, option: str) -> int | None:
        """A duration in whole seconds; None where nothing ends."""
        if self.get(option) in (None, "none"):
            return None
        seconds = int(self.duration(option, 0.0))
        if seconds < 1:
            raise self._wrong(option, self.text(option), "a second or more, or none")
        return seconds

    def size(self, option: str, default: int) -> int:
        return int(self._quantity(option, parse_size, default))

    def _quantity(
        self, option: str, parse: Callable[[str], float], default: float
    ) -> float:
        value = self.get(option)
        try:
            return default if value is None else parse(value)
        except ValueError as error:
            raise self._invalid(option, str(error)) from None

    def _wrong(self, option: str, value: str, expected: str) -> InvalidConfiguration:
        return self._invalid(option, f"expected {expected}, got {value!r:.200}")

    def _invalid(self, option: str, what: str) -> InvalidConfiguration:
        """Of the option that is set, where another one was completed from it."""
        given = self.completed.get(option, option)
        return InvalidConfiguration(f"{given}: {what}", given)
