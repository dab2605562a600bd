"""``extensions = slapos.networkcache``: what zc.buildout loads.

Loaded in every buildout that has any extension at all, so without a ``[networkcache]``
section it does nothing; and with one, nothing that takes time before the first fetch.
"""

from __future__ import annotations

import atexit
import logging
from typing import Any

import zc.buildout

from ..errors import InvalidConfiguration
from . import hook, places
from .run import Run

logger = logging.getLogger("slapos.networkcache")


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
            start(Run(layers))
    except InvalidConfiguration as error:
        raise zc.buildout.UserError(f"[networkcache] {error}") from None


def start(run: Run) -> None:
    """Put the hook in place for `run`, and see to it that the run ends with a report."""
    hook.install(run)
    atexit.register(finish, run)


def finish(run: Run) -> None:
    """Say what came from where, however the run ended."""
    run.close()
    if run.active or run.report.off:
        for line in run.report.lines():
            logger.info(line)
