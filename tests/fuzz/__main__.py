"""Fuzzes what comes from outside; ``make fuzz`` does.

    python tests/fuzz [--seconds N] [surface] [parsers]

`surface` is the HTTP of a running server, `parsers` all that reads bytes of other people.
Each is tried for ten minutes, and the inputs are counted.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

# What the tests have of servers and of other people's programs is used, too.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import parsers
import surface
from conftest import _servers
from incumbents import Unavailable


def main() -> int:
    parser = argparse.ArgumentParser("python tests/fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, metavar="N")
    parser.add_argument("what", nargs="*", choices=[[], *WHAT], metavar="surface|parsers")
    arguments = parser.parse_args()
    faults = 0
    for name in arguments.what or WHAT:
        print(f"{name}: {arguments.seconds} s ...", file=sys.stderr, flush=True)
        folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
        try:
            report = WHAT[name](arguments.seconds, folder)
        except Unavailable as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        print(report, flush=True)
        if report.faults:
            print(f"what was tried is in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)
        faults += len(report.faults)
    return 1 if faults else 0


def _surface(seconds: int, folder: Path) -> surface.Report:
    with _servers(folder) as start:
        return surface.fuzz(start, seconds, folder)


WHAT = {"surface": _surface, "parsers": parsers.fuzz}

if __name__ == "__main__":
    sys.exit(main())
