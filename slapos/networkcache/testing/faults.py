"""What a `NetworkCache` can do wrong: faults as functions of an answer.

A fault takes an `Answer` as the real server gave it, and says what is sent in its place.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ..errors import Code
from ..protocol import ERROR_HEADER, STATUS


@dataclass(frozen=True)
class Answer:
    """What goes back over the wire.

    `cut` is the number of bytes of the body after which the connection is closed,
    `after` what follows the body on the same connection, `endless` what follows for
    ever, `rate` the bytes sent in a second, and `held` the bytes, head included, after
    which nothing more comes while the connection stays open.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    after: bytes = b""
    endless: bytes = b""
    rate: float | None = None
    held: int | None = None

    def with_headers(self, **headers: str | None) -> Answer:
        """The same with other fields in its head; None leaves one out."""
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {k: v for k, v in self.headers.items() if k not in changed}
        new = {k: v for k, v in changed.items() if v is not None}
        return replace(self, headers={**kept, **new})

    def with_body(self, body: bytes) -> Answer:
        """The same with another body, announced as long as it is."""
        return replace(self, body=body).with_headers(Content_Length=str(len(body)))


Fault = Callable[[Answer], Answer]


class EarlyFault:
    """A fault that needs no answer: the request does not reach the real server.

    `body_read` says whether the body of the request is taken from the wire first.
    """

    def __init__(self, answer: Answer, *, body_read: bool = True):
        self.answer = answer
        self.body_read = body_read

    def __call__(self, _: Answer) -> Answer:
        return self.answer


drop: Fault = EarlyFault(Answer(0, cut=0), body_read=False)
"""Close the connection without an answer."""
silent: Fault = EarlyFault(Answer(0, held=0), body_read=False)
"""Keep the connection, and never say or read anything."""


def wrong(answer: Answer) -> Answer:
    """Other bytes of the same length."""
    return replace(answer, body=bytes(255 - byte for byte in answer.body))


def cut(count: int) -> Fault:
    """Close the connection after `count` bytes of the body."""
    return lambda answer: replace(answer, cut=count)


def stall(count: int = 1) -> Fault:
    """Send the head and `count` bytes of the body, then nothing more."""

    def stalled(answer: Answer) -> Answer:
        return replace(answer, held=len(head_of(answer)) + count)

    return stalled


def drip(rate: float) -> Fault:
    """Send `rate` bytes a second, the head included."""
    return lambda answer: replace(answer, rate=rate)


def longer(more: bytes) -> Fault:
    """Something after the end, announced as part of the body."""
    return lambda answer: answer.with_body(answer.body + more)


def followed_by(more: bytes) -> Fault:
    """Something after the end that was announced, on the same connection."""
    return lambda answer: replace(answer, after=more)


def endless(pattern: bytes) -> Fault:
    """A body that never ends, and whose length is not announced."""

    def never_ends(answer: Answer) -> Answer:
        answer = replace(answer, status=200, endless=pattern)
        return answer.with_headers(Content_Length=None, Connection="close")

    return never_ends


def refuse(code: Code, **headers: str) -> Fault:
    """Answer with a refusal, as an `EarlyFault`."""
    body = json.dumps({"error": code.value, "message": f"refused: {code}"}).encode()
    answer = Answer(STATUS[code], {ERROR_HEADER: code.value}).with_body(body)
    return EarlyFault(answer.with_headers(**headers))


def redirect(url: str, status: int = 302) -> Fault:
    """Send the client elsewhere."""
    return EarlyFault(Answer(status, {"Location": url}).with_body(b""))


def say(status: int, body: bytes, **headers: str) -> Fault:
    """Answer what you like."""
    return EarlyFault(Answer(status).with_body(body).with_headers(**headers))


def labelled(**headers: str) -> Fault:
    """Other fields in the head: ``labelled(Content_Encoding="gzip")``."""
    return lambda answer: answer.with_headers(**headers)


def clock(offset: float) -> Fault:
    """A ``Date`` that is `offset` seconds ahead."""
    date = email.utils.formatdate(time.time() + offset, usegmt=True)
    return labelled(Date=date)


def among(*elements: object) -> Fault:
    """Elements of any kind before and after the pairs of a key."""

    def poisoned(answer: Answer) -> Answer:
        pairs = json.loads(answer.body) if answer.status == 200 else []
        body = json.dumps([*elements, *pairs, *elements]).encode()
        return replace(answer, status=200).with_body(body)

    return poisoned


def head_of(answer: Answer) -> bytes:
    """The status line and the fields of the head, up to the empty line."""
    lines = [f"HTTP/1.1 {answer.status} -"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
