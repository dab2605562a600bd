"""Zstandard: of the standard library from Python 3.14 on, before that ``backports.zstd``,
which is the same code."""

from __future__ import annotations

import sys
from typing import IO

if sys.version_info >= (3, 14):
    from compression.zstd import (
        DecompressionParameter,
        ZstdCompressor,
        ZstdError,
        ZstdFile,
    )
else:
    from backports.zstd import (
        DecompressionParameter,
        ZstdCompressor,
        ZstdError,
        ZstdFile,
    )

__all__ = ["ZstdCompressor", "ZstdError", "open_zstd"]

_WINDOW_LOG = 27


def open_zstd(file: IO[bytes]) -> ZstdFile:
    """What `file` holds; raises `ZstdError` where it is damaged, or takes a window of more
    than 128 MiB of memory."""
    limit: dict[int, int] = {DecompressionParameter.window_log_max: _WINDOW_LOG}
    return ZstdFile(file, options=limit)
