"""Git repositories of tests, and origins that serve them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from origin import Origin

SOMEBODY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (
        ("NAME", "a"),
        ("EMAIL", "a@example.com"),
        ("DATE", "2001-09-09T01:46:40Z"),
    )
}
"""Nobody in particular, at no time in particular: the same is the same revision."""
NOBODYS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def git(folder: Path, *arguments: str | Path) -> str:
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **SOMEBODY, **NOBODYS},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass
class Repository:
    """One with a working tree in `folder`."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        git(self.folder, "init", "--quiet", "--initial-branch=main")

    def commit(self, name: str, text: str) -> str:
        """Write a file; the new revision."""
        (self.folder / name).write_text(text)
        git(self.folder, "add", name)
        return self.record(name)

    def record(self, message: str) -> str:
        git(self.folder, "commit", "--quiet", "--message", message)
        return git(self.folder, "rev-parse", "HEAD")

    def add_submodule(self, url: str, repository: Repository, path: str) -> str:
        """Make the other one a submodule, under a URL that is written as it is."""
        git(self.folder, "submodule", "--quiet", "add", repository.folder, path)
        git(self.folder, "config", "--file", ".gitmodules", f"submodule.{path}.url", url)
        git(self.folder, "add", ".gitmodules")
        return self.record(f"with {path}")

    def bundle(self, path: Path, *names: str) -> Path:
        git(self.folder, "bundle", "create", path, *(names or ("HEAD",)))
        return path

    def serve(self, origin: Origin, path: str, **how) -> str:
        """Let `origin` have it, as it is now, for git's plain http; its URL."""
        bare = self.folder.with_name(self.folder.name + ".bare")
        if not bare.exists():
            git(self.folder, "clone", "--quiet", "--bare", self.folder, bare)
        git(self.folder, "push", "--quiet", "--mirror", bare)
        git(bare, "repack", "-adq")
        git(bare, "update-server-info")
        for file in (file for file in bare.rglob("*") if file.is_file()):
            origin.put(f"{path}/{file.relative_to(bare)}", file.read_bytes(), **how)
        references = (bare / "info" / "refs").read_bytes()
        asked = f"{path}/info/refs?service=git-upload-pack"
        return origin.put(asked, references, type="text/plain", **how).removesuffix(
            "/info/refs?service=git-upload-pack"
        )
