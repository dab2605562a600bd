"""Write down what this Python asks of whom over HTTP; `WATCH_LOG` names the folder.

``urls.log`` gets every URL that urllib opens, ``hosts.log`` the host of every request,
whichever library makes it. Python imports a module of this name at its start where its
folder is on PYTHONPATH. The nodes of the demo run so, with all that they start.
"""

from __future__ import annotations

import os
import re
import sys

_HEAD = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r\n(?:.+\r\n)*?Host: *(\S+)", re.IGNORECASE)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "urllib.Request":
        _write("urls.log", str(arguments[0]))
    elif event == "http.client.send" and (host := _host(arguments[1])):
        _write("hosts.log", host)


def _host(sent: object) -> str | None:
    """Whom a head is for, if it is one: behind a proxy that is not who it is sent to."""
    head = _HEAD.match(sent) if isinstance(sent, bytes) else None
    return head and head[1].decode("latin-1")


def _write(name: str, line: str) -> None:
    with open(os.path.join(os.environ["WATCH_LOG"], name), "a", encoding="utf-8") as log:
        log.write(f"{line}\n")


if "WATCH_LOG" in os.environ:
    sys.addaudithook(_watch)
