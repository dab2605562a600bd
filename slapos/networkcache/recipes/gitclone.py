"""``slapos.networkcache:gitclone``: a checkout of a git repository."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, MutableMapping
from typing import Any

import zc.buildout

from ..buildout import hook
from ..key import is_full_revision
from . import options as reading
from .checkout import Checkouts
from .git import Git, GitFailed
from .part import Part, place_at

NOT_HERE = ("develop", "ignore-ssl-certificate", "shared", "sparse-checkout")
"""Options of slapos.recipe.build:gitclone without which something else would be there."""


class Recipe(Part):
    """Checks out a revision, or a branch as it is now.

    The revision of a branch becomes an option, so that the part, and those that depend on
    it, are installed again when the branch has moved.
    """

    def __init__(
        self, buildout: Mapping[str, Any], name: str, options: MutableMapping[str, str]
    ):
        for option in NOT_HERE:
            if options.get(option, "").strip() not in ("", "false"):
                raise zc.buildout.UserError(
                    f"option {option} of slapos.recipe.build:gitclone is not supported"
                )
        self._repository = reading.required(options, "repository")
        self._branch = options.get("branch", "").strip() or None
        self._revision = options.get("revision", "").strip()
        place = place_at(buildout, name, options.get("location", ""))
        super().__init__(name, place, place.path)
        section = buildout["buildout"]
        self._checkouts = Checkouts(
            Git(_program(options)),
            hook.current(),
            "true" in (section.get("offline"), section.get("install-from-cache")),
            not reading.boolean(options, "ignore-cloning-submodules"),
        )
        options["location"] = place.path
        if self._revision:
            full = self._revision.lower()
            self._revision = full if is_full_revision(full) else self._revision
            return
        tip = self._tip(newest=section.get("newest") != "false")
        if tip:
            options["revision"] = tip

    def _tip(self, *, newest: bool) -> str | None:
        """The revision of the branch; where its origin is not asked, of the checkout."""
        git, there = self._checkouts.git, os.path.isdir(self.target)
        if self._checkouts.may_ask(self._repository) and (newest or not there):
            try:
                return git.tip(self._repository, self._branch)
            except GitFailed as error:
                self.logger.info("%s", error)
        try:
            return git.head(self.target) if there else None
        except GitFailed:
            return None

    def build(self, path: str) -> None:
        if self._revision:
            self._checkouts.revision(self._repository, self._revision, path)
        else:
            self._checkouts.branch(self._repository, self._branch, path)


def _program(options: Mapping[str, str]) -> str:
    """The git that is asked for; one that is to be built yet is not there for now."""
    wanted = options.get("git-executable", "").strip() or "git"
    return wanted if shutil.which(wanted) else "git"
