"""Run a server of contents (/shacache) and of signed entries (/shadir), and look after it.

Beside `run`, all of these work on the server's folder, whether it serves or not.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib import import_module

COMMANDS: Mapping[str, str] = {
    "run": "serve until SIGTERM",
    "account": "add, show, renew and revoke who may publish",
    "log": "show who did what, and when",
    "backup": "copy everything that is kept, while it serves",
    "check": "re-hash every content, and repair what is wrong",
    "collect": "remove what is old, unnamed or beyond the limit",
    "export": "put entries and their contents into one file",
    "import": "take them out of one",
    "pin": "keep keys from being collected",
    "unpin": "let them be collected again",
    "entry": "show or remove what is under a key",
}
"""Name of a command -> what it does. Its module here has the same name, but for `run`,
which is `serve`: a module cannot have the name of a function beside it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    for name, what in COMMANDS.items():
        module = import_module(f".{'serve' if name == 'run' else name}", __name__)
        added = commands.add_parser(name, help=what, description=module.__doc__)
        module.add_arguments(added)
        added.set_defaults(run_command=module.run)


def run(arguments: argparse.Namespace) -> int:
    code: int = arguments.run_command(arguments)
    return code
