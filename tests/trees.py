"""Trees that look as if buildout had built a software release there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from slapos.networkcache.key import urlmd5


def make_tree(
    root: Path, url: str, files: Mapping[str, str | bytes], *, place: Path | None = None
) -> Path:
    """A release of `url` in the software root `root`, or at `place`; the folder. PLACE in a
    text is that folder, and what is in a folder ``bin`` is a program."""
    folder = place or root / urlmd5(url)
    profile = f"[buildout]\nextends = {url}\n"
    for name, body in {"buildout.cfg": profile, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(body, str):
            body = body.replace("PLACE", str(folder)).encode()
        path.write_bytes(body)
        if path.parent.name == "bin":
            path.chmod(0o755)
    (folder / ".completed").write_text(time.asctime())
    return folder
