"""``extensions = slapos.networkcache``: what zc.buildout loads.

Loaded in every buildout that has any extension at all, so without a ``[networkcache]``
section it does nothing; and with one, nothing that takes time before the first fetch.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import zc.buildout

from ..errors import InvalidConfiguration
from . import hook, places
from .ahead import root_profile
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
            _begin(buildout, layers)
    except InvalidConfiguration as error:
        raise zc.buildout.UserError(f"[networkcache] {error}") from None


def _begin(buildout: Any, layers: places.Layers) -> None:
    """The hook comes late: what was fetched before it can only be published."""
    from .lifecycle import profile_read

    command_line = places.CommandLine.parse(sys.argv[1:])
    config_file = places.config_file_of(buildout, command_line)
    run = Run(layers, root_profile(config_file))
    start(run)
    profile_read(run, buildout)
    if run.giving.wanted:
        from .earlier import Earlier

        run.giving.earlier = Earlier(run, buildout, config_file, command_line)
        run.giving.earlier.start()


def start(run: Run) -> None:
    """Put the hook in place for `run`, and see to it that the run ends with a report."""
    hook.install(run)
    atexit.register(finish, run)


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    """Shows how much is left to publish, if a person looks on and it takes a while."""
    if not total or not sys.stderr.isatty():
        yield lambda left: None
        return
    from tqdm import tqdm

    with tqdm(desc="publishing", total=total, unit=" files", delay=1.0) as bar:

        def show(left: int) -> None:
            bar.update(total - left - bar.n)

        yield show


def finish(run: Run) -> None:
    """Publish what is left, and say what came from where, however the run ended."""
    with _bar(run.giving.left) as tick:
        run.finish(tick)
    if run.active or run.report.off:
        for line in run.report.lines():
            logger.info(line)
