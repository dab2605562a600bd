"""Every option of `networkcache server run`, by its name: what the command line and the
configuration file are made of.

An option has one name in both, with `--` before it on the command line, and one kind of
value, whose text is read the same way in both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import NamedTuple

from ...quantities import parse_duration, parse_size
from ...urls import redact, split
from .options import Options, UpstreamUrls


class Kind(NamedTuple):
    """A kind of value. `read` takes its text and raises `ValueError` with what was
    expected and what came; `show` writes a value as a text that `read` takes; `word`
    stands for it on the command line, `words` for several."""

    read: Callable[[str], object]
    word: str
    show: Callable[[object], str] = str
    words: tuple[str, ...] = ()


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"expected true or false, got {text!r:.100}")
    return text == "true"


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(
                f"expected a whole number from {least} to {most}, got {text!r:.100}"
            )
        return int(text)

    return read


def _path(text: str) -> Path:
    if "\0" in text:
        raise ValueError(f"expected a path without a NUL character, got {text!r:.100}")
    return Path(text)


def _url(text: str) -> str:
    parts = split(text)
    if (
        parts is None
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or re.search(r"[?#\s]", text)
    ):
        raise ValueError(
            "expected an http or https URL without query and fragment, got"
            f" {redact(text)!r:.200}"
        )
    return text.rstrip("/")


def _upstreams(text: str) -> tuple[UpstreamUrls, ...]:
    return tuple(map(_upstream, filter(None, map(str.strip, text.splitlines()))))


def _upstream(line: str) -> UpstreamUrls:
    words = line.split()
    if len(words) != 2:
        raise ValueError(
            "expected two URLs in each line, that of the contents and that of the"
            f" directory, got {redact(line)!r:.200}"
        )
    return UpstreamUrls(*map(_url, words))


def _show_flag(value: object) -> str:
    return "true" if value else "false"


def _show_size(value: object) -> str:
    assert isinstance(value, int)
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB")):
        if value and not value % (1 << power):
            return f"{value >> power} {unit}"
    return f"{value / 1024:g} KiB"


FLAG = Kind(_flag, "true|false", _show_flag)
PORT_NUMBER = Kind(_whole_number(0, 65535), "PORT")
NUMBER = Kind(_whole_number(1, 1000), "N")
TEXT = Kind(str, "TEXT")
PATH = Kind(_path, "FILE")
SIZE = Kind(parse_size, "SIZE", _show_size)
DURATION = Kind(parse_duration, "DURATION", lambda value: f"{value:g} s")
URL = Kind(_url, "URL")
UPSTREAMS = Kind(_upstreams, "", words=("CACHE_URL", "DIR_URL"))


class Option(NamedTuple):
    """What the operator may say. `field` is where it is kept in `Options`."""

    name: str
    kind: Kind
    help: str
    field: str

    @property
    def default(self) -> object:
        """Its value where nobody says anything; None for none."""
        return _DEFAULTS[self.field]


_DEFAULTS = {
    field.name: None if field.default is MISSING else field.default
    for field in fields(Options)
}


def _option(name: str, kind: Kind, help: str, field: str | None = None) -> Option:
    return Option(name, kind, help, field or name.replace("-", "_"))


OPTIONS: Sequence[Option] = (
    _option("root", PATH._replace(word="DIR"), "the folder of everything that is kept"),
    # -- where it listens
    _option("host", TEXT._replace(word="HOST"), "address to listen on"),
    _option("port", PORT_NUMBER, "port for http: 8080, or none with a socket; 0 picks one"),
    _option("socket", PATH, "Unix socket for a server in front, such as nginx"),
    _option("tls-port", PORT_NUMBER, "https beside http; 0 picks a port"),
    _option("tls-certificate", PATH, "PEM, with its chain"),
    _option("tls-key", PATH, "PEM, not encrypted"),
    _option("workers", NUMBER, "processes that share the sockets"),
    # -- who is in front
    _option(
        "accel-redirect",
        TEXT._replace(word="PREFIX"),
        "path under which nginx in front sends the contents, such as /contents/",
    ),
    _option("proxy-secret-file", PATH, "what a proxy shows that passes certificates on"),
    _option("public-url", URL, "where clients reach the server, for its pages"),
    _option("show-names", FLAG, "pages name accounts and upstreams to everybody"),
    # -- uploads
    _option(
        "allow-anonymous-upload",
        FLAG,
        "take uploads from this computer without an account",
        "anonymous",
    ),
    _option("max-content-size", SIZE, "the longest content that is taken", "content_limit"),
    # -- upstreams
    _option("upstream", UPSTREAMS, "ask it for what is not here; repeatable", "upstreams"),
    _option("upstream-ttl", DURATION, "how long what an upstream said of a key counts"),
    _option("upstream-ca-file", PATH, "PEM, the authorities of upstreams"),
    _option("upstream-cert-file", PATH, "PEM, the account's certificate at upstreams"),
    _option("upstream-key-file", PATH, "PEM, its key"),
    _option("upload-through", FLAG, "send uploads on to the first upstream"),
    # -- space
    _option("max-size", SIZE, "of all contents; what upstreams gave goes first, by use"),
    _option("min-free", SIZE, "of the disk, that is left free"),
    _option("keep", DURATION, "how long entries stay that nobody asks for; else for ever"),
    _option("check-rate", SIZE, "a second that are re-hashed in the background"),
    # -- log and limits
    _option("access-log", PATH, "a JSON object a line; default: standard error"),
    _option(
        "stall-timeout", DURATION, "drop a client without progress for so long", "stall"
    ),
    _option(
        "shutdown-timeout",
        DURATION,
        "how long running transfers may take after SIGTERM",
        "shutdown",
    ),
)
BY_NAME = {option.name: option for option in OPTIONS}
