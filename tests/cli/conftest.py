"""Nodes for the tests of the commands."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from commands import Node, publish


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
