"""The end of a run: publishing what is left, and the report."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator

from .run import Run

logger = logging.getLogger("slapos.networkcache")


def publish(run: Run) -> None:
    """Publish what is left. At the end of a buildout that succeeded, and not only when the
    interpreter ends, for then it starts no threads any more."""
    if not run.config.publishes:
        return
    with _bar(run.giving.left) as tick:
        run.forgiven(
            "publishing does not end well",
            lambda: run.giving.finish(tick, run.recorded),
        )


def finish(run: Run) -> None:
    """Let go of everything, and say what came from where, however the run ended. Once: a
    child that a recipe has forked comes here, too."""
    if run.finished or run.process != os.getpid():
        return
    run.finished = True
    publish(run)
    run.finish()
    if run.active or run.report.off:
        for line in run.report.lines():
            logger.info(line)


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
