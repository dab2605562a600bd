"""Run buildout with the network cache in place before the first profile is read.

A drop-in for bin/buildout: whatever it takes, this takes.
"""

from __future__ import annotations

import argparse
import logging
import os
import runpy
import sys
from collections.abc import Sequence

_CONFIG_OPTION = "--networkcache-config"
_REPORT_OPTION = "--networkcache-report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        f"%(prog)s [{_CONFIG_OPTION} FILE] [{_REPORT_OPTION} FILE]"
        " [WHAT bin/buildout TAKES]"
    )
    parser.add_argument(
        _CONFIG_OPTION,
        metavar="FILE",
        help="a node's slapos.cfg, whose section [networkcache] goes before the profile's;"
        " networkcache:OPTION=VALUE on the command line goes before both",
    )
    parser.add_argument(
        _REPORT_OPTION,
        metavar="FILE",
        help="write what came from where to this file at the end, as JSON",
    )
    parser.set_defaults(rest=())


def run(arguments: argparse.Namespace) -> int:
    _enter_script()
    from zc.buildout.buildout import main

    from ..buildout import ending, extension, places
    from ..buildout.run import Run

    words: Sequence[str] = arguments.rest
    command_line = places.CommandLine.parse(words)
    _log_to_standard_error(command_line.verbosity)
    layers = places.of_node(words, arguments.networkcache_config)
    run = Run(layers, places.root_profile(command_line.config_file))
    run.report_file = _absolute(arguments.networkcache_report)
    run.restart = _own_options(arguments)
    extension.start(run)
    sys.argv[1:] = words
    try:
        main(list(words))
    finally:
        ending.finish(run)
    return 0


def _enter_script() -> None:
    """In the child after an upgrade: put on the path what ``bin/buildout`` puts there, and
    be called as it is, before anything of buildout is imported."""
    from ..buildout import SCRIPT

    script = os.environ.pop(SCRIPT, None)
    if script is not None:
        runpy.run_path(script, run_name="bin/buildout")
        sys.argv[0] = script


def _own_options(arguments: argparse.Namespace) -> list[str]:
    """Ours, for the child after an upgrade: buildout has changed the folder by then."""
    given = (
        (_CONFIG_OPTION, arguments.networkcache_config),
        (_REPORT_OPTION, arguments.networkcache_report),
    )
    return [word for name, file in given if file for word in (name, os.path.abspath(file))]


def _absolute(path: str | None) -> str | None:
    return None if path is None else os.path.abspath(path)


def _log_to_standard_error(verbosity: int) -> None:
    """What is said before buildout has set up its logging must not be lost, and what
    ``annotate`` and ``query`` print must not be mixed with it."""
    logger = logging.getLogger("slapos.networkcache")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO - 10 * verbosity)
