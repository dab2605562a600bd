"""nginx in front of a server, with the site of ``examples/server``, as a process of ours.

Its sockets are bound here and handed on, as nginx does itself when it is upgraded: so it
needs no port that might be taken meanwhile.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from wire import TIMEOUT

SITE = Path(__file__).parents[1] / "examples/server/nginx.conf"
LISTEN = """\
    listen 80;
    listen [::]:80;
    listen 443 ssl;
    listen [::]:443 ssl;
"""
MAIN = """\
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log notice;
events {{ }}
http {{
    # What is set for all sites may be wrong for this one.
    gzip on;
    gzip_types *;
    gzip_proxied any;
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


class Nginx(NamedTuple):
    """A running one; `port` is for http, `tls_port` for https."""

    port: int
    tls_port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://127.0.0.1:{self.tls_port}"

    @property
    def errors(self) -> str:
        return (self.folder / "error.log").read_text()


@contextmanager
def nginx(folder: Path, places: Mapping[str, object]) -> Iterator[Nginx]:
    """Run it in `folder`; what stands in the site is replaced as `places` say."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("nginx is not here: apt-get install nginx-light")
    folder.mkdir()
    with (
        socket.create_server(("127.0.0.1", 0)) as http,
        socket.create_server(("127.0.0.1", 0)) as https,
    ):
        ports = [bound.getsockname()[1] for bound in (http, https)]
        _configure(folder, ports, places)
        handed = [http.fileno(), https.fileno()]
        process = subprocess.Popen(
            [program, "-p", str(folder), "-c", str(folder / "nginx.conf")],
            env={**os.environ, "NGINX": "".join(f"{fd};" for fd in handed)},
            pass_fds=handed,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        _wait_for(process, ports[0])
        yield Nginx(*ports, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(TIMEOUT)
        process.stderr.close()


def _configure(folder: Path, ports: list[int], places: Mapping[str, object]) -> None:
    site = SITE.read_text()
    listen = f"listen 127.0.0.1:{ports[0]}; listen 127.0.0.1:{ports[1]} ssl;\n"
    for old, new in {LISTEN: listen, **places}.items():
        assert old in site, old
        site = site.replace(old, str(new))
    (folder / "site.conf").write_text(site)
    user = "user root;" if os.geteuid() == 0 else ""  # it reads what is this user's
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))


def _wait_for(process: subprocess.Popen[str], port: int) -> None:
    """Until it answers: with a socket that is bound already, connecting says nothing."""
    end = time.monotonic() + TIMEOUT
    with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
        probe.sendall(b"nonsense\r\n\r\n")
        while process.poll() is None and time.monotonic() < end:
            try:
                if probe.recv(1):
                    return
            except TimeoutError:
                continue
    process.terminate()
    raise RuntimeError(f"no nginx: {process.communicate()[1]}")
