"""The commands: ``networkcache COMMAND ...``, one file of this folder each.

A command is a module with `add_arguments(parser)` and `run(arguments) -> int`, and a
line in `COMMANDS`. It is imported when it is asked for: a look-up does not load the
server. A command that hands on what it does not know sets a default for `rest`.

Exit codes: 0 done, 1 not there or refused, 2 wrong use, 3 could not tell.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from ..errors import InvalidInput, NetworkcacheError, SourceFailure

COMMANDS: Mapping[str, str] = {
    "buildout": "run buildout with the network cache",
    "server": "run a server",
}
"""Name of a command and of its module -> what it does."""

DONE, REFUSED, WRONG_USE, UNKNOWN = range(4)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``networkcache`` with `argv`, by default the process's; the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="networkcache",
        description="A network cache for buildout.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<12} {what}" for name, what in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    name = parser.parse_args(argv[:1]).command
    return run_command(name, argv[1:], prog=f"networkcache {name}")


def run_command(
    name: str, argv: Sequence[str] | None = None, prog: str | None = None
) -> int:
    """Run one command by its name, as ``networkcache NAME`` or under an alias `prog`.

    Our own errors become one sentence on standard error and an exit code.
    """
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=prog, description=module.__doc__)
    module.add_arguments(parser)
    arguments, rest = parser.parse_known_args(argv)
    if rest and not hasattr(arguments, "rest"):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
    try:
        code: int = module.run(arguments)
        return code
    except NetworkcacheError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return _code_of(error)
    except KeyboardInterrupt:
        return 128 + 2


def _code_of(error: NetworkcacheError) -> int:
    if isinstance(error, InvalidInput):
        return WRONG_USE
    return UNKNOWN if isinstance(error, SourceFailure) else REFUSED
