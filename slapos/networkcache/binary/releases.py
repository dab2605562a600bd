"""The releases of a node: taken from the network cache where a build of it runs here, else
built, and published.

Everything in the software root is done as its owner, one process at a time for each
release. The network and the signing key are left to whoever runs this.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from enum import Enum
from tempfile import TemporaryFile
from typing import IO

from ..binding import Request
from ..client import Client, open_client
from ..config import Config
from ..download import Progress
from ..errors import (
    BuildFailed,
    InvalidConfiguration,
    NetworkcacheError,
    NotBelieved,
    NotFound,
    NotInstalled,
    NotPublished,
    Reason,
    SourceFailure,
    StorageFull,
)
from ..host import look_at_host
from ..key import Key, urlmd5
from ..outcome import Outcome
from ..printable import readable
from ..publisher import Published, Publisher
from ..quantities import readable_size
from ..uploader import UPLOAD_LIMITS, upload_budget
from .building import build_folder, run_buildout
from .builds import Build
from .candidates import Candidate, judge_all
from .destination import Destination
from .installation import Marks, install, install_as_it_is
from .installed import (
    COMPLETED,
    ORIGIN,
    Installed,
    State,
    look_into,
    marks_of,
    now,
    signers_in,
    state_of,
)
from .lock import locked
from .manifest import MANIFEST
from .node import Node
from .ownership import Owner
from .packing import Packed, pack
from .work_folders import remove_left_over, remove_tree, work_folder

logger = logging.getLogger("slapos.networkcache")

_MD5 = re.compile(r"[0-9a-f]{32}\Z")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_BLOCK = 4096
"""Bytes of disk that a small file takes."""

Bar = Callable[[str], AbstractContextManager["Progress | None"]]
"""Shows how far something is that takes long."""


class Provenance(Enum):
    """Where a release comes from that is installed now."""

    PRESENT = "was there already"
    TAKEN = "taken from the network cache"
    BUILT = "built here"


class Releases:
    """All that can be done with the releases of `node`; `bar` shows what takes long.

    Raises `InvalidConfiguration` where somebody else may write in its folders.
    """

    def __init__(self, node: Node, *, bar: Bar = lambda what: nullcontext()):
        self.node = node
        self._cache_config = node.config.of_releases()
        self._bar = bar
        self._owner = Owner.of(node.software_root, node.umask)
        for folder in (node.software_root, *node.shared_folders):
            self._owner.check(folder)

    # -- what there is

    def state(self, url: str) -> State:
        return state_of(self.node.place(url))

    def installed(self) -> list[Installed]:
        """All releases in the software root, sorted by where they are."""
        names = sorted(filter(_MD5.match, os.listdir(self.node.software_root)))
        places = (os.path.join(self.node.software_root, name) for name in names)
        return [look_into(place) for place in places if os.path.isdir(place)]

    def candidates(self, url: str) -> tuple[Outcome, list[Candidate]]:
        """What the network cache has, and each build that is believed, judged; the best
        first. Raises `InvalidConfiguration` where there is no source."""
        with self._client() as client:
            return self._candidates(client, url)

    # -- the whole

    def install(self, url: str) -> Provenance:
        """Have the release of `url`: take it, or build it and publish that.

        Raises `NotFound`, `NotBelieved` or `SourceFailure` where it must come from the
        network cache and does not, `BuildFailed`, `StorageFull` before anything is
        written, `OSError`, and `InvalidConfiguration`.
        """
        with self._locked(url) as lock:
            if self.state(url) is State.COMPLETE:
                return Provenance.PRESENT
            why_not = self._take(url)
            if why_not is None:
                self._remove_build_folder(url)
                return Provenance.TAKEN
            if prefix := self.node.config.binary_force_list.match(url):
                raise _forced(url, prefix, why_not)
            logger.info("%s is built here: %s", readable(url), readable(why_not))
            self._build(url, lock)
            self._publish_if_asked(url)
            return Provenance.BUILT

    # -- the steps

    def build(self, url: str) -> None:
        """Build the release, whatever the network cache has. Raises `BuildFailed`."""
        with self._locked(url) as lock:
            if self.state(url) is not State.COMPLETE:
                self._build(url, lock)

    def publish(self, url: str) -> Published:
        """Publish a release that was built here. Raises `NotPublished`, `NotInstalled`,
        `Refusal`, `SourceFailure` and `InvalidConfiguration`."""
        with self._locked(url):
            return self._publish(url)

    def remove(self, url: str) -> None:
        """Remove a release; shared parts stay. Raises `NotInstalled`."""
        with self._locked(url), self._owner.acting():
            place = self.node.place(url)
            folders = dict.fromkeys((place, build_folder(self.node, url)))
            there = [folder for folder in folders if os.path.isdir(folder)]
            if not there:
                raise NotInstalled(f"{url} is not installed: {place} is not there")
            for folder in there:
                with work_folder(os.path.dirname(place), urlmd5(url)) as work:
                    os.rename(folder, os.path.join(work, "removed"))
                if folder != place:
                    _remove_empty(os.path.dirname(folder))

    # -- taking

    def _take(self, url: str) -> NetworkcacheError | None:
        """Install the best build that the network cache has; else the reason why not."""
        if not_asked := self._not_asked(url):
            return NotFound(not_asked)
        with self._client() as client:
            outcome, candidates = self._candidates(client, url)
            why_not = _refusal(outcome) if outcome.trusted is None else None
            for candidate in candidates:
                if not candidate.fits:
                    why_not = why_not or candidate.refusals[0]
                    continue
                why_not = self._try(client, url, candidate)
                if why_not is None:
                    client.remember(outcome.request, candidate.trusted)
                    return None
        if isinstance(why_not, StorageFull):
            raise why_not  # to build it takes more
        return why_not

    def _not_asked(self, url: str) -> str:
        """Why the network cache is not asked, if so."""
        place = self.node.place(url)
        if os.path.lexists(place):
            return f"{place} is there and not complete, and buildout goes on with it"
        if prefix := self._cache_config.download_blacklist.match(url):
            return f"{prefix} is in download-from-binary-cache-url-blacklist"
        if not self._cache_config.sources:
            return "no source is configured: set download-binary-cache-url and -dir-url"
        return ""

    def _candidates(self, client: Client, url: str) -> tuple[Outcome, list[Candidate]]:
        request = Request(Key.for_release(url), url.partition("#")[0])
        outcome = client.look_up(request, ask_all=True, remember=False)
        believed = outcome.weighed.believed
        return outcome, judge_all(believed, self._destination(url), look_at_host)

    def _destination(self, url: str) -> Destination:
        """As the owner sees it: not every folder may be written."""
        with self._owner.acting():
            return self.node.destination(url)

    def _try(
        self, client: Client, url: str, candidate: Candidate
    ) -> NetworkcacheError | None:
        """Install one build; else the reason why not. A cache fails no installation: only
        what would stop a build, too, is raised."""
        try:
            self._download_and_install(client, url, candidate)
        except InvalidConfiguration:
            raise
        except NetworkcacheError as error:
            why_not = error
        except OSError as error:
            if error.errno in _FULL:
                raise
            why_not = NotFound(str(error))
        else:
            return None
        logger.warning("a build is not taken: %s", readable(why_not))
        return why_not

    def _download_and_install(self, client: Client, url: str, candidate: Candidate) -> None:
        trusted, build = candidate.trusted, candidate.build
        self._check_space(trusted.size or 0, build if isinstance(build, Build) else None)
        marks = marks_of(url, trusted.digest.hex, trusted.signers)
        with self._file() as archive:
            with self._bar("download") as progress:
                client.fetch_into(trusted, archive, progress)
            if isinstance(build, Build):
                self._install(archive, url, build, marks)
                return
            with self._owner.acting(), self._bar("install") as progress:
                place, top = self.node.place(url), urlmd5(url)
                install_as_it_is(archive, top, place, marks=marks, progress=progress)

    def _install(self, archive: IO[bytes], url: str, build: Build, marks: Marks) -> None:
        with self._owner.acting(), self._bar("install") as progress:
            install(
                archive, urlmd5(url), build, self.node.destination(url),
                look=look_at_host, marks=marks, progress=progress,
            )  # fmt: skip

    @contextmanager
    def _file(self) -> Iterator[IO[bytes]]:
        """A file of the owner's, without a name, for an archive: it is gone when this is,
        however that happens."""
        with self._owner.acting():
            file = TemporaryFile(dir=self.node.software_root)  # noqa: SIM115 - closed below
        with file:
            yield file

    def _check_space(self, archive: int, build: Build | None) -> None:
        """Raise `StorageFull` where the disk has no room for what was signed: an archive of
        so many bytes, and what is in it, where that is known."""
        unpacked = build.unpacked_size + build.files * _BLOCK if build else 0
        disk = os.statvfs(self.node.software_root)
        free = disk.f_bavail * disk.f_frsize
        if archive + unpacked > free:
            raise StorageFull(
                f"{readable_size(archive + unpacked)} are needed in"
                f" {self.node.software_root}, and {readable_size(free)} are free: make room"
            )

    # -- building

    def _build(self, url: str, lock: int) -> None:
        place, folder = self.node.place(url), build_folder(self.node, url)
        if folder != place and os.path.lexists(place):
            raise BuildFailed(
                f"{place} is there and not complete, and was not built with"
                " build-prefix-length: networkcache release remove makes room for a new one"
            )
        run_buildout(self.node, url, folder, self._owner, lock)
        with self._owner.acting(), open(os.path.join(folder, COMPLETED), "wb") as file:
            file.write(now())
        if folder != place:
            with self._packed(url, folder) as (packed, archive):
                marks = marks_of(url, packed.archived.content.sha512.hex, None)
                self._install(archive, url, packed.build, marks)

    # -- publishing

    def _publish_if_asked(self, url: str) -> None:
        """The last step of an installation, which it does not depend on."""
        config = self._cache_config
        if not config.publishes or config.upload_blacklist.match(url):
            self._remove_build_folder(url)
            return
        try:
            published = self._publish(url)
        except (NetworkcacheError, OSError) as error:
            logger.warning("%s is not published: %s", readable(url), readable(error))
            return
        logger.info("%s is published as %.16s…", readable(url), published.entry.sha512.hex)

    def _publish(self, url: str) -> Published:
        if self.state(url) is not State.COMPLETE:
            raise NotInstalled(f"{url} is not installed, or not complete: build it first")
        if prefix := self._cache_config.upload_blacklist.match(url):
            raise NotPublished(
                Reason.BLACKLISTED_URL,
                f"{prefix} is in upload-to-binary-cache-url-blacklist",
            )
        folder = self._built_in(url)
        publisher = _publisher(self._cache_config)
        try:
            with self._packed(url, folder) as (packed, archive):
                packed.check(publisher.fingerprint)
                for note in packed.notes:
                    logger.warning("%s", readable(note))
                published = publisher.publish(
                    Key.for_release(url),
                    archive,
                    packed.archived.content,
                    packed.members,
                    for_old_programs=packed.for_old_programs,
                )
        finally:
            publisher.close()
        self._remove_build_folder(url)
        return published

    def _built_in(self, url: str) -> str:
        """The folder that the release was built in. Raises `NotPublished` where it was
        not built by this node."""
        place, folder = self.node.place(url), build_folder(self.node, url)
        marks = [os.path.join(place, mark) for mark in (ORIGIN, MANIFEST)]
        if not any(map(os.path.exists, marks)):
            return place
        own = os.path.exists(marks[0]) and signers_in(marks[0]) is None
        if folder != place and own and state_of(folder) is State.COMPLETE:
            return folder
        why = f"{place} was unpacked from an archive: only who built it may vouch for it"
        if own:
            why = (
                f"{place} was built in another folder, and that is gone: remove the"
                " release, and build it again"
            )
        raise NotPublished(Reason.UNCHECKED_ORIGIN, why)

    def _remove_build_folder(self, url: str) -> None:
        """What was installed from there, or taken meanwhile, does not need it any more."""
        folder = build_folder(self.node, url)
        if folder != self.node.place(url) and os.path.isdir(folder):
            with self._owner.acting(), suppress(OSError):
                remove_tree(folder)
                _remove_empty(os.path.dirname(folder))

    @contextmanager
    def _packed(self, url: str, folder: str) -> Iterator[tuple[Packed, IO[bytes]]]:
        """The archive of what was built in `folder`, and what is to be signed of it."""
        with self._file() as file:
            with self._owner.acting(), self._bar("pack") as progress:
                packed = pack(
                    self.node, url, folder, file, look=look_at_host, progress=progress
                )
            yield packed, file

    # -- around

    def _client(self) -> Client:
        if not self._cache_config.sources:
            raise InvalidConfiguration(
                "there is no source to ask: set download-binary-cache-url and"
                " download-binary-dir-url"
            )
        client, warnings = open_client(self._cache_config)
        for warning in warnings:
            logger.warning("%s", readable(warning))
        return client

    @contextmanager
    def _locked(self, url: str) -> Iterator[int]:
        """Be alone with the release; the descriptor of the lock."""
        top = urlmd5(url)
        lock = os.path.join(self.node.software_root, f".networkcache-{top}.lock")
        with self._owner.holding(locked(lock, readable(url))) as held:
            with self._owner.acting():
                destination = self.node.destination(url)
                remove_left_over(os.path.dirname(destination.release), top)
                if destination.shared is not None:
                    remove_left_over(destination.shared, top)
            yield held


def _remove_empty(folder: str) -> None:
    """A folder, and those that it is in, as long as there is nothing else in them."""
    with suppress(OSError):
        os.removedirs(folder)


def _refusal(outcome: Outcome) -> NetworkcacheError:
    """Why nothing is believed; of a source that could not be asked, which one."""
    for answer in outcome.answers:
        failure = answer.failure
        if failure is outcome.refusal and isinstance(failure, SourceFailure):
            return SourceFailure(failure.reason, f"{answer.source}: {failure}")
    return outcome.refusal


def _forced(url: str, prefix: str, why: NetworkcacheError) -> NetworkcacheError:
    """The error for what must come from the network cache, and does not."""
    text = (
        f"{url} must come from the network cache, since {prefix} is in"
        f" download-from-binary-cache-force-url-list, and it does not: {why}"
    )
    if isinstance(why, (NotBelieved, SourceFailure)):
        return type(why)(why.reason, text)
    return NotFound(text)


def _publisher(config: Config) -> Publisher:
    if not config.publishes:
        raise InvalidConfiguration(
            "publishing a release needs upload-binary-cache-url, upload-binary-dir-url and"
            " signature-private-key-file"
        )
    publisher = Publisher(config, budget=upload_budget(config), limits=UPLOAD_LIMITS)
    for warning in publisher.warnings:
        logger.warning("%s", readable(warning))
    return publisher
