"""What a run had fetched before the extension was there: profiles, and the distributions
of extensions.

It came past the cache, but it can still be published. None of it is at hand any more, so
what the cache lacks is fetched once more from its origin, in the background, through the
same seams as all the rest.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import zc.buildout.easy_install as easy_install
from zc.buildout.buildout import _open

from ..urls import is_remote
from . import places
from .places import CommandLine
from .run import Run

_LONG_AGO = 3600.0
"""Seconds in which a run may have come to load its extensions."""


class Earlier:
    """Fetches, on a node that publishes, what `buildout` had before `run` saw it."""

    def __init__(
        self, run: Run, buildout: Any, config_file: str, command_line: CommandLine
    ):
        self._run = run
        self._config_file = config_file
        self._command_line = command_line
        self._options = dict(buildout["buildout"].items())
        self._hosts = buildout._allow_hosts
        self._thread = threading.Thread(target=self._work, name="earlier", daemon=True)

    def start(self) -> None:
        """Begin, in the background."""
        if self._options.get("offline") != "true":
            self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait until all is put into the outbox, `seconds` at most."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _work(self) -> None:
        self._run.forgiven("profiles are not published", self._read_profiles)
        self._run.forgiven("extensions are not published", self._fetch_distributions)

    def _read_profiles(self) -> None:
        """Read all profiles again, as buildout does."""
        assigned = self._command_line.assignments.get("buildout", {})
        read = {self._config_file, *assigned.get("extends", "").split()}
        if self._command_line.user_defaults:
            read.add(places.user_defaults_file())
        for file in read:
            path = file if is_remote(file) else os.path.abspath(file)
            if is_remote(path) or os.path.exists(path):
                _open(os.path.dirname(path), path, [], {}, {}, set(), {})

    def _fetch_distributions(self) -> None:
        distributions = list(_new_distributions(self._options))
        if not distributions:
            return
        # An index of our own: that of buildout belongs to another thread.
        index = easy_install.AllowHostsPackageIndex(
            self._options.get("index") or easy_install.default_index_url,
            hosts=self._hosts,
        )
        index.add_find_links(self._options.get("find-links", "").split())
        for name, version in distributions:
            self._run.forgiven(
                f"{name} {version} is not published",
                partial(_fetch_distribution, index, name, version),
            )


def _new_distributions(options: Any) -> Iterator[tuple[str, str]]:
    """Name and version of what this run has put into the folder of eggs."""
    import pkg_resources

    eggs = os.path.realpath(options["eggs-directory"])
    for dist in pkg_resources.working_set:
        location = os.path.realpath(dist.location or "")
        if os.path.dirname(location).startswith(eggs) and not is_older(location):
            yield dist.project_name, dist.version


def is_older(path: str) -> bool:
    """Whether a file or folder was there before this process began, or is not there."""
    try:
        return os.stat(path).st_ctime < _process_began()
    except OSError:
        return True


def _process_began() -> float:
    """When this process began, in POSIX seconds; see proc(5)."""
    try:
        with open("/proc/self/stat") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        since_boot = ticks / os.sysconf("SC_CLK_TCK")
        return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)
    except (OSError, AttributeError, ValueError, IndexError):
        return time.time() - _LONG_AGO


def _fetch_distribution(index: Any, name: str, version: str) -> None:
    import pkg_resources

    requirement = pkg_resources.Requirement.parse(f"{name}=={version}")
    if index.obtain(requirement) is None:
        return
    best = max(
        (dist for dist in index[requirement.project_name] if dist.version in requirement),
        default=None,
    )
    if best is not None and is_remote(best.location):
        with tempfile.TemporaryDirectory(prefix="networkcache-") as folder:
            index.download(best.location, folder)
