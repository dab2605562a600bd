"""The two servers as processes, and nginx beside them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from incumbents import Unavailable, old_server

__all__ = ["Server", "Services", "file_server", "old_server", "our_server"]


class Services(Protocol):
    """Where the two services of a network cache are."""

    @property
    def cache_url(self) -> str: ...
    @property
    def dir_url(self) -> str: ...


class Server(Services, Protocol):
    """Either server: where its services are, and its process."""

    @property
    def pid(self) -> int: ...


@dataclass
class OurServer:
    """``networkcache server run``, running; use `our_server`."""

    url: str
    pid: int

    @property
    def cache_url(self) -> str:
        return f"{self.url}/shacache"

    @property
    def dir_url(self) -> str:
        return f"{self.url}/shadir"


@contextmanager
def our_server(root: Path, *options: str) -> Iterator[OurServer]:
    """Run our server with these options, else as it runs by default; its access log is in
    a file."""
    command = [sys.executable, "-m", "slapos.networkcache", "server", "run"]
    root.mkdir(parents=True, exist_ok=True)
    with (root / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--root", root, "--port", "0", "--allow-anonymous-upload", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("listening on "):
                break
        else:
            raise RuntimeError(f"the server broke down:\n{(root / 'log').read_text()}")
        yield OurServer(line.split()[2].rstrip("/"), process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=60)


NGINX = """\
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/errors;
events {{ worker_connections 1024; }}
http {{
    log_format json escape=json '{{"time": "$time_iso8601", "remote": "$remote_addr", '
        '"method": "$request_method", "path": "$request_uri", "status": $status, '
        '"sent": $body_bytes_sent, "seconds": $request_time, "agent": "$http_user_agent"}}';
    access_log {folder}/log json buffer=64k flush=1s;
    keepalive_requests 1000000000;
    sendfile on;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/files;
        default_type application/octet-stream;
    }}
}}
"""


@contextmanager
def file_server(folder: Path, files: Mapping[str, bytes]) -> Iterator[OurServer]:
    """Run nginx with one worker, which serves `files` by their paths, and logs as ours."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise Unavailable("nginx is not here: apt-get install nginx-light")
    for path, data in files.items():
        file = folder / "files" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    # The socket is bound here and handed on, as nginx does itself when it is upgraded.
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as bound:
        port = bound.getsockname()[1]
        user = "user root;" if os.geteuid() == 0 else ""
        configuration = folder / "nginx.conf"
        configuration.write_text(NGINX.format(folder=folder, port=port, user=user))
        process = subprocess.Popen(
            [program, "-p", folder, "-c", configuration],
            env={**os.environ, "NGINX": f"{bound.fileno()};"},
            pass_fds=[bound.fileno()],
            stderr=subprocess.DEVNULL,
        )
    try:
        yield OurServer(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait(timeout=60)
