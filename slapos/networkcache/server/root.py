"""The folder of a server: everything that it keeps, and the version of how it does so.

=====================  ==================================================================
``version``            the number of this layout
``lock``               held by the one `networkcache server run`
``v1/``                contents; see `storage.folder`
``entries.sqlite``     everything else; see `storage.schema`
``authority/``         the key and the certificate that accounts' certificates are signed by
``aside/``             contents that were found wrong
``fills/``             a locked file for each content that is being fetched
``workers/``           a locked file for each process that has transfers on their way
``leader``             held by the process that does what is done once
``backup``             this is a backup, on which no server ran: the next may replace it
=====================  ==================================================================

Version 1 had neither the file ``version`` nor a catalogue.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ..digest import Digest
from ..entry import Key
from ..errors import Code, NetworkcacheError, Refusal, StorageFailure
from ..storage import ContentStore, Stored
from ..storage.catalogue import Catalogue, claim
from ..storage.database import Database
from ..storage.durable import disk_faults, make_folder, sync_folder
from ..storage.folder import FolderContents
from ..storage.locks import taken
from ..storage.sqlite import SQLiteEntries, Within
from ..storage.transfers import check_quota
from .log import record

VERSION = 2
VERSION_FILE = "version"
ENTRIES = "entries.sqlite"
LOCK = "lock"
LEADER = "leader"
ASIDE = "aside"
FILLS = "fills"
WORKERS = "workers"
BACKUP = "backup"
"""The file that tells a backup, which may be replaced, from what must not be."""

Progress = Callable[[str], None]
"""Told what takes long, in a sentence."""


class NoServer(NetworkcacheError):
    """A folder in which no server keeps anything."""


class AnotherUser(NetworkcacheError):
    """A folder of which another user's server would no more be able to use what is made."""


class Root(NamedTuple):
    """What is kept in `folder`, opened."""

    folder: Path
    contents: FolderContents
    database: Database
    entries: SQLiteEntries
    catalogue: Catalogue

    def close(self) -> None:
        """Close all of it."""
        try:
            self.catalogue.close()
        finally:
            self.entries.close()
            self.contents.close()


def open_root(
    folder: Path,
    *,
    make: bool = False,
    locked: bool = False,
    tidy: bool = True,
    after_put: Within | None = None,
    progress: Progress = lambda sentence: None,
) -> Root:
    """Open the folder of a server, upgraded where an earlier version made it.

    Only to `make` it may it be new; `locked` says that this process, or its parent, is the
    one that serves from it. Left-overs of dead processes go only to `tidy` up.
    `after_put` belongs to the transaction of each new pair, and again to that in which it
    is hidden no more. One that is to be filled is no backup any more. Raises `NoServer`,
    `AnotherUser`, and `StorageFailure` where it cannot be used.
    """
    path = os.path.abspath(folder)
    exists = os.path.exists(os.path.join(path, ENTRIES))
    if not make and not exists:
        raise NoServer(f"there is no server's folder at {path}: give the --root of one")
    if exists and not locked:
        _check_user(path)
    version = _version(path)
    if version < VERSION and exists and not locked:
        _check_that_nobody_serves(path)
    if make:
        _end_backup(path)
    contents = FolderContents(path, tidy=tidy)
    database = Database(os.path.join(path, ENTRIES))
    try:
        workers = os.path.join(path, WORKERS)
        catalogue = Catalogue(database, contents, workers, after_put)
        if version < VERSION:
            _upgrade(path, contents, catalogue, progress)
    except BaseException:
        database.close()
        raise
    entries = SQLiteEntries(
        database, before=_content_is_there(contents), after=_accounted(after_put)
    )
    return Root(Path(path), contents, database, entries, catalogue)


def lock_root(folder: Path) -> int:
    """Take the folder for this server alone, for as long as the descriptor is open. Raises
    `StorageFailure`."""
    with disk_faults(f"write in {folder}"):
        make_folder(str(folder))
    lock = taken(folder / LOCK)
    if lock is None:
        raise StorageFailure(
            f"another `networkcache server run` uses {folder}: stop it, or choose another"
            " --root"
        )
    return lock


def _content_is_there(contents: ContentStore) -> Within:
    """It was there a moment ago; in this transaction nobody else removes it."""

    def check(
        connection: sqlite3.Connection, key: Key, stored: Stored, content: Digest | None
    ) -> None:
        if content is not None and not stored.hidden and not contents.has(content):
            raise Refusal(
                Code.MISSING_CONTENT,
                f"upload the content {content} before the entry that names it",
            )

    return check


def _accounted(after_put: Within | None) -> Within:
    """Within the quota of who put it, with what stays for it, and told in the log."""

    def check(
        connection: sqlite3.Connection, key: Key, stored: Stored, content: Digest | None
    ) -> None:
        if content is not None:
            claim(connection, content, stored.account)
        account = connection.execute(
            "SELECT quota FROM account WHERE name = ?", (stored.account,)
        ).fetchone()
        if account and account[0] is not None:
            check_quota(connection, stored.account, 0, account[0])
        record(connection, stored.account, "put", key.text, content.hex if content else "")
        if after_put is not None:
            after_put(connection, key, stored, content)

    return check


def _check_user(path: str) -> None:
    """Raise `AnotherUser` where what this one makes would not be the server's to write."""
    owner = os.stat(os.path.join(path, ENTRIES)).st_uid
    if owner == os.geteuid():
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"
    raise AnotherUser(
        f"the server's folder {path} is of the user {name}: run this command as that user,"
        f" with `sudo -u {shlex.quote(name)}` before it"
    )


def _end_backup(path: str) -> None:
    with disk_faults(f"write in {path}"), suppress(FileNotFoundError):
        os.unlink(os.path.join(path, BACKUP))


# -- versions


def _version(path: str) -> int:
    """The version of the layout; 1 where nothing says so. Raises `StorageFailure`."""
    name = os.path.join(path, VERSION_FILE)
    with disk_faults(f"read {name}"):
        try:
            with open(name, encoding="ascii") as file:
                text = file.read(20).strip()
        except FileNotFoundError:
            return 1
    if not text.isdigit():
        raise StorageFailure(f"{name} holds no version: this is no server's folder")
    if int(text) > VERSION:
        raise StorageFailure(
            f"{path} is of version {text}, newer than the {VERSION} known here:"
            " use a newer slapos.networkcache"
        )
    return int(text)


def _check_that_nobody_serves(path: str) -> None:
    """Raise `StorageFailure` where a server runs: one of an earlier version would go on to
    put what nobody finds in the new tables."""
    lock = taken(os.path.join(path, LOCK), shared=True)
    if lock is None:
        raise StorageFailure(
            f"{path} is of an earlier version, whose server runs: restart that with this"
            " version first"
        )
    os.close(lock)


def _upgrade(
    path: str, contents: ContentStore, catalogue: Catalogue, progress: Progress
) -> None:
    """Enter all contents into the catalogue; begun anew where it was interrupted."""
    digests = iter(contents)
    done = 0
    while some := list(islice(digests, 1000)):
        done += catalogue.adopt(some)
        progress(f"upgrading {path}: {done} contents are in its catalogue")
    with disk_faults(f"write in {path}"):
        make_folder(path)
        name = os.path.join(path, VERSION_FILE)
        # Another process may do the same at this moment.
        new = f"{name}.{secrets.token_hex(8)}"
        with open(new, "w", encoding="ascii") as file:
            file.write(f"{VERSION}\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, name)
        sync_folder(path)
