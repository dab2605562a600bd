"""The commands: ``networkcache COMMAND ...``, a module or a package of this folder each.

A command has `add_arguments(parser)` and `run(arguments) -> int`, and a line in
`COMMANDS`. It is imported when it is asked for: a look-up does not load the server. One
that passes arguments on sets `rest` as a default of its parser, and finds what the parser
does not know there. Beside them stand what they share (`configuration`, `terminal`,
`layout`, `advice`, `new_files`) and what one of them is made of (`key_generate`,
`uploaded`).

Exit codes: 0 done, 1 not there or refused, 2 wrong use, 3 could not tell.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version

from ..errors import InvalidInput, NetworkcacheError, SourceFailure
from .advice import advice_for
from .terminal import tell

COMMANDS: Mapping[str, str] = {
    "buildout": "run buildout with the network cache",
    "lookup": "show who says what about a URL, a distribution or a key",
    "why": "say what buildout would do about a URL, and why",
    "doctor": "check the configuration, and say what to change",
    "download": "download a content that is believed",
    "upload": "sign and publish a file, a folder or what a URL fetches",
    "release": "take, build and publish software releases",
    "key": "make a key to sign with",
    "account": "ask for the right to publish",
    "server": "run a server",
}
"""Name of a command and of its module -> what it does."""

DONE, REFUSED, WRONG_USE, UNKNOWN = range(4)
_INTERRUPTED = 128 + 2
_READER_GONE = 128 + 13


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
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {version('slapos.networkcache')}"
    )
    if not argv:
        parser.print_help()
        return DONE
    name = parser.parse_args(argv[:1]).command
    return run_command(name, argv[1:], prog=f"networkcache {name}")


def run_command(
    name: str, argv: Sequence[str] | None = None, prog: str | None = None
) -> int:
    """Run one command by its name, as ``networkcache NAME`` or under an alias `prog`.

    Our own errors become one sentence on standard error, another one about what to do
    next, and an exit code.
    """
    parser = argparse.ArgumentParser(prog=prog)
    try:
        code = _run(name, argv, parser)
        sys.stdout.flush()
        return code
    except NetworkcacheError as error:
        tell(f"{parser.prog}: {error}")
        if advice := advice_for(error):
            tell(advice)
        return _code_of(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_GONE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        tell(f"{parser.prog}: {where}{error.strerror or error}")
        return REFUSED


def _run(name: str, argv: Sequence[str] | None, parser: argparse.ArgumentParser) -> int:
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    parser.description = module.__doc__
    module.add_arguments(parser)
    arguments, rest = parser.parse_known_args(argv)
    if rest and not hasattr(arguments, "rest"):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
    code: int = module.run(arguments)
    return code


def _code_of(error: NetworkcacheError) -> int:
    if isinstance(error, InvalidInput):
        return WRONG_USE
    return UNKNOWN if isinstance(error, SourceFailure) else REFUSED
