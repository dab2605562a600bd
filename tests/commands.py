"""A node of its own, whose commands are run as processes; and an origin on loopback."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from slapos.networkcache.certificates import generate

SCRIPTS = Path(sys.executable).parent
TIMEOUT = 60

Result = subprocess.CompletedProcess

CONTENT = b"a content\n" * 1000
SHA512 = hashlib.sha512(CONTENT).hexdigest()
URL = "http://example.com/hello-1.0.tar.gz"
"""What most tests publish."""


@dataclass
class Node:
    """A folder with a ``slapos.cfg``, a signing key, and a home that nobody else uses.

    `options` are those of ``[networkcache]``, and `slapos` those of ``[slapos]``; each
    command reads them as they are then.
    """

    folder: Path
    options: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    slapos: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, server, key_type: str = "ed25519") -> Node:
        """One that reads from `server`, publishes there, and believes itself alone."""
        folder.mkdir()
        signer = generate(key_type)
        key = folder / "key.pem"
        key.write_bytes(signer.private_pem())
        key.chmod(0o600)
        options = {
            "download-cache-url": server.cache_url,
            "download-dir-url": server.dir_url,
            "upload-cache-url": server.cache_url,
            "upload-dir-url": server.dir_url,
            "signature-private-key-file": str(key),
            "signature-certificate-list": signer.self_signed("tester", time.time()),
        }
        return cls(folder, options)

    @property
    def config(self) -> Path:
        path = self.folder / "slapos.cfg"
        sections = {"slapos": self.slapos} if self.slapos else {}
        write_config(path, networkcache=self.options, **sections)
        return path

    def run(self, command: str, *arguments: str | Path, **how) -> Result:
        """``networkcache COMMAND -c CONFIG ARGUMENTS``."""
        return networkcache(
            command, "-c", self.config, *arguments, env=self.clean(), cwd=self.folder, **how
        )

    def clean(self) -> dict[str, str]:
        """The environment of its commands."""
        home = {"HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder / "cache")}
        made = {**os.environ, **home, "TMPDIR": str(self.folder), **self.environment}
        # It would hide what becomes of output that is still in a buffer.
        made.pop("PYTHONUNBUFFERED", None)
        return made

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


def publish(node: Node) -> Node:
    """Publish `CONTENT` for `URL`."""
    done = node.run("upload", "-f", node.write("hello", CONTENT), "-u", URL)
    assert done.returncode == 0, done.stderr
    return node


def entries(node: Node, *what: str) -> list[dict]:
    done = node.run("download", "-l", *what)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def write_config(path: Path, **sections: Mapping[str, str]) -> None:
    lines = []
    for name, options in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{o} = {v.strip()}".replace("\n", "\n  ") for o, v in options.items()]
    path.write_text("\n".join(lines) + "\n")


def networkcache(*arguments: str | Path, **how) -> Result:
    return script("networkcache", *arguments, **how)


def script(name: str, *arguments: str | Path, **how) -> Result:
    """Run a script of this environment; standard output in bytes, errors as text."""
    done = subprocess.run(
        [SCRIPTS / name, *arguments],
        stdout=how.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        timeout=TIMEOUT,
        **how,
    )
    done.stderr = done.stderr.decode()
    assert "Traceback" not in done.stderr, done.stderr
    return done


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        self.server.asked.append((self.path, dict(self.headers)))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


@dataclass
class Origin:
    """Answers each path of `answers` with a status, headers and a body."""

    url: str
    answers: dict[str, tuple[int, dict[str, str], bytes]]
    asked: list[tuple[str, dict[str, str]]]

    def put(self, path: str, body: bytes) -> str:
        """Serve `body`; its URL."""
        self.answers[path] = (200, {"Content-Length": str(len(body))}, body)
        return self.url + path


@contextmanager
def origin(context=None) -> Iterator[Origin]:
    """An origin; over https with the TLS `context`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.answers, server.asked = {}, []
        scheme = "http"
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"{scheme}://127.0.0.1:{server.server_port}"
        try:
            yield Origin(url, server.answers, server.asked)
        finally:
            server.shutdown()
            thread.join()
