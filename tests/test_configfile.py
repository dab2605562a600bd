"""Reading a node's configuration file."""

from __future__ import annotations

import pytest

from slapos.networkcache.configfile import read_section
from slapos.networkcache.errors import InvalidConfiguration

CERTIFICATE = """-----BEGIN CERTIFICATE-----
  MIIB
  -----END CERTIFICATE-----"""


def test_values_stand_as_they_are(tmp_path) -> None:
    path = tmp_path / "slapos.cfg"
    path.write_text(
        "[slapos]\ncomputer_id = %(HOME)s\n\n[networkcache]\n"
        "# a comment\ndownload-cache-url = http://example.com/%20a\n"
        f"signature-certificate-list =\n  {CERTIFICATE}\n\n  # second\n  {CERTIFICATE}\n"
    )
    section = read_section(str(path))
    assert section["download-cache-url"] == "http://example.com/%20a"
    assert section["signature-certificate-list"].count("\nMIIB\n") == 2
    assert read_section(str(path), "slapos") == {"computer_id": "%(HOME)s"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "has no section [networkcache]; it has none at all"),
        (b"[slapos]\n[other]\n", "it has [slapos], [other]"),
        (b"a = secret\n", "line 1 stands before any [SECTION]"),
        (b"[networkcache]\na = secret\nsecret\n", "in line 3"),
        (b"[networkcache]\na = secret\na = b\n", "a of [networkcache] stands a second"),
        (b"[networkcache]\n[networkcache]\n", "[networkcache] stands a second time"),
        (b"[networkcache]\na = \xff\n", "is not UTF-8"),
    ],
)
def test_what_does_not_parse_is_said_without_what_stands_there(
    tmp_path, text, sentence
) -> None:
    path = tmp_path / "slapos.cfg"
    path.write_bytes(text)
    with pytest.raises(InvalidConfiguration) as raised:
        read_section(str(path))
    assert sentence in str(raised.value)
    assert str(path) in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_cannot_be_read(tmp_path, name) -> None:
    with pytest.raises(InvalidConfiguration, match="cannot be read"):
        read_section(str(tmp_path / name))
