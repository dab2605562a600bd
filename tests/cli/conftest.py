"""Nodes for the tests of the commands."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from commands import Node, publish

from slapos.networkcache.cli import main


@pytest.fixture
def node(tmp_path, shared_server) -> Node:
    """It believes nobody else, so that it minds nothing which others left there."""
    return Node.of(tmp_path / "node", shared_server)


@pytest.fixture
def lone(tmp_path, server) -> Node:
    """One that has its server for itself."""
    return Node.of(tmp_path / "node", server)


@pytest.fixture
def published(node) -> Node:
    return publish(node)


@pytest.fixture
def dead() -> Iterator[str]:
    """A URL where nobody answers, or will: its port is taken, and not listened at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


class Said(NamedTuple):
    """What a command said."""

    stdout: bytes
    stderr: str


@pytest.fixture
def operate(capfdbinary) -> Callable[..., Said]:
    """Runs ``networkcache server ARGUMENTS`` within this process, which must end with
    `code`."""

    def run(*arguments: object, code: int = 0) -> Said:
        capfdbinary.readouterr()
        try:
            ended = main(["server", *map(str, arguments)])
        except SystemExit as error:
            ended = error.code
        stdout, stderr = capfdbinary.readouterr()
        assert ended == code, stderr
        return Said(stdout, stderr.decode())

    return run
