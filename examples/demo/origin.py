"""The origin: where the URLs of the profiles really point."""

from __future__ import annotations

import functools
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log: Path

    def log_message(self, format: str, *arguments: object) -> None:
        with self.log.open("a") as log:
            log.write(f"{format % arguments}\n")


@contextmanager
def origin(folder: Path, log: Path) -> Iterator[str]:
    """Serve the files of `folder` while the block lasts; the URL of the folder."""
    handler = type("Handler", (_Handler,), {"log": log})
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
    ) as http:
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()
            thread.join()


def archive(source: Path, path: Path) -> None:
    """Pack the folder `source` as a ``tar.gz``, as its author would."""
    with tarfile.open(path, "w:gz") as tar:
        tar.add(source, source.name)
