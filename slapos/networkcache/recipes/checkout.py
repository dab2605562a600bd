"""A revision of a git repository: from its bundle in the network cache, or its origin.

A bundle holds a revision with all that came before it, and the tags on the way. git
computes the names of all objects in it anew, and sees that none is missing, so what is
checked out is what the full revision names, whoever made the bundle.

Submodules are revisions of other repositories, and come in the same way.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import zc.buildout
from zc.buildout.rmtree import rmtree

from ..binding import Request
from ..errors import NotBelieved, NotPublished, Reason
from ..key import Key
from ..members import members_of_bundle
from ..printable import readable
from .git import Git, GitFailed

if TYPE_CHECKING:
    from ..buildout.run import Run

logger = logging.getLogger("slapos.networkcache")

_LOCAL = re.compile(r"file:|[^:]*/|[^:]*\Z")
_GITLINK = "160000"


def _is_local(repository: str) -> bool:
    """Whether it is of this computer: a path or ``file:``, not ``host:path``."""
    return _LOCAL.match(repository) is not None


class _Submodule(NamedTuple):
    """What is to be checked out at `path`, below its parent."""

    path: str
    repository: str
    revision: str


@dataclass(frozen=True)
class Checkouts:
    """Makes checkouts in one run of buildout.

    `run` is that of the hook, None where there is no network cache; `offline` tells that
    nothing may be fetched, `submodules` whether they are wanted.
    """

    git: Git
    run: Run | None = None
    offline: bool = False
    submodules: bool = True

    def revision(
        self, repository: str, revision: str, folder: str, *, from_user: bool = True
    ) -> None:
        """Check out a revision at `folder`, which is not there, or empty.

        Raises `zc.buildout.UserError`, and may leave something in `folder` then.
        """
        if not self._take(repository, revision, folder):
            self._clone(repository, folder, "--no-checkout", from_user=from_user)
            if not self.git.has(folder, revision):
                # One that no branch leads to: some servers give it when asked by name.
                self.git.run(folder, "fetch", "--quiet", "origin", revision)
            self.git.check_out(folder, revision)
            self._offer(repository, revision, folder)
        self._add_submodules(repository, folder)

    def branch(self, repository: str, branch: str | None, folder: str) -> None:
        """Check out a branch, or what the origin takes for its main one."""
        options = [f"--branch={branch}"] if branch else []
        self._clone(repository, folder, *options)
        self._add_submodules(repository, folder)

    # -- the origin

    def may_ask(self, repository: str) -> bool:
        """Whether the origin of `repository` may be asked."""
        blocked = self.run is not None and self.run.config.block_origin
        return _is_local(repository) or not (self.offline or blocked)

    def _clone(
        self, repository: str, folder: str, *options: str, from_user: bool = True
    ) -> None:
        if not self.may_ask(repository):
            blocked = f"with {Reason.BLOCK_ORIGIN} = true"
            why = "in offline mode" if self.offline else blocked
            raise zc.buildout.UserError(
                f"{readable(repository)} is not cloned, since {why} its origin is not asked"
            )
        logger.info("cloning %s", readable(repository))
        try:
            self.git.clone(repository, folder, *options, from_user=from_user)
        except GitFailed as error:
            raise GitFailed(f"{readable(repository)} is not cloned: {error}") from None

    # -- the network cache

    def _take(self, repository: str, revision: str, folder: str) -> bool:
        """Make the checkout from a bundle, if the network cache has one that is right."""
        run, request = self.run, Request.for_bundle(repository, revision)
        if request is None or run is None or not run.active or self.offline:
            return False
        with tempfile.TemporaryDirectory(prefix="buildout-") as private:
            bundle = os.path.join(private, "bundle")
            if not run.take(request, bundle):
                return False
            failure = run.forgiven(
                f"the bundle of {readable(repository)} is not used",
                lambda: self._unbundle(bundle, repository, revision, folder),
            )
        if failure is None:
            return True
        rmtree(folder)
        return False

    def _unbundle(self, bundle: str, repository: str, revision: str, folder: str) -> None:
        git = self.git
        try:
            os.makedirs(folder, exist_ok=True)
            git.run(folder, "init", "--quiet")
            git.run(folder, "remote", "add", "origin", repository)
            tags = "refs/tags/*:refs/tags/*"
            git.run(folder, "fetch", "--quiet", "--no-tags", bundle, "HEAD", tags)
            git.check_out(folder, revision)
            head = git.head(folder)
        except GitFailed as error:
            raise NotBelieved(Reason.WRONG_CONTENT, str(error)) from None
        if head != revision:
            raise NotBelieved(Reason.WRONG_CONTENT, f"it holds {head}, not {revision}")

    def _offer(self, repository: str, revision: str, folder: str) -> None:
        """Publish the checkout, unless it is one that not everybody may read."""
        run, request = self.run, Request.for_bundle(repository, revision)
        if request is None or run is None or not run.config.publishes:
            return
        what = f"the bundle of {readable(repository)} is not published"
        run.forgiven(what, lambda: self._bundle(run, repository, revision, folder))

    def _bundle(self, run: Run, repository: str, revision: str, folder: str) -> None:
        git = self.git
        if git.head(folder) != revision:
            return  # it names a tag
        if not git.is_public(repository):
            raise NotPublished(Reason.SECRET_URL, "not everybody may read its origin")
        with tempfile.TemporaryDirectory(prefix="buildout-") as private:
            bundle = os.path.join(private, "bundle")
            tags = git.run(folder, "tag", "--merged", revision).split()
            names = ["HEAD", *(f"refs/tags/{tag}" for tag in tags)]
            given = "".join(f"{name}\n" for name in names)
            git.run(folder, "bundle", "create", bundle, "--stdin", given=given)
            key = Key.for_bundle(repository, revision)
            run.giving.offer(key, bundle, members_of_bundle(repository, revision))

    # -- submodules

    def _add_submodules(self, repository: str, folder: str) -> None:
        if not self.submodules:
            return
        found = list(self._find_submodules(folder))
        for submodule in found:
            place = os.path.join(folder, submodule.path)
            # What a repository says must not reach what only this user can.
            from_user = _is_local(repository)
            self.revision(
                submodule.repository, submodule.revision, place, from_user=from_user
            )
        if found:
            self.git.run(folder, "submodule", "--quiet", "absorbgitdirs")

    def _find_submodules(self, folder: str) -> Iterator[_Submodule]:
        git = self.git
        if not os.path.isfile(os.path.join(folder, ".gitmodules")):
            return
        git.run(folder, "submodule", "--quiet", "init")
        names = {path: name for name, path in self._submodule_paths(folder)}
        for line in git.run(folder, "ls-files", "--stage", "-z").split("\0"):
            about, _, path = line.partition("\t")
            if not about.startswith(_GITLINK) or path not in names:
                continue
            section = f"submodule.{names[path]}"
            repository = git.setting(folder, f"{section}.url")
            if repository and git.setting(folder, f"{section}.update") != "none":
                yield _Submodule(path, repository, about.split()[1])

    def _submodule_paths(self, folder: str) -> Iterator[tuple[str, str]]:
        """Names, and where they are."""
        listed = self.git.setting(
            folder, "-z", "--file", ".gitmodules", "--get-regexp", r"^submodule\..*\.path$"
        )
        for item in (listed or "").split("\0"):
            option, _, path = item.partition("\n")
            yield option[len("submodule.") : -len(".path")], path
