"""Runs the benchmarks named, or all of them, and prints the table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from incumbents import Unavailable

from . import __doc__ as description
from . import (
    dead_runs,
    dead_sources,
    distant,
    extension,
    fetch,
    lookup,
    many_keys,
    memory,
    proximity,
    releases,
    serving,
    soak,
    stalled,
    upload,
    verify,
)
from .rows import Row, table

BENCHMARKS = {
    "verify": verify.run,
    "fetch": fetch.run,
    "distant": distant.run,
    "lookup": lookup.run,
    "serving": serving.run,
    "workers": serving.run_workers,
    "memory": memory.run,
    "upload": upload.run,
    "dead": dead_sources.run,
    "dead-runs": dead_runs.run,
    "stalled": stalled.run,
    "extension": extension.run,
    "release": releases.run,
    "proximity": proximity.run,
}
LONG = {"soak": soak.run, "many-keys": many_keys.run}
"""Those that are run only where they are named."""


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks", description=description)
    parser.add_argument("name", nargs="*", choices=[[], *BENCHMARKS, *LONG], metavar="NAME")
    names = parser.parse_args().name or list(BENCHMARKS)
    rows: list[Row] = []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix=f"benchmark-{name}-") as folder:
            try:
                rows += {**BENCHMARKS, **LONG}[name](Path(folder))
            except Unavailable as error:
                print(f"{name}: {error}", file=sys.stderr)
    print(table(rows))
    return 0 if rows and all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
