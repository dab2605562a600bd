"""The dispatcher of the commands."""

from __future__ import annotations

import pytest
from commands import networkcache

from slapos.networkcache.cli import COMMANDS
from slapos.networkcache.printable import printable


def test_without_arguments_it_helps() -> None:
    done = networkcache()
    assert (done.returncode, done.stderr) == (0, "")
    for command in COMMANDS:
        assert f"\n  {command} ".encode() in done.stdout


def test_it_says_its_version() -> None:
    assert networkcache("--version").stdout == b"networkcache 1.0.0\n"


@pytest.mark.parametrize("arguments", [("nonsense",), ("download",), ("key",)])
def test_wrong_use(arguments) -> None:
    done = networkcache(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_helps(command) -> None:
    done = networkcache(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: networkcache {command} ".encode())


def test_a_terminal_obeys_nothing_that_is_printed() -> None:
    assert printable("a\x1b[31m\n\u202e\ud800é…") == "a\\x1b[31m\\n\\u202e\\ud800é…"
