"""Every error a caller can meet, and the two closed lists of codes they carry.

The tree::

    NetworkcacheError
    ├── InvalidInput            (also a ValueError) bytes or text that do not parse
    │   ├── InvalidDigest
    │   ├── InvalidKey
    │   ├── InvalidEntry        carries the Reason: bad-entry or unknown-format
    │   │   └── EntryTooLarge
    │   ├── InvalidArchive
    │   ├── InvalidElf
    │   └── InvalidConfiguration
    ├── NotFound                the normal miss: lets the next source try
    ├── NotBelieved             there was something, and why none of it counts
    ├── WrongContent            bytes without the digest or size that was promised
    ├── SourceFailure           a source could not be asked, carries the Reason
    ├── Refusal                 a server said no, carries the Code
    ├── StorageFailure          a store could not do its work
    │   ├── StorageFull
    │   │   └── QuotaExceeded
    │   ├── StorageBusy
    │   └── StorageReadOnly
    ├── NotPublished            why nothing was signed or sent
    ├── BuildFailed             buildout did not build a software release
    └── NotInstalled            a software release is not on this node

`Reason` says why something was not believed, not found, not done; it is what
logs, reports and tests name. `Code` is what a server answers. The `reason` of an
error is one of the two, or None for what no caller tells apart.
"""

from __future__ import annotations

from enum import Enum


class Reason(str, Enum):
    """Why something was not believed, not found, not done. The list is closed."""

    NOT_FOUND = "not-found"
    UNKNOWN_SIGNER = "unknown-signer"
    BAD_SIGNATURE = "bad-signature"
    WEAK_SIGNATURE = "weak-signature"
    UNKNOWN_FORMAT = "unknown-format"
    BAD_ENTRY = "bad-entry"
    KEY_MISMATCH = "key-mismatch"
    EXPIRED = "expired"
    CLOCK = "clock"
    BLACKLISTED_DIGEST = "blacklisted-digest"
    BLACKLISTED_URL = "blacklisted-url"
    BELOW_THRESHOLD = "below-threshold"
    CONFLICT = "conflict"
    ROLLBACK = "rollback"
    CHECKSUM = "checksum"
    WRONG_CONTENT = "wrong-content"
    UNREACHABLE = "unreachable"
    TOO_SLOW = "too-slow"
    LEFT_ALONE = "left-alone"
    SECRET_URL = "secret-url"
    UNCHECKED_ORIGIN = "unchecked-origin"
    UNFIT_HOST = "unfit-host"
    UNFIT_PREFIX = "unfit-prefix"
    BLOCK_ORIGIN = "block-origin"
    NOT_CONFIGURED = "not-configured"

    def __str__(self) -> str:
        return self.value


class Code(str, Enum):
    """What a server answers when it refuses: header ``Networkcache-Error``."""

    BAD_KEY = "bad-key"
    BAD_ENTRY = "bad-entry"
    BAD_DIGEST = "bad-digest"
    NOT_FOUND = "not-found"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    MISSING_CONTENT = "missing-content"
    TOO_LARGE = "too-large"
    QUOTA = "quota"
    STORAGE_FULL = "storage-full"
    BAD_REQUEST = "bad-request"
    BAD_METHOD = "bad-method"
    BAD_RANGE = "bad-range"
    BUSY = "busy"
    READ_ONLY = "read-only"
    UPSTREAM = "upstream"
    INTERNAL = "internal"

    def __str__(self) -> str:
        return self.value


class NetworkcacheError(Exception):
    """The root of everything this package raises on purpose.

    `reason` is what reports call it: a `Reason`, the `Code` that a server answered, or
    None.
    """

    reason: Reason | Code | None = None


class InvalidInput(NetworkcacheError, ValueError):
    """Bytes or text from outside that do not parse."""


class InvalidDigest(InvalidInput):
    """Not a SHA-512 in hexadecimal."""


class InvalidKey(InvalidInput):
    """Not a directory key."""


class InvalidEntry(InvalidInput):
    """Not an entry; `reason` is ``bad-entry`` or ``unknown-format``."""

    reason: Reason

    def __init__(self, message: str, reason: Reason = Reason.BAD_ENTRY):
        super().__init__(message)
        self.reason = reason


class EntryTooLarge(InvalidEntry):
    """A pair of more bytes than a directory keeps."""


class InvalidArchive(InvalidInput):
    """An archive that is damaged, or that has in it what is never unpacked."""


class InvalidElf(InvalidInput):
    """An ELF file that is cut or damaged."""


class InvalidConfiguration(InvalidInput):
    """An option whose value does not parse, or options that contradict each other.

    `option` is the one that does not parse, where it is one of ``[networkcache]``.
    """

    reason = Reason.NOT_CONFIGURED

    def __init__(self, message: str, option: str | None = None):
        super().__init__(message)
        self.option = option


class NotFound(NetworkcacheError):
    """Nobody has it. The normal miss, never a failure."""

    reason = Reason.NOT_FOUND


class NotBelieved(NetworkcacheError):
    """There was something, and none of it counts. `reason` is the closest miss."""

    reason: Reason

    def __init__(self, reason: Reason, message: str):
        super().__init__(message)
        self.reason = reason


class WrongContent(NetworkcacheError):
    """Bytes that do not have the digest, or the size, that was promised."""

    reason = Reason.WRONG_CONTENT


class SourceFailure(NetworkcacheError):
    """A source could not be asked: ``unreachable``, ``too-slow`` or ``left-alone``."""

    reason: Reason

    def __init__(self, reason: Reason, message: str):
        super().__init__(message)
        self.reason = reason


class Refusal(NetworkcacheError):
    """A server said no. `code` is what it answered, and the `reason`; `status` is the
    HTTP status."""

    reason: Code

    def __init__(self, code: Code, message: str, status: int | None = None):
        super().__init__(message)
        self.code = self.reason = code
        self.status = status


class StorageFailure(NetworkcacheError):
    """A store could not read or write; nothing was half-written."""


class StorageFull(StorageFailure):
    """No space left; nothing of what was being written is kept."""


class QuotaExceeded(StorageFull):
    """An account may not keep more."""


class StorageBusy(StorageFailure):
    """Another process held the store for too long."""


class StorageReadOnly(StorageFailure):
    """A store that is only read, or whose disk is, was asked to write."""


class NotPublished(NetworkcacheError):
    """Nothing was signed or sent, and why."""

    reason: Reason

    def __init__(self, reason: Reason, message: str):
        super().__init__(message)
        self.reason = reason


class BuildFailed(NetworkcacheError):
    """Buildout did not build a software release; what it built so far is kept."""


class NotInstalled(NetworkcacheError):
    """A software release is not on this node, or not whole."""
