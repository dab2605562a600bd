"""A file by its URL, with checksums of any kind: from the download cache, the network
cache, or its origin.

It is `zc.buildout.download.Download` that fetches, as for every other recipe: it respects
``download-cache``, ``offline`` and ``install-from-cache``, and the hook puts the network
cache before the origin. It knows no checksum but MD5, so they are handed on as an index
page does it, in the fragment of the URL, where the hook looks for them.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import zc.buildout
import zc.buildout.download

from ..digest import mismatch, pieces_of
from ..printable import readable
from ..urls import Checksum, without_fragment
from . import options as reading

_Download: Any = zc.buildout.download.Download
ChecksumError = zc.buildout.download.ChecksumError


@dataclass(frozen=True)
class Wanted:
    """A file to be fetched from `url`, else from the `alternate` one; `offline` in the
    place of the option of ``[buildout]``, if it is not None."""

    url: str
    alternate: str | None = None
    checksums: tuple[Checksum, ...] = ()
    offline: bool | None = None

    @classmethod
    def of(cls, options: reading.Options) -> Wanted:
        """What the options of a part ask for. Raises `zc.buildout.UserError`."""
        url = reading.required(options, "url")
        return cls(
            url,
            options.get("alternate-url", "").strip() or None,
            reading.checksums(options, url),
            reading.boolean(options, "offline"),
        )


@contextlib.contextmanager
def fetched(wanted: Wanted, buildout: Mapping[str, str]) -> Iterator[str]:
    """The path of the file, which is not to be changed; `buildout` is the section of that
    name. Raises `zc.buildout.UserError`."""
    path, is_temporary = _fetch(wanted, buildout)
    try:
        yield path
    finally:
        if is_temporary:
            os.unlink(path)


def _fetch(wanted: Wanted, buildout: Mapping[str, str]) -> tuple[str, bool]:
    how = {} if wanted.offline is None else {"offline": wanted.offline}
    download = _Checked(buildout, wanted.checksums, **how)
    try:
        return download.fetch(wanted.url)
    except ChecksumError:
        raise
    except zc.buildout.UserError as error:
        if wanted.alternate is None:
            raise
        first = error
    try:
        return download.fetch(wanted.alternate)
    except ChecksumError:
        raise
    except zc.buildout.UserError as error:
        raise zc.buildout.UserError(f"{first}; and its alternate-url: {error}") from None


class _Checked(_Download):  # type: ignore[misc]
    """A `Download` that knows checksums of any kind, and says what came in their place.

    Files in the download cache are named by their URL, as older recipes name them.
    """

    def __init__(
        self, buildout: Mapping[str, str], checksums: Sequence[Checksum], **how: Any
    ):
        super().__init__(buildout, hash_name=True, **how)
        self._checksums = checksums

    def fetch(self, url: str) -> tuple[str, bool]:
        """The path, and whether it is a temporary file. Raises `zc.buildout.UserError`."""
        try:
            path, is_temporary = self(url)
        except zc.buildout.UserError as error:
            raise type(error)(readable(error)) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise zc.buildout.UserError(f"{readable(url)}: {readable(error)}") from None
        return path, is_temporary

    def download_cached(self, url: str, md5sum: str | None = None) -> tuple[str, bool]:
        path, is_temporary = super().download_cached(url, md5sum)
        self._check(url, path)  # it may have been there for long
        return path, is_temporary

    def download(
        self, url: str, md5sum: str | None = None, path: str | None = None
    ) -> tuple[str, bool]:
        """The same as zc.buildout's, and nothing comes to `path` before it is right."""
        found, is_temporary = super().download(self._with_checksum(url), md5sum)
        try:
            self._check(url, found)
        except ChecksumError:
            if is_temporary:
                os.unlink(found)
            raise
        if path is None:
            return found, is_temporary
        if is_temporary:
            shutil.move(found, path)
        else:
            zc.buildout.download.locate_at(found, path)
        return path, False

    def _with_checksum(self, url: str) -> str:
        if not self._checksums:
            return url
        return f"{without_fragment(url)}#{'='.join(self._checksums[0])}"

    def _check(self, url: str, path: str) -> None:
        if self._checksums:
            with open(path, "rb") as file:
                wrong = mismatch(self._checksums, pieces_of(file))
            if wrong:
                raise ChecksumError(f"checksum mismatch of {readable(url)}: {wrong}")
