"""``extensions = slapos.networkcache``: what zc.buildout loads.

Loaded in every buildout that has any extension at all, so without a ``[networkcache]``
section it does nothing; and with one, nothing that takes time before the first fetch.
"""

from __future__ import annotations

import atexit
import sys
from typing import Any

import zc.buildout

from ..errors import InvalidConfiguration
from . import ending, hook, places
from .lifecycle import check_blocked, profile_read
from .run import Run


def load(buildout: Any) -> None:
    """Put the hook in place, or tell the one that is there what the profile says.

    Raises `zc.buildout.UserError` where the configuration is broken and blocks origins.
    """
    run = hook.current()
    try:
        layers = places.of_buildout(buildout)
        if run is not None:
            run.configure(layers)
        elif any(layers.values()):
            _begin(buildout, layers)
    except InvalidConfiguration as error:
        raise zc.buildout.UserError(f"[networkcache] {error}") from None


def _begin(buildout: Any, layers: places.Layers) -> None:
    """The hook comes late: what was fetched before it can only be published."""
    command_line = places.CommandLine.parse(sys.argv[1:])
    config_file = places.config_file_of(buildout, command_line)
    run = Run(layers, places.root_profile(config_file))
    start(run)
    profile_read(run, buildout)
    check_blocked(run, buildout)
    if run.config.publishes:
        from .earlier import Earlier

        run.giving.earlier = Earlier(run, buildout, config_file, command_line)
        run.giving.earlier.start()


def start(run: Run) -> None:
    """Put the hook in place for `run`, and see to it that the run ends with a report."""
    hook.install(run)
    atexit.register(ending.finish, run)
