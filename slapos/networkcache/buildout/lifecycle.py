"""The seam of buildout itself: its profile was read, it came to its end, or it starts
itself anew.

After an upgrade zc.buildout runs ``bin/buildout`` again, in a child. Where we were there
before the first byte, the child must have the hook from its first byte on, too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import zc.buildout
import zc.buildout.buildout

from ..printable import readable
from ..urls import basename
from . import SCRIPT
from .expected import Profile, read_profile, to_install
from .run import Run
from .seams import Seams

_Buildout = zc.buildout.buildout.Buildout
_load_extensions = _Buildout._load_extensions
_unload_extensions = _Buildout._unload_extensions
_maybe_upgrade = _Buildout._maybe_upgrade


def install(run: Run, seams: Seams) -> None:
    """Learn how far buildout has come."""

    def load_extensions(self: Any) -> None:
        profile_read(run, self)
        _load_extensions(self)

    def unload_extensions(self: Any) -> None:
        _unload_extensions(self)
        run.giving.succeeded = True

    def maybe_upgrade(self: Any) -> None:
        if run.restart is None:
            _maybe_upgrade(self)
        else:
            _upgrade(run, self, run.restart)

    seams.put(_Buildout, "_load_extensions", load_extensions)
    seams.put(_Buildout, "_unload_extensions", unload_extensions)
    seams.put(_Buildout, "_maybe_upgrade", maybe_upgrade)


# -- the profile


def profile_read(run: Run, buildout: Any) -> None:
    """Take from a merged profile what the run will need; nothing is asked for yet, unless
    origins are blocked: what no cache has is said before anything is built.

    Raises `zc.buildout.UserError` then.
    """
    options = buildout["buildout"]
    if not run.active or options.get("offline") == "true":
        return
    profile = read_profile(buildout._raw)
    run.expected.urls += [url for url in profile.urls if url not in run.expected.urls]
    run.expected.pins = profile.pins
    run.expected.index = options.get("index") or zc.buildout.easy_install.default_index_url
    if run.config.block_origin:
        _check_all(run, profile, buildout)


def _check_all(run: Run, profile: Profile, buildout: Any) -> None:
    from ..binding import Request

    installed = _installed_parts(buildout["buildout"].get("installed", ""))
    missing = []
    for url in dict.fromkeys(to_install(profile.fetched, installed).values()):
        if _is_downloaded(buildout["buildout"], url):
            continue
        failure = run.hindrance(Request.for_file(url))
        if failure is not None:
            missing.append(f"  {readable(url)} ({failure})")
    if missing:
        run.report.blocked += len(missing)
        raise zc.buildout.UserError(
            "with block-origin = true no origin is asked, and no network cache has\n"
            + "\n".join(missing)
        )


def _installed_parts(path: str) -> list[str]:
    """The parts that ``.installed.cfg`` names."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    return [line[1:-1] for line in lines if line.startswith("[") and line.endswith("]")]


def _is_downloaded(options: Any, url: str) -> bool:
    """Whether buildout's own download cache may have it."""
    folder = options.get("download-cache")
    if not folder:
        return False
    name = basename(url)
    return any(name in names for _, _, names in os.walk(folder))


# -- the upgrade


def _upgrade(run: Run, self: Any, options: Sequence[str]) -> None:
    """`Buildout._maybe_upgrade` as ``bin/buildout`` would, if that is there: the child
    that it starts is ours, with `options` before its own arguments."""
    script = os.path.join(self["buildout"]["bin-directory"], "buildout")
    if not os.path.exists(script):
        _maybe_upgrade(self)
        return
    module: Any = zc.buildout.buildout
    before = sys.argv[0]
    sys.argv[0] = script
    module.subprocess = _Restart(run, script, options)
    try:
        _maybe_upgrade(self)
    finally:
        sys.argv[0] = before
        module.subprocess = subprocess


class _Restart:
    """In place of `subprocess` in the module of buildout, while it may start itself."""

    def __init__(self, run: Run, script: str, options: Sequence[str]):
        self._run = run
        self._script = script
        self._options = options

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def call(self, command: Sequence[str], env: dict[str, str], **how: Any) -> int:
        """Start the child: ``PYTHON [FLAGS] bin/buildout ARGUMENTS``, by way of us."""
        self._run.restarted = True
        at = list(command).index(self._script)
        ours = ["-m", "slapos.networkcache", "buildout", *self._options]
        return subprocess.call(
            [*command[:at], *ours, *command[at + 1 :]],
            env={**env, SCRIPT: self._script},
            **how,
        )
