"""Whether the files and the folders of a node are its own, and can be read."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from ...config import Config
from ...errors import StorageFailure
from ...localstore import folder_of
from ...private_folder import check_private_folder
from ...quantities import readable_time
from ...seen import default_path
from .finding import Finding, Mark

_SOON = 30 * 86400.0
"""Seconds before its end at which a certificate should be renewed."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_files(config: Config) -> Iterator[Finding]:
    """The files for TLS, and the folders that this user's runs share."""
    seen = set()
    for server, tls in (("shacache", config.cache_tls), ("shadir", config.dir_tls)):
        for what in ("ca", "cert", "key"):
            path = getattr(tls, f"{what}_file")
            if path is None or (what, path) in seen:
                continue
            seen.add((what, path))
            option = f"{server}-{what}-file"
            if what == "key":
                yield from check_private("files", option, path)
            elif not os.access(path, os.R_OK):
                yield _unreadable("files", option, path)
            elif what == "cert":
                yield _check_end(option, path)
    yield from _check_folders(config)


def _check_folders(config: Config) -> Iterator[Finding]:
    """Others could put into them what runs then read."""
    store = folder_of(config)
    memory = default_path().parent
    changes = {
        store: "set local-store to a folder of this user's own, or mend that one",
        memory: f"it remembers what was believed before: chmod 700 {memory}",
    }
    for folder, change in changes.items():
        if os.path.lexists(folder):
            try:
                check_private_folder(folder)
            except StorageFailure as error:
                yield Finding(Mark.WRONG, "files", str(error), change)
            else:
                yield Finding(Mark.OK, "files", f"{folder} is this user's own")


def check_private(about: str, option: str, path: str) -> Iterator[Finding]:
    """A private key: only its owner may read it."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        yield _unreadable(about, option, path)
        return
    if mode & _OTHERS:
        what = f"others may read or write {option} {path} (mode {mode & 0o777:o})"
        yield Finding(Mark.WRONG, about, what, f"chmod 600 {path}")
    elif not os.access(path, os.R_OK):
        yield _unreadable(about, option, path)


def _check_end(option: str, path: str) -> Finding:
    """The certificate of an account: with one that has expired nothing can be uploaded."""
    renew = "have who runs the server renew it (networkcache server account renew)"
    try:
        certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
    except (ValueError, x509.InvalidVersion):
        what = f"{option} {path} is no certificate in PEM"
        return Finding(Mark.WRONG, "files", what, "name the one that the server gave out")
    end = certificate.not_valid_after_utc.timestamp()
    left = end - time.time()
    when = f"{option} {path} {'expired' if left < 0 else 'is good until'}"
    when += f" {readable_time(int(end))}"
    if left < 0:
        return Finding(Mark.WRONG, "files", when, renew)
    if left < _SOON:
        return Finding(Mark.WARN, "files", when, renew)
    return Finding(Mark.OK, "files", when)


def _unreadable(about: str, option: str, path: str) -> Finding:
    change = "name a file that this user may read, by its path from the root on"
    return Finding(Mark.WRONG, about, f"{option} {path} cannot be read", change)
