"""The accounts of a server, in its database.

An account goes on for ever, since what it put is kept under its name; what is revoked are
its certificates. Every change has its line in the log, in the same transaction.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ...certificates import Certificate, fingerprint_of
from ...errors import InvalidInput, NetworkcacheError, StorageFailure
from ...quantities import readable_size, readable_time
from ...storage.database import Database
from ..log import OPERATOR, RESERVED, record
from .account import Account
from .authority import CERTIFICATE, FOLDER, Authority, Issued, certified_key
from .rights import Right

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_ACCOUNT = "name, rights, quota, signers"
_CERTIFICATE = "sha256, pem, issued, expires, revoked"
_NEWEST = "SELECT pem FROM certificate WHERE account = ? ORDER BY id DESC LIMIT 1"
_REVOKED = "SELECT account, pem FROM certificate WHERE revoked IS NOT NULL"
_KEPT = """
SELECT (SELECT coalesce(sum(bytes), 0) FROM held WHERE account = :name AND fetched = 0)
    + (SELECT coalesce(sum(bytes), 0) FROM held_pairs WHERE account = :name)
"""


class AccountExists(NetworkcacheError):
    """There is one of that name, and names are not given twice."""


class NoSuchAccount(NetworkcacheError):
    """There is none of that name."""


class HeldCertificate(NamedTuple):
    """A certificate of an account: in PEM, its SHA-256 in hexadecimal, and POSIX seconds,
    `revoked` None where it was not."""

    sha256: str
    pem: str
    issued: int
    expires: int
    revoked: int | None


class Shown(NamedTuple):
    """The account that a certificate is of, and what became of that certificate."""

    account: Account
    certificate: HeldCertificate


class Accounts:
    """Who may publish; `by_certificate` is asked at every upload."""

    def __init__(self, database: Database):
        self._database = database

    def by_certificate(self, sha256: str) -> Shown | None:
        """Whom the certificate with that SHA-256 is of, None where nobody knows it."""
        rows = self._database.rows(
            f"SELECT {_ACCOUNT}, {_CERTIFICATE} FROM certificate"
            " JOIN account ON account.name = certificate.account WHERE sha256 = ?",
            (sha256,),
        )
        for row in rows:
            return Shown(_account(*row[:4]), HeldCertificate(*row[4:]))
        return None

    def all(self) -> list[Account]:
        """By name."""
        return [
            _account(*row)
            for row in self._database.rows(f"SELECT {_ACCOUNT} FROM account ORDER BY name")
        ]

    def get(self, name: str) -> Account:
        """Raises `NoSuchAccount`."""
        rows = self._database.rows(
            f"SELECT {_ACCOUNT} FROM account WHERE name = ?", (name,)
        )
        if not rows:
            raise _unknown(name)
        return _account(*rows[0])

    def certificates(self, name: str) -> list[HeldCertificate]:
        """Those of an account, in the order in which they were issued."""
        rows = self._database.rows(
            f"SELECT {_CERTIFICATE} FROM certificate WHERE account = ? ORDER BY id",
            (name,),
        )
        return [HeldCertificate(*row) for row in rows]

    def kept(self, name: str) -> int:
        """Bytes of the contents and pairs that an account put and that are here."""
        size: int = self._database.rows(_KEPT, {"name": name})[0][0]
        return size

    def add(self, account: Account, certificate: Issued) -> None:
        """Raises `AccountExists`, and `InvalidInput` for a key that was revoked."""
        row = (
            account.name,
            json.dumps([str(right) for right in account.rights or ()]),
            account.quota,
            json.dumps([signer.pem for signer in account.signers]),
            int(time.time()),
        )

        def change(connection: sqlite3.Connection) -> None:
            if _is_known(connection, account.name):
                raise AccountExists(
                    f"there is an account {account.name} already: choose another --name, or"
                    f" networkcache server account renew {account.name}"
                )
            connection.execute("INSERT INTO account VALUES (?, ?, ?, ?, ?)", row)
            _keep(connection, account.name, certificate)
            detail = f"{_what(certificate)}; {_terms(account)}"
            record(connection, OPERATOR, "account add", account.name, detail)

        self._database.change(change)

    def renew(self, name: str, issue: Callable[[str], Issued]) -> Issued:
        """Another certificate, which `issue` makes; it is given the newest one, in PEM.
        Those that are there end when they would have.

        Raises `NoSuchAccount`, and `InvalidInput` for a key that was revoked.
        """

        def change(connection: sqlite3.Connection) -> Issued:
            newest = connection.execute(_NEWEST, (name,)).fetchone()
            if newest is None:
                raise _unknown(name)
            certificate = issue(newest[0])
            _keep(connection, name, certificate)
            record(connection, OPERATOR, "account renew", name, _what(certificate))
            return certificate

        return self._database.change(change)

    def revoke(self, name: str) -> int:
        """All certificates that it has end now; how many those were. Raises
        `NoSuchAccount`."""

        def change(connection: sqlite3.Connection) -> int:
            if not _is_known(connection, name):
                raise _unknown(name)
            ended = connection.execute(
                "UPDATE certificate SET revoked = ? WHERE account = ? AND revoked IS NULL",
                (int(time.time()), name),
            ).rowcount
            if ended:
                record(connection, OPERATOR, "account revoke", name)
            return ended

        return self._database.change(change)


def authority_of(root: Path, database: Database) -> Authority:
    """That of the server whose folder is `root`; a new one is made only where no
    certificate was issued yet, for with another one all are worth nothing.

    Raises `StorageFailure`.
    """
    folder = root / FOLDER
    if not (folder / CERTIFICATE).exists() and database.rows(
        "SELECT 1 FROM certificate LIMIT 1"
    ):
        raise StorageFailure(
            f"{folder / CERTIFICATE} is missing, and accounts have certificates that it is"
            f" needed for: restore {folder} from a backup"
        )
    return Authority(folder)


def check_name(name: str) -> str:
    """`name`, where an account may have it. Raises `InvalidInput`."""
    if not _NAME.match(name) or name in RESERVED:
        raise InvalidInput(
            "expected a name of 1 to 64 letters, digits and . _ -, other than"
            f" {', '.join(sorted(RESERVED))}, got {name!r:.100}"
        )
    return name


def _account(name: str, rights: str, quota: int | None, signers: str) -> Account:
    return Account(
        name,
        tuple(map(Right.parse, json.loads(rights))),
        quota,
        tuple(map(Certificate.parse, json.loads(signers))),
    )


def _is_known(connection: sqlite3.Connection, name: str) -> bool:
    found: Sequence[object] | None = connection.execute(
        "SELECT 1 FROM account WHERE name = ?", (name,)
    ).fetchone()
    return found is not None


def _keep(connection: sqlite3.Connection, name: str, certificate: Issued) -> None:
    """Unless its key was revoked: who knows who has it. Raises `InvalidInput`."""
    key = fingerprint_of(certified_key(certificate.pem))
    for account, pem in connection.execute(_REVOKED):
        if fingerprint_of(certified_key(pem)) == key:
            raise InvalidInput(
                f"the key was revoked with the account {account}: take the request of a new"
                " key (networkcache account request)"
            )
    connection.execute(
        "INSERT INTO certificate (sha256, account, pem, issued, expires)"
        " VALUES (?, ?, ?, ?, ?)",
        (
            certificate.sha256,
            name,
            certificate.pem,
            certificate.issued,
            certificate.expires,
        ),
    )


def _what(certificate: Issued) -> str:
    return f"certificate {certificate.sha256} until {readable_time(certificate.expires)}"


def _terms(account: Account) -> str:
    rights = " ".join(map(str, account.rights or ()))
    quota = "no limit" if account.quota is None else readable_size(account.quota)
    signers = " ".join(signer.fingerprint for signer in account.signers)
    return f"rights {rights}; quota {quota}; signers {signers or 'any'}"


def _unknown(name: str) -> NoSuchAccount:
    return NoSuchAccount(f"there is no account {name!r:.100}")
