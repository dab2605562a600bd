"""Unpacking of archives that nobody vouches for: all of it, or nothing of it.

An archive is refused as a whole where a member is something else than a folder, a file
or a link; where its name is absolute, has ``..`` in it, or stands below what is not a
folder; where a file or a link has the name of an earlier member; where a hard link leads
to anything but an earlier file, or a symbolic one out of the folder; where a file has
holes, or runs as somebody else; and where there is more in it than is expected. A folder
that is named again is the same folder.

Everything is made in a folder that only its owner may enter, beside the destination:
folders, files and hard links as they come, symbolic links at the end, when all is known.
So nothing is ever written through a link of the archive. Then one rename puts it into its
place.

`tree` knows the rules, `tar` and `zip` read the formats, `decompression` what they are
compressed with.
"""

from __future__ import annotations

import errno
import lzma
import os
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import InvalidArchive
from ..printable import readable
from .decompression import is_zip
from .tar import unpack_tar
from .tree import Bounds, Tree
from .zip import unpack_zip

__all__ = ["Bounds", "as_invalid", "unpack"]


def unpack(
    archive: str,
    destination: str,
    *,
    strip_top: bool | None = False,
    bounds: Bounds | None = None,
) -> None:
    """Unpack the file `archive` as the folder `destination`, which may be there if it is
    empty; the folder that it is in must be there.

    `strip_top` unpacks what is in the only folder at the top instead; with None only
    where there is such a folder. Raises `InvalidArchive`, and `OSError` where it cannot
    be written; then nothing of it is there.
    """
    parent = os.path.dirname(os.path.abspath(destination))
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=parent) as private:
        # In a folder of its own, whose mode is that of any new folder.
        tree = Tree(os.path.join(private, "tree"), bounds or Bounds())
        with open(archive, "rb") as file, as_invalid():
            (unpack_zip if is_zip(file) else unpack_tar)(file, tree)
            top = tree.top(strip_top)
            tree.make_links(top)
        os.rename(os.path.join(tree.root, *top), destination)


@contextmanager
def as_invalid() -> Iterator[None]:
    """Turn what the readers of archives raise for one that is damaged into
    `InvalidArchive`."""
    try:
        yield
    except InvalidArchive:
        raise
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        lzma.LZMAError,
        zlib.error,
        EOFError,
        IndexError,
        NotImplementedError,
        OverflowError,
        RecursionError,
        ValueError,
        struct.error,
    ) as error:
        raise InvalidArchive(f"it is damaged: {readable(error)}") from None
    except OSError as error:
        # Without a number it is gzip or bz2 that says so; zip seeks before the beginning.
        if error.errno not in (None, errno.EINVAL, errno.ENAMETOOLONG):
            raise
        raise InvalidArchive(f"it is damaged: {readable(error)}") from None
