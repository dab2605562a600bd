"""HTTP as bytes, for the tests whose subject is the wire; and entries to put."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Mapping
from typing import NamedTuple

from slapos.networkcache.digest import Digest

ABSENT = Digest.of(b"never uploaded").hex
TIMEOUT = 60
"""Seconds after which something hangs. Nothing takes so long: it is no measure."""


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        """Why it was refused."""
        return self.headers.get("Networkcache-Error")


def connect(server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)


def ask(server, method, target, body=None, headers=None, connection=None) -> Reply:
    """One request, over a connection of its own unless one is given."""
    own = connection or connect(server)
    try:
        own.request(method, target, body, headers or {})
        answer = own.getresponse()
        return Reply(answer.status, answer.headers, answer.read())
    finally:
        if connection is None:
            own.close()


def dial(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)


def head(method, target, *lines) -> bytes:
    """The head of a request."""
    first = f"{method} {target} HTTP/1.1"
    return "\r\n".join([first, "Host: 127.0.0.1", *lines, "", ""]).encode("latin-1")


def read_all(sock) -> bytes:
    """What comes until the other end closes, be it rudely."""
    data = b""
    try:
        while more := sock.recv(1 << 16):
            data += more
    except ConnectionResetError:
        pass
    return data


def read_head(sock) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(1)
        assert more, f"the connection ended after {data!r}"
        data += more
    return data


def say(server, data: bytes, *, shut: bool = False) -> Reply:
    """Send bytes, close the writing side if `shut`, and read one answer."""
    with dial(server) as sock:
        sock.sendall(data)
        if shut:
            sock.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return Reply(answer.status, answer.headers, answer.read())


def post(server, data: bytes) -> str:
    """Upload a content; its digest."""
    reply = ask(server, "POST", "/shacache", data)
    assert reply.status == 201, reply
    assert reply.body.decode() == Digest.of(data).hex
    return reply.body.decode()


SIGNATURE = base64.b64encode(b"signature").decode()


def ours(key: str, sha512: str, **members) -> list[str]:
    """A pair with an entry of `format` 1."""
    entry = {"format": 1, "key": key, "sha512": sha512, "size": 1, "created": 1}
    return [json.dumps({**entry, **members}), SIGNATURE]


def old(sha512: str, **members) -> list[str]:
    """A pair of an old client."""
    return [json.dumps({"sha512": sha512, "file": "name", **members}), SIGNATURE]


def put(server, key: str, pair, connection=None) -> Reply:
    body = pair if isinstance(pair, bytes) else json.dumps(pair).encode()
    how = {"Content-Type": "application/json"}
    return ask(server, "PUT", f"/shadir/{key}", body, how, connection)


def pairs(server, key: str) -> list[list[str]]:
    """What the directory has, latest put first."""
    reply = ask(server, "GET", f"/shadir/{key}")
    if reply.status == 404:
        return []
    assert reply.status == 200, reply
    return json.loads(reply.body)


def files(root) -> list[str]:
    """Every content, and whatever was left of one, below the root of a server."""
    return sorted(path.name for path in (root / "v1").rglob("*") if path.is_file())
