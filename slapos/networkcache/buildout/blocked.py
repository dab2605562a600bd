"""Where origins are blocked, what no cache has is said before anything is built."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import zc.buildout
from zc.buildout.download import Download

from ..binding import Request
from ..errors import InvalidConfiguration, NotFound, Reason
from ..printable import readable
from .expected import to_install
from .places import CommandLine
from .report import reason_of
from .run import Run

if TYPE_CHECKING:
    from ..client import Client
    from ..digest import Digest


def check(run: Run, buildout: Any) -> None:
    """Raise `zc.buildout.UserError`, which names all that parts to be installed are
    certain to fetch, and no cache has."""
    profile = run.expected
    options = buildout["buildout"]
    there = {*_installed_parts(options), *_shared_parts(options, profile.fetched)}
    named = CommandLine.parse(sys.argv[1:]).parts
    wanted = list(dict.fromkeys(to_install(profile.fetched, there, named)))
    if not wanted:
        return
    hindrances = _hindrances(run, [way.request for ways in wanted for way in ways])
    downloaded = _downloaded_files(options)
    missing: dict[str, None] = {}
    for ways in wanted:
        names = {name for way in ways for name in _names(way.url)}
        if names.isdisjoint(downloaded) and all(w.request in hindrances for w in ways):
            lines = (f"  {readable(w.url)} ({hindrances[w.request]})" for w in ways)
            missing |= dict.fromkeys(lines)
    if missing:
        run.report.blocked += len(missing)
        raise zc.buildout.UserError(
            f"with {Reason.BLOCK_ORIGIN} = true no origin is asked, and no network cache"
            " has\n" + "\n".join(missing)
        )


# -- what the caches have


def _hindrances(run: Run, requests: Iterable[Request]) -> dict[Request, str]:
    """Why no cache has what is asked for, of those requests for which none has it."""
    try:
        client = run.client()
        run.look_ahead()
    except InvalidConfiguration as error:
        return dict.fromkeys(requests, str(error.reason))
    found: dict[Request, str] = {}
    named: dict[Request, Digest] = {}
    for request in dict.fromkeys(requests):
        reason = client.look_up(request).reason
        digest = request.named_digest
        if reason is not None:
            found[request] = str(reason)
        elif digest is not None:  # no source was asked yet
            named[request] = digest
    absent = _absent(client, named.values())
    return found | {r: absent[digest] for r, digest in named.items() if digest in absent}


def _absent(client: Client, digests: Iterable[Digest]) -> dict[Digest, str]:
    """Of these contents those that neither the local store nor a source has, and why."""
    local = client.local
    wanted = [digest for digest in digests if local is None or not local.has(digest)]
    if not wanted:
        return {}
    holdings = client.holdings(wanted)
    held = {digest for holding in holdings for digest in holding.digests}
    failures = (holding.failure for holding in holdings if holding.failure is not None)
    why = reason_of(next(failures, NotFound("no source has it")))
    return {digest: why for digest in wanted if digest not in held}


# -- what is on this computer


def _installed_parts(options: Mapping[str, str]) -> list[str]:
    """The parts that ``.installed.cfg`` names."""
    try:
        with open(options.get("installed", ""), encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    return [line[1:-1] for line in lines if line.startswith("[") and line.endswith("]")]


def _shared_parts(options: Mapping[str, str], parts: Collection[str]) -> list[str]:
    """Those of `parts` that another buildout may have made; only its recipe knows."""
    listed = options.get("shared-part-list", "").splitlines()
    folders = [folder.strip() for folder in listed if folder.strip()]
    return [
        part
        for part in parts
        if any(os.path.isdir(os.path.join(folder, part)) for folder in folders)
    ]


def _downloaded_files(options: Mapping[str, str]) -> set[str]:
    """The names of what is in buildout's own download cache."""
    folder = options.get("download-cache")
    if not folder:
        return set()
    walk = os.walk(os.path.join(options["directory"], folder))
    return {name for _, _, names in walk for name in names}


def _names(url: str) -> list[str]:
    """What a file of `url` is called there; which one it is, its recipe knows."""
    return [Download(hash_name=hashed).filename(url) for hashed in (False, True)]
