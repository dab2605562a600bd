"""The forms in which a `NetworkcacheClient` is told its options."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from configparser import ConfigParser
from typing import Any

from ..config import OPTIONS


def section_of(*args: Any, **named: Any) -> tuple[Any, dict[str, str]]:
    """The section that a constructor was given, and the options in it that we know.

    Raises `TypeError` for other arguments than those of the two forms, and what
    `configparser` does for a file that does not parse.
    """
    of_urls = isinstance(args[0], (str, bytes)) if args else "config" not in named
    section, certificates = (_of_urls if of_urls else _of_section)(*args, **named)
    # Asked one by one: a section of zc.buildout, or of another program, is only sure to
    # have `get`.
    options = {option: _text(section.get(option)) for option in OPTIONS}
    if certificates is not None:
        options["signature-certificate-list"] = _text(certificates)
    return section, options


def _of_section(config: Any, signature_certificate_list: Any = None) -> tuple[Any, Any]:
    """A mapping, or an open file with a section ``[networkcache]``."""
    if not hasattr(config, "get"):
        parser = ConfigParser()
        parser.read_file(config)
        config = dict(parser.items("networkcache"))
    return config, signature_certificate_list


def _of_urls(
    shacache: str,
    shadir: str,
    signature_private_key_file: str | None = None,
    signature_certificate_list: Any = None,
    shacache_ca_file: str | None = None,
    shacache_key_file: str | None = None,
    shacache_cert_file: str | None = None,
    shadir_ca_file: str | None = None,
    shadir_key_file: str | None = None,
    shadir_cert_file: str | None = None,
) -> tuple[Mapping[str, Any], Any]:
    """The same pair of URLs to read and to write."""
    section = {
        "signature-private-key-file": signature_private_key_file,
        "download-cache-url": shacache,
        "upload-cache-url": shacache,
        "shacache-ca-file": shacache_ca_file,
        "shacache-cert-file": shacache_cert_file,
        "shacache-key-file": shacache_key_file,
        "download-dir-url": shadir,
        "upload-dir-url": shadir,
        "shadir-ca-file": shadir_ca_file,
        "shadir-cert-file": shadir_cert_file,
        "shadir-key-file": shadir_key_file,
    }
    return section, signature_certificate_list


def _text(value: Any) -> str:
    """The value of an option as a file would have it; certificates may come one by one."""
    if value is None:
        return ""
    if isinstance(value, (str, bytes, os.PathLike)):
        return os.fsdecode(value)
    return "\n".join(map(_text, value)) if isinstance(value, Iterable) else str(value)
