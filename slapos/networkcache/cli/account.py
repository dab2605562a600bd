"""Ask for an account: make the key of its certificate, and the request for that.

The key stays here. The request goes to who runs the server, and comes back as the
certificate that uploads are sent with.
"""

from __future__ import annotations

import argparse

from ..certificates import KEY_TYPES, generate
from ..errors import InvalidInput
from . import DONE
from .new_files import check_new, write_new
from .terminal import tell

_NAME_LIMIT = 64
"""Characters of a common name, at most (RFC 5280, ub-common-name)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    steps = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    step = steps.add_parser("request", help="make key and request", description=__doc__)
    step.add_argument(
        "name", metavar="NAME", help="what it may be called: who runs the server decides"
    )
    step.add_argument(
        "--key", required=True, metavar="FILE", help="the private key, which is made"
    )
    step.add_argument(
        "--csr", required=True, metavar="FILE", help="the request, which is made"
    )
    step.add_argument(
        "--key-type",
        choices=KEY_TYPES,
        default="rsa",
        metavar="TYPE",
        help=f"{', '.join(KEY_TYPES)} (%(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    name = arguments.name
    if not 1 <= len(name) <= _NAME_LIMIT:
        raise InvalidInput(
            f"expected a name of 1 to {_NAME_LIMIT} characters, got {name!r:.100}"
        )
    check_new([arguments.key, arguments.csr])
    signer = generate(arguments.key_type)
    request = signer.request(name).encode()
    write_new(
        [(arguments.key, 0o600, signer.private_pem()), (arguments.csr, 0o644, request)]
    )
    tell(f"{arguments.key} and {arguments.csr} are made")
    tell(
        f"next: send {arguments.csr} to who runs the server, and name the certificate that"
        " comes back in shacache-cert-file, and the key, by its path from the root on, in"
        " shacache-key-file"
    )
    return DONE
