"""The fuzzers, from the package index, in an environment of their own: ``.fuzzers`` of the
repository, made as that of the incumbents. They run as processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import interpreters
from incumbents import Unavailable, clean, environment, pip

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "fuzz"
FOLDER = ROOT / ".fuzzers"

SCHEMATHESIS = (
    "anyio==4.16.0",
    "certifi==2026.10.19.post1",
    "charset-normalizer==3.5.2",
    "click==8.5.1",
    "graphql-core==3.3.2",
    "harfile==0.6.0",
    "hypothesis==6.170.17",
    "hypothesis-graphql==0.13.5",
    "idna==3.20",
    "iniconfig==2.3.1",
    "jsonschema_rs==0.60.3",
    "markdown-it-py==4.3.0",
    "MarkupSafe==3.0.4",
    "mdurl==0.1.2",
    "packaging==26.3",
    "pluggy==1.7.0",
    "Pygments==2.21.0",
    "pyrate-limiter==4.5.1",
    "pytest==9.2.0",
    "PyYAML==6.0.4",
    "requests==2.34.2",
    "rich==15.0.0",
    "schemathesis==4.32.5",
    "sortedcontainers==2.4.0",
    "typing_extensions==4.16.0",
    "urllib3==2.8.0",
    "Werkzeug==3.1.9",
)
ATHERIS = (
    "atheris==3.0.0",
    "backports.zstd==1.8.0",
    "cffi==2.1.1",
    "cryptography==50.0.2",
    "pycparser==3.12",
)
"""The fuzzer, and what the parsers import."""
PYTHONS = ("3.11", "3.12", "3.13")
"""For which there is a wheel of this atheris, which else wants a compiler of its own."""


def python() -> Path:
    """The Python of the environment. Raises `Unavailable`."""
    base = _base()

    def fill(folder: Path) -> None:
        pip(folder, "install", "--only-binary", ":all:", *ATHERIS, *SCHEMATHESIS)

    made_of = (*ATHERIS, *SCHEMATHESIS, base)
    return environment(FOLDER / "environment", fill, *made_of, python=base) / "bin/python"


def _base() -> str:
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if here in PYTHONS:
        return sys.executable
    found = next(filter(None, map(interpreters.find, PYTHONS)), None)
    if found is None:
        raise Unavailable(f"none of Python {', '.join(PYTHONS)} is here; atheris wants one")
    return found


def variables(**more: str) -> dict[str, str]:
    """Those of a fuzzer's process, which imports this package and nothing else of ours."""
    return {**clean(), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **more}
