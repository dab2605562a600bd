"""Write down every HTTP request that this Python makes; `REQUEST_LOG` names the file.

zc.buildout, pip and the client of the cache all send theirs through `http.client`. The
root page of the package index lists all its projects and is enormous, so a request for it
is written down and then fails.
"""

from __future__ import annotations

import http.client
import os

_put = http.client.HTTPConnection.putrequest


def _put_and_log(connection, method, path, *arguments, **options):
    scheme = "https" if connection.default_port == 443 else "http"
    default = connection.port == connection.default_port
    host = connection.host if default else f"{connection.host}:{connection.port}"
    with open(os.environ["REQUEST_LOG"], "a", encoding="utf-8") as log:
        log.write(f"{method} {scheme}://{host}{path}\n")
    at_home = connection.host in ("127.0.0.1", "localhost")
    if path.rstrip("/") in ("", "/simple") and not at_home:
        raise OSError(f"a test must not ask {host} for its root page")
    return _put(connection, method, path, *arguments, **options)


http.client.HTTPConnection.putrequest = _put_and_log
