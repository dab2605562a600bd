"""The hook: every way in which a buildout fetches, with the cache before the origin.

=====================  ==============================================================
`downloads`            profiles, and the files of recipes
`indexes`              index pages and distributions
`build_requirements`   what pip fetches to build source distributions
`opener`               recipes that call urllib themselves
`lifecycle`            what buildout itself does: a profile was read, it came to its
                       end, it starts itself anew after an upgrade
=====================  ==============================================================

The names that are replaced are the same in zc.buildout 3.3 to 6.0.
"""

from __future__ import annotations

from . import build_requirements, downloads, indexes, lifecycle, opener
from .run import Run
from .seams import Seams

_run: Run | None = None
_seams = Seams()


def current() -> Run | None:
    """The run whose hook is in place."""
    return _run


def install(run: Run) -> None:
    """Put the hook in place for `run`, in the place of an earlier one."""
    global _run
    uninstall()
    _run = run
    for seam in (downloads, indexes, build_requirements, opener, lifecycle):
        seam.install(run, _seams)


def uninstall() -> None:
    """Leave zc.buildout as it was."""
    global _run
    _run = None
    _seams.undo()
