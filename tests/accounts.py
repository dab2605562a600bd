"""Accounts of a server, added as its operator does, and connections of those who have
one."""

from __future__ import annotations

import http.client
import ssl
import time
from contextlib import closing
from pathlib import Path

from issuing import Files
from wire import TIMEOUT

from slapos.networkcache.certificates import Certificate, generate
from slapos.networkcache.server.accounts.account import Account
from slapos.networkcache.server.accounts.authority import (
    FOLDER,
    Authority,
    Issued,
    requested_key,
)
from slapos.networkcache.server.accounts.rights import Right
from slapos.networkcache.server.accounts.store import Accounts
from slapos.networkcache.storage.database import Database


class Operator:
    """Who runs the server with that root; files are made in `folder`."""

    def __init__(self, root: Path, folder: Path):
        self.authority = Authority(root / FOLDER)
        self._database = root / "entries.sqlite"
        self._folder = folder

    def issue(self, name: str, *, key_type: str = "ecdsa", age: float = 0) -> Files:
        """A certificate that was good for an hour, `age` seconds ago; of no account."""
        return self._issue(name, key_type, age)[0]

    def add(
        self,
        name: str,
        *rights: str,
        quota: int | None = None,
        signers: tuple[Certificate, ...] = (),
        key_type: str = "ecdsa",
        age: float = 0,
    ) -> Files:
        """An account, and what it has to show."""
        files, issued = self._issue(name, key_type, age)
        account = Account(name, tuple(map(Right.parse, rights)), quota, signers)
        with closing(Database(self._database)) as database:
            Accounts(database).add(account, issued)
        return files

    def revoke(self, name: str) -> None:
        with closing(Database(self._database)) as database:
            assert Accounts(database).revoke(name) == 1

    def _issue(self, name: str, key_type: str, age: float) -> tuple[Files, Issued]:
        signer = generate(key_type)
        key = requested_key(signer.request("whoever"))
        issued = self.authority.issue(key, name, 3600, time.time() - age)
        files = Files(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        files.certificate.write_text(issued.pem)
        files.key.write_bytes(signer.private_pem())
        files.key.chmod(0o600)
        return files, issued


def https(server, ca: Path, shown: Files | None = None) -> http.client.HTTPSConnection:
    """A connection to the `tls_url` of a server, with a certificate of its own."""
    context = ssl.create_default_context(cafile=ca)
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    port = int(server.tls_url.rpartition(":")[2])
    return http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=TIMEOUT)
