"""Makes the golden files: ``python tests/golden/make.py [FOLDER]``.

Each is what a directory answers, and is named after what is wrong with it; the good ones
begin with ``good-``. ``expected.json`` beside them says what was asked, by whom, and the
`Reason` that must come of it. Everything is the same in every run: the keys are kept, and
every signature is deterministic.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

from answers import bad_entries, bad_pairs, bindings, good, legacy, weighed
from signing import make_keys

HERE = Path(__file__).parent
LARGE = 64 << 10


def main(folder: Path) -> None:
    make_keys()
    (folder / "answers").mkdir(exist_ok=True)
    expected = {}
    for module in (good, bad_pairs, bad_entries, bindings, weighed, legacy):
        for name, case in module.cases():
            body = case.body.encode("utf-8", "surrogatepass")
            file = f"{name}.json" + (".gz" if len(body) > LARGE else "")
            if file in expected:
                raise SystemExit(f"{file} stands there twice")
            if len(body) > LARGE:
                body = gzip.compress(body, mtime=0)
            (folder / "answers" / file).write_bytes(body)
            expected[file] = case.expected
    text = json.dumps(expected, indent=1, sort_keys=True)
    (folder / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
