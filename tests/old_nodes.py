"""Nodes of the incumbents: slapgrid of `slapos.core` 1.26.1, run as root of a computer."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import incumbents
from commands import write_config
from computers import SOFTWARE_ROOT, Computer

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Done:
    """What slapgrid did: its exit code, what it told its master of a release, its log."""

    code: int
    told: list[str]
    log: str


@dataclass(frozen=True)
class OldNode:
    """`options` are those of ``[networkcache]``, `slapos` more of ``[slapos]``.

    `software_root` is the folder as that computer names it, `compiler_for` the triplet
    that its ``gcc -dumpmachine`` says, if not that of this computer.
    """

    computer: Computer
    options: dict[str, str]
    slapos: dict[str, str] = field(default_factory=dict)
    software_root: Path = SOFTWARE_ROOT
    compiler_for: str = ""
    environment: Path = field(default_factory=incumbents.core_environment)

    def __post_init__(self) -> None:
        if self.software_root != SOFTWARE_ROOT:
            self.computer.make(self.software_root)

    def slapgrid(self, url: str) -> Done:
        """Let slapgrid process the release of this URL. Raises
        `subprocess.TimeoutExpired` where an upload failed: it waits for half an hour."""
        done = self.computer.run(
            self.environment / "bin/python",
            HERE / "old_node.py",
            input=json.dumps({"config": str(self.config), "urls": [url]}),
            env={**incumbents.clean(), "PATH": self._path()},
            reachable=[(self.environment / "bin/python").resolve().parents[1]],
        )
        if done.returncode:
            raise RuntimeError(f"slapgrid broke down:\n{done.stderr}")
        answer = json.loads(done.stdout)
        return Done(answer["code"], answer["told"][url], done.stderr)

    @property
    def config(self) -> Path:
        """Its slapos.cfg, as it is now; ours can read it as well."""
        instances = self.computer.folder / "instances"
        instances.mkdir(exist_ok=True)
        slapos = {
            "software_root": str(self.software_root),
            "instance_root": str(instances),
            "master_url": "http://127.0.0.1:9/",
            "computer_id": "COMP-1",
            "software_min_free_space": "0B",
        }
        path = self.computer.folder / "slapos.cfg"
        write_config(path, slapos={**slapos, **self.slapos}, networkcache=self.options)
        return path

    def _path(self) -> str:
        if not self.compiler_for:
            return os.environ["PATH"]
        compiler = self.computer.folder / "bin" / "gcc"
        compiler.parent.mkdir(exist_ok=True)
        compiler.write_text(f"#!/bin/sh\necho {self.compiler_for}\n")
        compiler.chmod(0o755)
        return f"{compiler.parent}{os.pathsep}{os.environ['PATH']}"
