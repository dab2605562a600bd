"""Makes the golden files: ``python tests/golden/make.py [FOLDER]``.

Each is what a directory answers, and is named after what is wrong with it; the good ones
begin with ``good-``. ``expected.json`` says what was asked, by whom, and the `Reason` that
must come of it. Every run makes the same: the keys are kept, and no signature is random.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from golden import defects, good, weighed  # noqa: E402
from golden.signing import make_keys  # noqa: E402

LARGE = 64 << 10
"""Bytes from which an answer is kept compressed."""


def main(folder: Path) -> None:
    make_keys()
    (folder / "answers").mkdir(exist_ok=True)
    expected = {}
    for name, case in [*good.cases(), *defects.cases(), *weighed.cases()]:
        body = case.body.encode("utf-8", "surrogatepass")
        file = f"{name}.json" + (".gz" if len(body) > LARGE else "")
        if file in expected:
            raise SystemExit(f"{file} stands there twice")
        if len(body) > LARGE:
            body = gzip.compress(body, mtime=0)
        (folder / "answers" / file).write_bytes(body)
        expected[file] = case.expected()
    text = json.dumps(expected, indent=1, sort_keys=True)
    (folder / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
