"""The tables of a server's `database`, and how each version becomes the next.

`MIGRATIONS` are functions of a connection within a transaction; the one at place N makes
version N + 1 of version N, from an empty file on. What was released is never edited: a
change of tables is another row.

==================  =================================================================
``entry``           pairs by key; `sqlite`
``content``         what is known of each content beside its bytes; `catalogue`
``held``            how many contents, and bytes, each account put: kept by triggers
``held_pairs``      the same for pairs
``transfer``        bytes promised to uploads and fills that are on their way; `transfers`
``key_use``         when each key was last asked for, and how often
``pin``             keys whose pairs and contents no collection takes
``account``         who may publish
``certificate``     the TLS client certificates of accounts
``log``             who did what, and when; nothing there is ever changed
``counter``         what was counted since the beginning
``traffic``         the same by the hour
``answer``          what upstreams said of keys
``outgoing``        pairs that are to go on upstream
``upstream``        how each upstream is doing
``inspection``      what each check found
==================  =================================================================

Times are POSIX seconds, sizes bytes, digests the 64 bytes themselves.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence


def _first(connection: sqlite3.Connection) -> None:
    # Rows are a kilobyte or more, so the table is an ordinary one with an index on the
    # key: a table WITHOUT ROWID keeps at most a quarter of a page of each row and moves
    # the rest to pages of its own. That the key stands in table and index costs less
    # than the join that would avoid it.
    _run(
        connection,
        """
        CREATE TABLE entry (
            id INTEGER PRIMARY KEY,  -- grows with every put: the order of pairs and of time
            key TEXT NOT NULL,
            account TEXT NOT NULL,
            hidden INTEGER NOT NULL,
            size INTEGER NOT NULL,
            entry TEXT NOT NULL,
            signature TEXT NOT NULL
        );
        CREATE INDEX entry_key ON entry (key);
        """,
    )


_SECOND = """
ALTER TABLE entry ADD COLUMN put INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entry ADD COLUMN content INTEGER;  -- see `content_number`
ALTER TABLE entry ADD COLUMN expires INTEGER;  -- as the entry says
CREATE TABLE content (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    number INTEGER NOT NULL,  -- see `content_number`
    size INTEGER NOT NULL,
    account TEXT NOT NULL,
    fetched INTEGER NOT NULL,  -- 1: an upstream gave it, and nobody put it here
    stored INTEGER NOT NULL,
    used INTEGER NOT NULL,
    reads INTEGER NOT NULL DEFAULT 0,
    checked INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX content_used ON content (fetched, used);
CREATE INDEX content_account ON content (account);
CREATE INDEX content_checked ON content (checked);
CREATE TABLE held (
    account TEXT NOT NULL,
    fetched INTEGER NOT NULL,
    contents INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (account, fetched)
) WITHOUT ROWID;
CREATE TRIGGER content_comes AFTER INSERT ON content BEGIN
    INSERT INTO held VALUES (NEW.account, NEW.fetched, 1, NEW.size)
    ON CONFLICT DO UPDATE SET contents = contents + 1, bytes = bytes + NEW.size;
END;
CREATE TRIGGER content_goes AFTER DELETE ON content BEGIN
    UPDATE held SET contents = contents - 1, bytes = bytes - OLD.size
    WHERE account = OLD.account AND fetched = OLD.fetched;
END;
CREATE TRIGGER content_changes AFTER UPDATE OF size, account, fetched ON content BEGIN
    UPDATE held SET contents = contents - 1, bytes = bytes - OLD.size
    WHERE account = OLD.account AND fetched = OLD.fetched;
    INSERT INTO held VALUES (NEW.account, NEW.fetched, 1, NEW.size)
    ON CONFLICT DO UPDATE SET contents = contents + 1, bytes = bytes + NEW.size;
END;
CREATE TABLE held_pairs (
    account TEXT PRIMARY KEY, pairs INTEGER NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER entry_comes AFTER INSERT ON entry BEGIN
    INSERT INTO held_pairs VALUES (NEW.account, 1, NEW.size)
    ON CONFLICT DO UPDATE SET pairs = pairs + 1, bytes = bytes + NEW.size;
END;
CREATE TRIGGER entry_goes AFTER DELETE ON entry BEGIN
    UPDATE held_pairs SET pairs = pairs - 1, bytes = bytes - OLD.size
    WHERE account = OLD.account;
END;
CREATE TABLE transfer (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: one may be ended twice
    owner TEXT NOT NULL,  -- the process; see `transfers`
    account TEXT NOT NULL,
    size INTEGER NOT NULL
);
CREATE TABLE key_use (
    key TEXT PRIMARY KEY, used INTEGER NOT NULL, reads INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE pin (key TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE account (
    name TEXT PRIMARY KEY,
    rights TEXT NOT NULL,  -- JSON, a list of strings
    quota INTEGER,
    signers TEXT NOT NULL,  -- JSON, a list of certificates in PEM
    created INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE certificate (
    id INTEGER PRIMARY KEY,  -- in the order of issue
    sha256 TEXT NOT NULL UNIQUE,  -- of the certificate in DER, hexadecimal
    account TEXT NOT NULL,
    pem TEXT NOT NULL,
    issued INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    revoked INTEGER
);
CREATE INDEX certificate_account ON certificate (account);
CREATE TABLE log (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    account TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE TRIGGER log_stays BEFORE UPDATE ON log BEGIN
    SELECT raise(ABORT, 'the log is only ever appended to');
END;
CREATE TRIGGER log_is_kept BEFORE DELETE ON log BEGIN
    SELECT raise(ABORT, 'the log is only ever appended to');
END;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE traffic (
    hour INTEGER NOT NULL,  -- POSIX seconds / 3600
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (hour, name)
) WITHOUT ROWID;
CREATE TABLE answer (
    key TEXT NOT NULL,
    upstream TEXT NOT NULL,
    taken INTEGER NOT NULL,
    used INTEGER NOT NULL,
    size INTEGER NOT NULL AS (length(pairs)) STORED,  -- before what is long to read past
    pairs TEXT NOT NULL,  -- as a directory answers: a JSON list, empty for none
    PRIMARY KEY (key, upstream)
);
CREATE INDEX answer_used ON answer (used, size);
CREATE INDEX answer_missing ON answer (taken) WHERE pairs = '';
CREATE TABLE outgoing (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    entry TEXT NOT NULL,
    signature TEXT NOT NULL,
    since INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    due INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX outgoing_key ON outgoing (key);
CREATE INDEX outgoing_failed ON outgoing (id) WHERE tries > 0;
CREATE TABLE upstream (
    name TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    since REAL NOT NULL,
    until REAL NOT NULL,  -- it is left alone up to then
    pause REAL NOT NULL,  -- seconds
    error TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE inspection (
    id INTEGER PRIMARY KEY,
    began INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    found TEXT NOT NULL  -- JSON
);
"""


def _second(connection: sqlite3.Connection) -> None:
    _run(connection, _SECOND)
    connection.create_function("content_of", 1, _content_of, deterministic=True)
    connection.create_function("expiry_of", 1, expiry_of, deterministic=True)
    connection.execute(
        "UPDATE entry SET content = content_of(entry), expires = expiry_of(entry)"
    )
    # When they were asked for is not known: what nobody asks for is old from now on.
    connection.execute(
        "INSERT INTO key_use SELECT DISTINCT key, CAST(strftime('%s') AS INTEGER), 0"
        " FROM entry"
    )
    connection.execute(
        "INSERT INTO held_pairs SELECT account, count(*), sum(size) FROM entry"
        " GROUP BY account"
    )
    for index in _INDEXES:
        connection.execute(index)


_INDEXES = (
    "CREATE INDEX entry_content ON entry (content)",
    "CREATE INDEX entry_expires ON entry (expires) WHERE expires IS NOT NULL",
    "CREATE INDEX entry_hidden ON entry (put) WHERE hidden = 1",
)


def content_number(digest: bytes) -> int:
    """The first 63 bits of a digest: what finds the pairs that name a content, in an index
    of eight bytes a row. Two contents may share one; that finds a pair too many."""
    return int.from_bytes(digest[:8], "big") >> 1


def named_in(entry: str) -> bytes | None:
    """The digest that an entry names, None where it names none."""
    try:
        return bytes.fromhex(json.loads(entry)["sha512"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _content_of(entry: str) -> int | None:
    digest = named_in(entry)
    return None if digest is None else content_number(digest)


def expiry_of(entry: str) -> int | None:
    """The POSIX seconds at which an entry expires, None where it names none, or is of a
    format in which that may mean something else."""
    try:
        members = json.loads(entry)
        expires = members.get("expires") if members.get("format", 1) == 1 else None
    except (ValueError, AttributeError, RecursionError):
        return None
    return expires if type(expires) is int and 0 <= expires < 1 << 53 else None


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Each statement of `script`; `sqlite3.executescript` would commit before."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


MIGRATIONS: Sequence[Callable[[sqlite3.Connection], None]] = (_first, _second)
VERSION = len(MIGRATIONS)
"""``PRAGMA user_version`` of the files that are read and written here."""
