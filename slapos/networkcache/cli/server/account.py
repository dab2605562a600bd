"""Add, show, renew and revoke accounts: who may publish here.

An account is known by the certificate that is printed, and that its owner names in
shacache-cert-file. Whatever is changed counts at once, for a server that is running, too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from ...certificates import Certificate, CertificateList, PublicKey
from ...errors import InvalidInput
from ...quantities import parse_duration, parse_size, readable_time
from ...server.accounts.account import Account
from ...server.accounts.authority import Issued, certified_key, requested_key
from ...server.accounts.rights import KINDS, Right
from ...server.accounts.store import Accounts, HeldCertificate, authority_of, check_name
from ...server.root import Root, open_root
from .. import DONE, layout
from ..terminal import escape_output, tell
from .arguments import said
from .root import add_root, root_of

_YEAR = 365 * 86400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    steps = parser.add_subparsers(dest="step", required=True, metavar="COMMAND")
    adding = steps.add_parser("add", help="add one, and print its certificate")
    adding.add_argument("csr", metavar="CSR", help="the request, a file")
    add_root(adding)
    adding.add_argument("--name", required=True, help="what it is called here")
    adding.add_argument(
        "--allow",
        required=True,
        nargs="+",
        action="extend",
        type=said(Right.parse),
        metavar="KIND[:URL_PREFIX]",
        help=f"what it may publish: {', '.join(KINDS)}; for keys made of a URL, URLs that"
        " begin so",
    )
    adding.add_argument(
        "--quota",
        required=True,
        type=said(parse_size),
        metavar="SIZE",
        help="what it may keep here",
    )
    adding.add_argument(
        "--signer-certificate",
        nargs="+",
        action="extend",
        default=[],
        metavar="CERT",
        help="a file: what it puts must be signed by one of these",
    )
    _add_valid(adding)
    add_root(steps.add_parser("list", help="show all"))
    for name, what in (
        ("show", "show one, and its certificates"),
        ("revoke", "end all its certificates, at once"),
        ("renew", "print another certificate for it"),
    ):
        step = steps.add_parser(name, help=what)
        step.add_argument("name", metavar="NAME")
        if name == "renew":
            step.add_argument(
                "csr", nargs="?", metavar="CSR", help="for another key: its request, a file"
            )
            _add_valid(step)
        add_root(step)


def _add_valid(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--valid",
        type=said(parse_duration),
        default=_YEAR,
        metavar="DURATION",
        help="how long the certificate is good (365 d)",
    )


def run(arguments: argparse.Namespace) -> int:
    escape_output()
    with closing(open_root(root_of(arguments))) as root:
        _STEPS[arguments.step](arguments, root, Accounts(root.database))
    return DONE


# -- what changes


def _add(arguments: argparse.Namespace, root: Root, accounts: Accounts) -> None:
    account = Account(
        check_name(arguments.name),
        tuple(dict.fromkeys(arguments.allow)),
        arguments.quota,
        tuple(dict.fromkeys(_signers(arguments.signer_certificate))),
    )
    issued = _issue(arguments, root, requested_key(_read(arguments.csr)))
    accounts.add(account, issued)
    _hand_out(account.name, issued)


def _renew(arguments: argparse.Namespace, root: Root, accounts: Accounts) -> None:
    asked = None if arguments.csr is None else requested_key(_read(arguments.csr))

    def issue(newest: str) -> Issued:
        return _issue(arguments, root, asked or certified_key(newest))

    _hand_out(arguments.name, accounts.renew(arguments.name, issue))


def _issue(arguments: argparse.Namespace, root: Root, key: PublicKey) -> Issued:
    authority = authority_of(root.folder, root.database)
    return authority.issue(key, arguments.name, arguments.valid, time.time())


def _hand_out(name: str, issued: Issued) -> None:
    print(issued.pem, end="", flush=True)
    tell(f"account {name}: this certificate is good until {readable_time(issued.expires)}")
    tell("next: hand it to its owner, who names it in shacache-cert-file")


def _revoke(arguments: argparse.Namespace, root: Root, accounts: Accounts) -> None:
    ended = accounts.revoke(arguments.name)
    how_many = layout.count(ended, "certificate is", "certificates are")
    print(f"account {arguments.name}: {how_many} revoked")


def _signers(paths: Sequence[str]) -> list[Certificate]:
    signers: list[Certificate] = []
    for path in paths:
        listed = CertificateList.parse(_read(path))
        if listed.problems or not listed.certificates:
            raise InvalidInput(
                f"{path}: expected the certificates of signers in PEM, as networkcache key"
                " generate prints them"
            )
        signers += listed.certificates
    return signers


def _read(path: str) -> str:
    return Path(path).read_text("utf-8", "replace")


# -- what is shown


def _list(arguments: argparse.Namespace, root: Root, accounts: Accounts) -> None:
    rows = []
    for account in accounts.all():
        certificates = accounts.certificates(account.name)
        kept = layout.size(accounts.kept(account.name))
        end = max(certificates, key=lambda held: (held.revoked is None, held.expires))
        rows.append(
            (account.name, kept, layout.size(account.quota), _state(end), _rights(account))
        )
    headings = ("NAME", "KEEPS", "QUOTA", "CERTIFICATE", "MAY PUBLISH")
    if rows:
        print(*layout.table(headings, rows, indent=""), sep="\n")
    else:
        print("There are no accounts.")


def _show(arguments: argparse.Namespace, root: Root, accounts: Accounts) -> None:
    account = accounts.get(arguments.name)
    signers = [layout.signer(s.name, s.fingerprint, 64) for s in account.signers]
    facts = {
        "may publish": _rights(account),
        "signed by": ", ".join(signers) or "anybody",
        "quota": layout.size(account.quota),
        "keeps": layout.size(accounts.kept(account.name)),
    }
    print(account.name)
    print(
        *(layout.paragraph(f"{name}: {said}", "  ") for name, said in facts.items()),
        sep="\n",
    )
    print()
    rows = [
        (held.sha256, layout.date(held.issued), _state(held))
        for held in accounts.certificates(account.name)
    ]
    print(*layout.table(("CERTIFICATE, BY SHA-256", "ISSUED", ""), rows), sep="\n")


def _rights(account: Account) -> str:
    return " ".join(map(str, account.rights or ()))


def _state(held: HeldCertificate) -> str:
    if held.revoked is not None:
        return f"revoked {readable_time(held.revoked)}"
    verb = "expired" if held.expires < time.time() else "good until"
    return f"{verb} {readable_time(held.expires)}"


_Step = Callable[[argparse.Namespace, Root, Accounts], None]
_STEPS: Mapping[str, _Step] = {
    "add": _add,
    "list": _list,
    "show": _show,
    "revoke": _revoke,
    "renew": _renew,
}
