"""Write down every URL that this Python opens; `URL_LOG` names the file.

Python imports a module of this name at its start where its folder is on PYTHONPATH. The
nodes of the demo run so.
"""

from __future__ import annotations

import os
import sys


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "urllib.Request":
        with open(os.environ["URL_LOG"], "a", encoding="utf-8") as log:
            log.write(f"{arguments[0]}\n")


if "URL_LOG" in os.environ:
    sys.addaudithook(_watch)
