"""The seam of buildout itself: its profile was read, it came to its end, or it starts
itself anew.

After an upgrade zc.buildout runs ``bin/buildout`` again, in a child. Where we were there
before the first byte, the child must have the hook from its first byte on, too.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import zc.buildout
import zc.buildout.buildout

from ..errors import InvalidConfiguration
from . import SCRIPT, ending, places
from .earlier import is_older
from .run import Run
from .seams import Seams

_Buildout = zc.buildout.buildout.Buildout
_load_extensions = _Buildout._load_extensions
_unload_extensions = _Buildout._unload_extensions
_maybe_upgrade = _Buildout._maybe_upgrade


def install(run: Run, seams: Seams) -> None:
    """Learn how far buildout has come."""

    def load_extensions(self: Any) -> None:
        if run.restart is not None:
            _read_section(run, self)
        profile_read(run, self)
        _load_extensions(self)
        check_blocked(run, self)  # they may have told us whom to believe

    def unload_extensions(self: Any) -> None:
        _unload_extensions(self)
        run.succeeded = True
        ending.publish(run)

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
    """Take from a merged profile what the run will need; nothing is asked for yet."""
    options = buildout["buildout"]
    run.complete = not os.path.exists(options["installed"]) and not any(
        map(is_older, _eggs(options["eggs-directory"]))
    )
    if options.get("offline") != "true":
        index = options.get("index") or zc.buildout.easy_install.default_index_url
        run.expect(buildout._raw, index)


def check_blocked(run: Run, buildout: Any) -> None:
    """Where origins are blocked, say what is missing before anything is built; raises
    `zc.buildout.UserError`."""
    if run.config.block_origin:
        from .blocked import check

        check(run, buildout)


def _read_section(run: Run, buildout: Any) -> None:
    """Take from a profile what its section says, be the extension listed there or not."""
    try:
        run.configure(places.of_buildout(buildout))
    except InvalidConfiguration as error:
        raise zc.buildout.UserError(f"[networkcache] {error}") from None


def _eggs(folder: str) -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from (entry.path for entry in os.scandir(folder))


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
        if self._run.report_file is not None:
            with contextlib.suppress(OSError):  # one of an earlier run
                os.unlink(self._run.report_file)
        at = list(command).index(self._script)
        ours = ["-m", "slapos.networkcache", "buildout", *self._options]
        return subprocess.call(
            [*command[:at], *ours, *command[at + 1 :]],
            env={**env, SCRIPT: self._script, "PYTHONPATH": _path_of_ours(env)},
            **how,
        )


def _path_of_ours(env: dict[str, str]) -> str:
    """Where the child finds us and what we need, if we came from a folder that only the
    script of this process had put on its path."""
    given = env.get("PYTHONPATH", "").split(os.pathsep)
    ours = [path for path in sys.path if path.endswith(".egg") and path not in given]
    return os.pathsep.join(filter(None, (*given, *ours)))
