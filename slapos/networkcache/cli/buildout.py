"""Run buildout with the network cache in place before the first profile is read.

A drop-in for bin/buildout: whatever it takes, this takes.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

CONFIG_OPTION = "--networkcache-config"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = f"%(prog)s [{CONFIG_OPTION} FILE] [WHAT bin/buildout TAKES]"
    parser.add_argument(
        CONFIG_OPTION,
        metavar="FILE",
        help="a node's slapos.cfg, whose section [networkcache] goes before the profile's;"
        " networkcache:OPTION=VALUE on the command line goes before both",
    )
    parser.set_defaults(rest=())


def run(arguments: argparse.Namespace) -> int:
    from zc.buildout.buildout import main

    from ..buildout import extension, places
    from ..buildout.run import Run

    words: Sequence[str] = arguments.rest
    _log_to_standard_error(places.CommandLine.parse(words).verbosity)
    extension.start(Run(places.of_node(words, arguments.networkcache_config)))
    sys.argv[1:] = words
    main(list(words))
    return 0


def _log_to_standard_error(verbosity: int) -> None:
    """What is said before buildout has set up its logging must not be lost, and what
    ``annotate`` and ``query`` print must not be mixed with it."""
    logger = logging.getLogger("slapos.networkcache")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO - 10 * verbosity)
