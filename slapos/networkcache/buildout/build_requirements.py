"""The seam of pip: `zc.buildout.easy_install.call_pip_install`.

pip builds source distributions in isolation, and fetches what their builds require in a
process of its own. Around each call its environment says to ask `pip_index` instead of
the configured indexes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import zc.buildout
import zc.buildout.easy_install as easy_install

from ..urls import is_remote
from .run import Run
from .seams import Seams

_original = easy_install.call_pip_install


def install(run: Run, seams: Seams) -> None:
    """Put the cache before the indexes of pip."""
    pip = _Pip(run)

    def call_pip_install(spec: str, *arguments: Any, **options: Any) -> Any:
        # What is built already needs nothing, for dependencies are not pip's business.
        if not run.active or spec.endswith((".whl", ".egg")):
            return _original(spec, *arguments, **options)
        with pip.asking_here() as refused:
            try:
                return _original(spec, *arguments, **options)
            except (Exception, SystemExit):
                if refused:
                    raise zc.buildout.UserError(
                        "\n".join(map(str, refused.values()))
                    ) from None
                raise

    seams.put(easy_install, "call_pip_install", call_pip_install)


class _Pip:
    """The configuration of pip, read once a run."""

    def __init__(self, run: Run):
        self._run = run
        self._settings: Any = None

    @contextlib.contextmanager
    def asking_here(self) -> Iterator[Mapping[str, zc.buildout.UserError]]:
        """In the block, pip asks our index; gives what that refuses because no origin may
        be asked."""
        with contextlib.ExitStack() as stack:
            refused: list[Mapping[str, zc.buildout.UserError]] = []

            def start() -> None:
                refused.append(self._start(stack))

            self._run.forgiven("pip does not ask the network cache", start)
            yield refused[0] if refused else {}

    def _start(self, stack: contextlib.ExitStack) -> Mapping[str, zc.buildout.UserError]:
        from .pip_index import PipIndex
        from .pip_settings import read_pip_settings

        if self._settings is None:
            self._settings = read_pip_settings(easy_install.pip_path)
        settings = self._settings
        index = stack.enter_context(PipIndex(self._run, settings))

        def instead(url: str) -> str | None:
            if settings.needs_credentials(url):
                return None if self._run.config.block_origin else url
            return index.url_for(url)

        # zc.buildout 5 and 6 name their own index on the command line of pip, which
        # other users can read: ours is known by its token.
        configured = getattr(easy_install, "index_url", lambda *_: None)()
        further = [configured] if configured and is_remote(configured) else []
        if further:
            easy_install.index_url("")
            stack.callback(easy_install.index_url, configured)
        variables = settings.environment(_default_index(), instead, further)
        stack.enter_context(_environment(variables))
        return index.refused


def _default_index() -> str:
    """What pip asks where nothing is configured."""
    try:
        from pip._internal.models.index import PyPI

        return str(PyPI.simple_url)
    except (ImportError, AttributeError):
        return str(easy_install.default_index_url)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
