"""Text from outside, before people read it."""

from __future__ import annotations

from slapos.networkcache.cli.terminal import tell
from slapos.networkcache.printable import readable

TEXT = "a…é\n\x1b[2J\u202e https://user:pw@host/?token=x&a=b"
SHOWN = "a…é\\n\\x1b[2J\\u202e https://***@host/?token=***&a=b"


def test_neither_secrets_nor_what_a_terminal_obeys_are_shown():
    assert readable(TEXT) == SHOWN


def test_a_command_tells_no_secret(capsys):
    tell(TEXT)
    assert capsys.readouterr().err == SHOWN + "\n"
