"""The only module that runs git."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

import zc.buildout

from ..printable import readable

_OF_ANOTHER = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR", "GIT_INDEX_FILE",
        "GIT_NAMESPACE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_WORK_TREE",
    }
)  # fmt: skip
"""What git tells its hooks, from one of which buildout may be run."""
_KEPT = ("GIT_EXEC_PATH", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH")
_NOT_FROM_USER = {"GIT_PROTOCOL_FROM_USER": "0"}


class GitFailed(zc.buildout.UserError):  # type: ignore[misc]
    """git could not do it; what it said is the message."""


@dataclass(frozen=True)
class Git:
    """The git that is at `program`, or on the PATH."""

    program: str = "git"

    # -- the repository of somebody else

    def clone(
        self, repository: str, folder: str, *options: str, from_user: bool = True
    ) -> None:
        """Clone to a folder that is not there, or empty. Unless it is `from_user`, a
        repository must be where everybody may point to: no local path, no command."""
        more = {} if from_user else _NOT_FROM_USER
        self._run("clone", "--quiet", *options, "--", repository, folder, more=more)

    def tip(self, repository: str, branch: str | None) -> str:
        """The revision of a branch, or of HEAD."""
        wanted = [f"refs/{kind}/{branch}" for kind in ("heads", "tags")]
        names = wanted if branch else ["HEAD"]
        lines = self._run("ls-remote", "--quiet", "--", repository, *names).splitlines()
        if not lines:
            raise GitFailed(f"{readable(repository)} has no {names[0]}")
        return lines[0].split()[0]

    def is_public(self, repository: str) -> bool:
        """Whether it can be read without a password, a key or settings of this user."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GIT_") or name in _KEPT
        }
        nobody = {
            "HOME": os.devnull,
            "XDG_CONFIG_HOME": os.devnull,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ASKPASS": "false",
            "SSH_ASKPASS": "false",
            "GIT_TERMINAL_PROMPT": "0",
        }
        try:
            command = ("ls-remote", "--quiet", "--", repository, "HEAD")
            self._run(*command, environment=kept | nobody)
        except GitFailed:
            return False
        return True

    # -- the one in a folder

    def run(self, folder: str, *arguments: str, given: str = "") -> str:
        """What ``git ARGUMENTS`` prints in `folder`; `given` is what it reads. Raises
        `GitFailed`."""
        return self._run("-C", folder, *arguments, given=given)

    def setting(self, folder: str, *arguments: str) -> str | None:
        """What ``git config ARGUMENTS`` prints, None where it is not set."""
        try:
            return self.run(folder, "config", *arguments).rstrip("\n")
        except GitFailed:
            return None

    def head(self, folder: str) -> str:
        """The revision that is checked out."""
        return self.run(folder, "rev-parse", "--verify", "HEAD").strip()

    def has(self, folder: str, revision: str) -> bool:
        try:
            self.run(folder, "cat-file", "-e", f"{revision}^{{commit}}")
        except GitFailed:
            return False
        return True

    def check_out(self, folder: str, revision: str) -> None:
        self.run(folder, "checkout", "--quiet", "--detach", revision)

    def _run(
        self,
        *arguments: str,
        given: str = "",
        more: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        if environment is None:
            own = {n: v for n, v in os.environ.items() if n not in _OF_ANOTHER}
            environment = {"GIT_TERMINAL_PROMPT": "0", **own, **(more or {})}
        try:
            done = subprocess.run(
                [self.program, *arguments],
                input=given.encode("utf-8", "surrogateescape"),
                capture_output=True,
                env=environment,
            )
        except OSError as error:
            raise GitFailed(
                f"{self.program} does not run ({error.strerror}): install git, or say in"
                " git-executable where it is"
            ) from None
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())
            raise GitFailed(f"git says: {readable(said[-1000:])}")
        return done.stdout.decode("utf-8", "surrogateescape")
