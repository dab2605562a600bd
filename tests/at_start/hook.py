"""Put the hook in place in every buildout that this Python runs; `NETWORKCACHE_CONFIG`
names the slapos.cfg.

It has to wait until zc.buildout is imported, which is not for this script to do: most of
the Python processes of a run are none. Nothing is logged, since the tests of zc.buildout
compare all that a buildout says.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from types import ModuleType

MODULE = "zc.buildout.buildout"


class _Finder:
    """Finds `MODULE` as it is found without us, and starts the hook after it."""

    def find_spec(self, name, path, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_start(module: ModuleType) -> None:
            execute(module)
            # Else it would be set only when the import has ended.
            sys.modules["zc.buildout"].buildout = module
            _start()

        spec.loader.exec_module = execute_and_start
        return spec


def _start() -> None:
    from slapos.networkcache.buildout import extension, places
    from slapos.networkcache.buildout.run import Run

    logging.getLogger("slapos.networkcache").disabled = True
    extension.start(Run(places.of_node((), os.environ["NETWORKCACHE_CONFIG"])))


sys.meta_path.insert(0, _Finder())
