"""The module `slapos.libnetworkcache` 0.30 for its programs: they change one import line.

Names, arguments, results, exceptions and the logger are those of that module. What is done
is ours, see `Client` and `Publisher`: so nobody is believed who is not listed, where an
empty list used to believe everybody; the newest entry comes first; and a content is handed
out once it has proved right as a whole.

`forms` are those of the constructor; `reading` and `publishing` do the work, `exceptions`
says what is raised.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import IO, Any

from ..certificates import CertificateList, Signer, Strength
from ..config import Config
from ..digest import Digest
from ..entry import Pair
from ..errors import InvalidEntry
from ..printable import readable
from . import folders
from .exceptions import DirectoryNotFound as DirectoryNotFound
from .exceptions import NetworkcacheException as NetworkcacheException
from .exceptions import UploadError as UploadError
from .exceptions import log_forgiven, raised_as_before
from .exceptions import logger as logger
from .filtering import NetworkcacheFilter as NetworkcacheFilter
from .forms import section_of
from .publishing import Publishing
from .reading import Reading


class NetworkcacheClient:
    """A program's door to the network cache, for one run: once ``cache-time-budget`` is
    lost in vain, its calls fail at once.

    It takes the URLs of SHACACHE and SHADIR and what else `forms` names, or a section, or
    a file that has one. Its calls raise what `exceptions` says; in ``with``, all of that
    is logged and goes no further.
    """

    archive = staticmethod(folders.archive)
    extract = staticmethod(folders.extract)

    def __init__(self, *args: Any, **named: Any):
        self.config, options = section_of(*args, **named)
        with raised_as_before():
            self._options = Config.parse(options)
            self.signature_private_key = _signer(self._options.private_key_file)
        listed = CertificateList.parse(self._options.certificate_list)
        self.signature_certificate_list = list(listed.certificates)
        for problem in listed.problems:
            logger.warning("Ignored wrong certificate, reason: %s", problem)
        self._check_signer()
        self._reading = Reading(self._options)
        self._publishing = Publishing(self._options)
        for room in (self._reading, self._publishing):
            weakref.finalize(self, room.close)
        self._source = next(iter(self._options.sources), None)

    def _check_signer(self) -> None:
        signer = self.signature_private_key
        if signer is None or not self._options.reads:
            return
        if signer.certificate not in self.signature_certificate_list:
            raise NetworkcacheException(
                "Invalid configuration: no matching certificate for private key"
                " (continuing would cause duplicate uploads because it would never"
                " manage to download these uploads)"
            )

    def __enter__(self) -> NetworkcacheClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        log_forgiven(error)
        return True

    # -- look up, and fetch

    def tryDownload(self, key: str) -> bool:
        """Whether there is a network cache to look into; logs that it is."""
        if self._options.reads:
            logger.info("Trying to download %s from network cache...", readable(key))
        return self._options.reads

    def select(
        self,
        key: str,
        wanted_metadata_dict: Mapping[str, Any] = {},
        required_key_list: Iterable[str] = frozenset(),
    ) -> Iterator[dict[str, Any]]:
        """What the believed entries of `key` say, the newest first: of those that have the
        required members, and the wanted ones with these values."""
        required = frozenset(required_key_list)
        for text, _ in self.select_generic(key):
            members = json.loads(text)
            if required <= members.keys() and all(
                members.get(name) == value for name, value in wanted_metadata_dict.items()
            ):
                yield members

    def select_generic(self, key: str, filter: object = True) -> Iterable[list[str]]:
        """The believed pairs of `key` as lists ``[entry, signature]``, the newest first;
        without `filter`, a list of all in the order of the directory."""
        with raised_as_before(self._source):
            if filter:
                return iter([list(pair) for pair in self._reading.believed(key)])
            return [list(pair) for pair in self._reading.all_pairs(key)]

    def download(self, sha512sum: str) -> IO[bytes]:
        """A temporary file with the content of that SHA-512, complete and right."""
        with raised_as_before(self._source):
            return self._reading.fetch(sha512sum)

    def verifySignatureInCertificateList(self, content: str, signature_string: str) -> bool:
        """Whether a listed signer made that signature, in a way that counts."""
        try:
            pair = Pair.parse([content, signature_string])
        except InvalidEntry:
            return False
        data, signature = pair.entry.encode(), pair.signature_bytes()
        found = set()
        for certificate in self.signature_certificate_list:
            found.add(certificate.verify(signature, data))
            if self._options.accept_legacy:
                found.add(certificate.verify_legacy(signature, data))
        return not found.isdisjoint({Strength.STRONG, Strength.LEGACY})

    # -- publish

    def tryUpload(self, key: str) -> bool:
        """Whether there is a network cache to publish in; logs that it is done."""
        if self._options.upload is None:
            return False
        logger.info("Trying to upload %s to network cache...", readable(key))
        return True

    def upload(self, file_descriptor: IO[bytes], key: str | None = None, **kw: Any) -> str:
        """Upload a whole file, from its beginning where it can seek; with a `key`, also
        the entry that it means that content, with the members `kw`. Its SHA-512."""
        if key is not None and not kw:
            raise NetworkcacheException("metadata should not be empty")
        with raised_as_before(self._options.upload):
            if key is None:
                return self._publishing.store(file_descriptor).hex
            return self._publishing.publish(key, file_descriptor, kw).hex

    upload_generic = upload

    def index(self, key: str, **kw: Any) -> None:
        """The entry alone, of a content that the server has: `sha512` names it."""
        with raised_as_before(self._options.upload):
            self._publishing.index(key, Digest.parse(kw.pop("sha512", "")), kw)


def _signer(path: str | None) -> Signer | None:
    """Raises `OSError`, and `InvalidConfiguration`."""
    if path is None:
        return None
    with open(path, "rb") as file:
        return Signer.parse(file.read())
