"""One parser under atheris, which looks where each input leads and makes the next of it::

python tests/fuzz/coverage_guided.py TARGET [OPTION OF LIBFUZZER ...] CORPUS
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["slapos.networkcache", "json", "tarfile"]):
    from targets import TARGETS


def main() -> None:
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
