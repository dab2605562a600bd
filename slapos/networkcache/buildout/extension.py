"""``extensions = slapos.networkcache``: what zc.buildout loads.

Loaded in every buildout that has any extension at all, so without a ``[networkcache]``
section it does nothing; and with one, nothing that takes time before the first fetch.
"""

from __future__ import annotations

import atexit
import logging
from typing import Any

from . import hook, places
from .run import Run

logger = logging.getLogger("slapos.networkcache")


def load(buildout: Any) -> None:
    """Put the hook in place, or tell the one that is there what the profile says."""
    layers = places.of_buildout(buildout)
    run = hook.current()
    if run is not None:
        run.configure(layers)
    elif any(layers.values()):
        start(Run(layers))


def start(run: Run) -> None:
    """Put the hook in place for `run`, and see to it that the run ends with a report."""
    hook.install(run)
    atexit.register(finish, run)


def finish(run: Run) -> None:
    """Say what came from where, however the run ended."""
    run.close()
    if not run.report.empty:
        for line in run.report.lines():
            logger.info(line)
