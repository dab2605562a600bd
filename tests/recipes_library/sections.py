"""Parts of our recipes, for the profiles of tests, and what they unpack."""

from __future__ import annotations

import hashlib

from golden_archives.make import ARCHIVES, HERE


def section(recipe: str, name: str = "part", **options: object) -> str:
    """A section; an underscore stands for a dash in the name of an option."""
    lines = "".join(f"{o.replace('_', '-')} = {v}\n" for o, v in options.items())
    return f"[{name}]\nrecipe = slapos.networkcache:{recipe}\n{lines}"


def profile(node, *sections: str, parts: str = "part", buildout: str = "", **how) -> None:
    node.profile(*sections, buildout=f"parts = {parts}\n{buildout}", **how)


def built(run):
    """`run`, which must have come to its end."""
    assert run.code == 0, run.said
    return run


def refused(run) -> str:
    """What a user reads of a run that must fail: no traceback."""
    assert run.code == 1, run.said
    assert "Traceback" not in run.said
    _, _, error = run.said.partition("\nError: ")
    assert error, run.said
    return " ".join(error.split())


def parts(node) -> list[str]:
    """What stands in the folder of parts, hidden things included."""
    folder = node.place / "parts"
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def sums(body: bytes) -> dict[str, str]:
    """Options and values of its checksums."""
    return {
        f"{a}sum": hashlib.new(a, body).hexdigest() for a in ("md5", "sha256", "sha512")
    }


def read_archive(name: str) -> bytes:
    """A golden archive, which was made once."""
    return (HERE / ARCHIVES / name).read_bytes()
