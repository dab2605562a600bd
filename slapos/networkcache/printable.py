"""Text from outside, as it may stand in a log, on a terminal or on a page.

What a URL, an entry or a server says may hold line ends, control characters, or marks
that turn the direction of writing: none of them may reach a reader.
"""

from __future__ import annotations

from .urls import redact


def escape(text: str, limit: int = 500) -> str:
    """Text from the wire as it may stand in a log or on a terminal: printable ASCII.

    Everything else, line ends, control characters and bidirectional marks included,
    is written as Python writes it in a string.
    """
    return text[:limit].encode("unicode_escape", "backslashreplace").decode()


def printable(text: str) -> str:
    """The same for readers of more than ASCII: whatever can be printed stays."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def readable(text: object) -> str:
    """The same without the secrets in its URLs: for logs, terminals and reports."""
    return printable(redact(str(text)))
