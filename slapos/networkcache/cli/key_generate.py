"""Make a private key to sign with, and print its certificate, ready to paste.

Given a node's configuration file, the two files are those that its section
[networkcache] names. A file that is there is never overwritten.
"""

from __future__ import annotations

import argparse
import socket
import time

from ..certificates import KEY_TYPES, generate
from ..configfile import SECTION, read_section, read_sections
from ..errors import InvalidConfiguration, InvalidInput
from . import DONE
from .configuration import parse
from .new_files import check_new, write_new
from .terminal import tell

_NAME_LIMIT = 64
"""Characters of a common name, at most (RFC 5280, ub-common-name)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "%(prog)s [-h] [--key-type TYPE] SLAPOS_CFG\n"
        "       %(prog)s [-h] [--key-type TYPE] [--cert-file FILE] KEY_FILE COMMON_NAME"
    )
    parser.add_argument(
        "file",
        metavar="SLAPOS_CFG | KEY_FILE",
        help="a configuration file whose signature-private-key-file and"
        " signature-certificate-file are to be made, or the private key itself",
    )
    parser.add_argument(
        "common_name",
        nargs="?",
        metavar="COMMON_NAME",
        help="who signs, for people to read; with a configuration file it is the"
        " computer_id of its section [slapos], else the name of this host",
    )
    parser.add_argument(
        "--cert-file", metavar="FILE", help="write the certificate there, too"
    )
    parser.add_argument(
        "--key-type",
        choices=KEY_TYPES,
        default="rsa",
        metavar="TYPE",
        help=f"{', '.join(KEY_TYPES)} (%(default)s, of 3072 bits: programs older than this"
        " one fail on any other)",
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.common_name is None:
        return _for_node(arguments)
    certificate_file = arguments.cert_file if arguments.cert_file != "-" else None
    return _make(
        arguments.file, certificate_file, arguments.common_name, arguments.key_type
    )


def _for_node(arguments: argparse.Namespace) -> int:
    path = arguments.file
    if arguments.cert_file is not None:
        raise InvalidInput(
            "--cert-file goes with KEY_FILE COMMON_NAME; a configuration file names its"
            " certificate in signature-certificate-file"
        )
    config = parse(read_section(path), path)
    if config.private_key_file is None or config.certificate_file is None:
        raise InvalidConfiguration(
            f"[{SECTION}] of {path} must say where the key shall be: set"
            " signature-private-key-file and signature-certificate-file"
        )
    computer = read_sections(path).get("slapos", {}).get("computer_id", "").strip()
    return _make(
        config.private_key_file,
        config.certificate_file,
        computer or socket.gethostname(),
        arguments.key_type,
        indent="  ",
    )


def _make(
    key_file: str,
    certificate_file: str | None,
    common_name: str,
    key_type: str,
    indent: str = "",
) -> int:
    """Make both files, or none of them, and print the certificate."""
    if not 1 <= len(common_name) <= _NAME_LIMIT:
        raise InvalidInput(
            f"expected a common name of 1 to {_NAME_LIMIT} characters, got"
            f" {common_name!r:.100}"
        )
    paths = [path for path in (key_file, certificate_file) if path is not None]
    check_new(paths)
    signer = generate(key_type)
    certificate = signer.self_signed(common_name, time.time())
    contents = [signer.private_pem(), certificate.encode()]
    write_new(list(zip(paths, (0o600, 0o644), contents, strict=False)))
    print("".join(f"{indent}{line}\n" for line in certificate.splitlines()), end="")
    for path in paths:
        tell(f"{path} is made")
    tell(
        "next: add the certificate to signature-certificate-list of every node that shall"
        " believe this signer, this node included"
    )
    return DONE
