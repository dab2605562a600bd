"""What all halves of a run share: its configuration, its report, and forgiveness."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..config import Config
from ..errors import InvalidConfiguration, NetworkcacheError, NotFound, NotPublished
from ..precedence import Place, merge
from ..printable import readable
from .report import Report

if TYPE_CHECKING:
    from ..localstore import LocalStore
    from ..transport import Budget

logger = logging.getLogger("slapos.networkcache")


class Session:
    """One run, as far as it is neither taking nor giving.

    `layers` are the options of the node's own places, `profile` names the root profile
    as `Key.for_run` does. Raises `InvalidConfiguration`; see `configure`.
    """

    def __init__(self, layers: Mapping[Place, Mapping[str, str]], profile: str | None):
        self.report = Report()
        self.config = Config()
        self.options: Mapping[str, str] = {}
        """The section that `config` was made of."""
        self.profile = profile
        self.complete = False
        """Whether nothing was installed when the run began: then it uses all it needs."""
        self.succeeded = False
        """Whether buildout came to its end: only then its use is recorded."""
        self._layers = dict(layers)
        self._making = threading.RLock()
        self._local: LocalStore | None = None
        self._budget: Budget | None = None
        self._said: set[str] = set()
        self._broken: InvalidConfiguration | None = None
        self.configure({})

    def configure(self, layers: Mapping[Place, Mapping[str, str]]) -> None:
        """Read the options anew, with what more `layers` say.

        A configuration that does not parse turns the cache off and says why. Where it
        blocks origins, nothing could be fetched: then it raises `InvalidConfiguration`.
        """
        self._layers.update(layers)
        merged = merge(self._layers)
        before = self.config
        self.options = merged.options
        self._broken, self.report.off = None, ""
        try:
            self.config = Config.parse(merged.options)
        except InvalidConfiguration as error:
            # What is not understood here is rather not taken for "false".
            if merged.options.get("block-origin", "").strip() not in ("", "false"):
                raise
            self.config = Config()
            self._turn_off(error)
        if self.config != before:
            self._local = None
            self.changed()
        for note in (*merged.notes, *self.config.notes):
            self.say(logging.INFO, note)
        for option in self.config.unknown:
            self.say(logging.WARNING, f"unknown option of [networkcache]: {option}")

    def changed(self) -> None:
        """Another configuration holds from now on."""

    def _turn_off(self, error: InvalidConfiguration) -> None:
        self._broken = error
        self.report.off = readable(error)
        self.say(logging.WARNING, f"the network cache is off: {self.report.off}")

    @property
    def active(self) -> bool:
        """Whether there is anything to do at all."""
        config = self.config
        return config.reads or config.publishes or config.block_origin

    def forgiven(self, what: str, action: Callable[[], object]) -> Exception | None:
        """Do what the cache is there for; what goes wrong costs a line in the log, and
        is returned.

        The one place where a failure of the cache is forgiven.
        """
        try:
            action()
        except Exception as error:
            self.forgive(what, error)
            return error
        return None

    def forgive(self, what: str, error: Exception) -> None:
        """Say what went wrong, in a line, and go on."""
        if isinstance(error, NotFound):
            logger.debug("%s: %s", what, readable(error))
        elif isinstance(error, NetworkcacheError):
            why = readable(error)
            # What is not published is worth a line each; a source that is left alone is
            # left alone for hundreds of URLs.
            key = what if isinstance(error, NotPublished) else why
            self.say(logging.INFO, f"{what}: {why}", key)
        else:
            why = f"{type(error).__name__}: {readable(error)}"
            self.say(logging.WARNING, f"{what}: {why}", why)
            logger.debug("", exc_info=error)

    def say(self, level: int, text: str, key: str | None = None) -> None:
        """Log it, the first time that `key`, by default the text, has to be said."""
        key = text if key is None else key
        logger.log(logging.DEBUG if key in self._said else level, "%s", text)
        self._said.add(key)

    # -- what is made when it is first needed

    def local_store(self) -> LocalStore | None:
        """The node's own store; None where it cannot be used."""
        with self._making:
            if self._local is None:
                from ..errors import StorageFailure
                from ..localstore import LocalStore, folder_of

                try:
                    self._local = LocalStore(
                        folder_of(self.config), self.config.local_store_size
                    )
                except StorageFailure as error:
                    self.say(logging.WARNING, f"no local store: {readable(error)}")
            return self._local

    def budget(self) -> Budget:
        """One for the run: what was lost, and who lied, is not forgotten when a profile
        adds to the configuration."""
        if self._budget is None:
            from ..transport import Budget

            self._budget = Budget(self.config.time_budget)
        self._budget.seconds = self.config.time_budget
        return self._budget
