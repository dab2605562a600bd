"""Where pip would look for build requirements, and the environment that makes it ask our
own index instead.

pip is asked itself what its configuration says: files, environment, and its own order.
"""

from __future__ import annotations

import ast
import netrc
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..urls import has_secret, is_remote

LOOPBACK = "127.0.0.1"
_TIMEOUT = "600"
"""Seconds that pip waits for an answer."""


@dataclass(frozen=True)
class PipSettings:
    """What pip is configured to use.

    `index` is its main index, None for its default; `extra` further indexes, `links`
    pages and files; `proxy`, `cert` and `client_cert` how they are reached; `trusted` the
    hosts whose certificate is not checked; `options` is all of it, as it stands.
    """

    index: str | None = None
    extra: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    proxy: str | None = None
    cert: str | None = None
    client_cert: str | None = None
    trusted: frozenset[str] = frozenset()
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> PipSettings:
        """Read what ``pip config list`` prints: a line ``PLACE.OPTION='VALUE'`` each."""
        values: dict[str, str] = {}
        # Those of one command count for more, and the environment for most.
        for place in ("global", "install", ":env:"):
            for line in text.splitlines():
                name, equals, value = line.partition("=")
                where, _, option = name.rpartition(".")
                if equals and where == place:
                    values[option] = _unquoted(value)
        return cls(
            values.get("index-url") or None,
            tuple(values.get("extra-index-url", "").split()),
            tuple(values.get("find-links", "").split()),
            values.get("proxy") or None,
            values.get("cert") or None,
            values.get("client-cert") or None,
            frozenset(values.get("trusted-host", "").split()),
            values,
        )

    def needs_credentials(self, url: str) -> bool:
        """Whether pip would ask `url` with something that only the user has, or without
        checking who answers: then nobody else may ask, and nothing is published."""
        host = urlsplit(url).hostname or ""
        return (
            has_secret(url)
            or self.client_cert is not None
            or any(name.partition(":")[0] == host for name in self.trusted)
            or _in_netrc(host)
        )

    def environment(
        self,
        default: str,
        instead: Callable[[str], str | None],
        more: Iterable[str] = (),
    ) -> dict[str, str]:
        """What to set in the environment of pip.

        `default` is the index that it uses where none is configured, `more` are further
        ones, `instead` says by which URL something remote is asked for: None for not at
        all.
        """
        index = _replaced([self.index or default], instead)
        lists = {
            "PIP_EXTRA_INDEX_URL": _replaced([*self.extra, *more], instead),
            "PIP_FIND_LINKS": _replaced(self.links, instead),
        }
        variables = {name: " ".join(urls) for name, urls in lists.items()}
        variables.update(dict.fromkeys(("NO_PROXY", "no_proxy"), _with_loopback()))
        # A content from afar is verified as a whole before pip gets the first byte.
        variables["PIP_DEFAULT_TIMEOUT"] = _TIMEOUT
        variables["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"  # it would ask for the page of pip
        if index:
            variables["PIP_INDEX_URL"] = index[0]
        else:
            variables["PIP_NO_INDEX"] = "1"
        emptied = (self.extra and not lists["PIP_EXTRA_INDEX_URL"]) or (
            self.links and not lists["PIP_FIND_LINKS"]
        )
        if self.proxy is not None or emptied:
            # Who answers on loopback uses the proxy. pip does not take "" from its
            # environment for an answer, so it is told all that its files say but that.
            variables["PIP_CONFIG_FILE"] = os.devnull
            for option, value in self.options.items():
                name = f"PIP_{option.upper().replace('-', '_')}"
                variables.setdefault(name, "" if option == "proxy" else value)
        return variables


def read_pip_settings(path: Iterable[str]) -> PipSettings:
    """Ask the pip on `path`, as zc.buildout runs it. Raises `OSError`,
    `subprocess.SubprocessError`."""
    environment = dict(os.environ)
    places = [*path, environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        timeout=60,
    )
    return PipSettings.parse(done.stdout)


def _unquoted(value: str) -> str:
    """pip prints values as Python does."""
    try:
        return str(ast.literal_eval(value))
    except (ValueError, SyntaxError):
        return value


def _replaced(urls: Iterable[str], instead: Callable[[str], str | None]) -> list[str]:
    replaced = (instead(url) if is_remote(url) else url for url in urls)
    return [url for url in replaced if url is not None]


def _with_loopback() -> str:
    """Whom to ask without a proxy; where both spellings are set, the lower one counts."""
    before = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    return before if before == "*" else ",".join(filter(None, (before, LOOPBACK)))


def _in_netrc(host: str) -> bool:
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
