"""Make a key to sign with, and the certificate that others believe it by."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from . import key_generate, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """The script ``generate-signature-key``."""
    return run_command("key-generate", argv, prog="generate-signature-key")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    key_generate.add_arguments(
        commands.add_parser("generate", help="make one", description=key_generate.__doc__)
    )


def run(arguments: argparse.Namespace) -> int:
    return key_generate.run(arguments)
