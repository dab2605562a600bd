"""The parsers: a process of the coverage-guided fuzzer for each of `targets`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import fuzzers
from seeds import seeds_of, words_of
from targets import TARGETS

MAIN = "entry"
"""The target that has one processor for itself; all others share another."""
SECONDS_EACH = 10
"""Seconds after which one input hangs."""
MEMORY = 2048
"""MiB that a process may take."""
LONGEST = 1 << 16
"""Bytes of an input, at most."""
_EXECUTED = re.compile(r"^stat::number_of_executed_units: *(\d+)", re.MULTILINE)
_COVERED = re.compile(r" cov: (\d+)")


@dataclass(frozen=True)
class Tried:
    """What came of one target: how many inputs, edges of the code that these reached, and
    what the fuzzer said where one was a fault."""

    inputs: int
    covered: int
    fault: str | None


@dataclass(frozen=True)
class Report:
    """What came of all."""

    tried: Mapping[str, Tried]

    @property
    def inputs(self) -> int:
        return sum(each.inputs for each in self.tried.values())

    @property
    def faults(self) -> Sequence[str]:
        return [f"{name}:\n{t.fault}" for name, t in self.tried.items() if t.fault]

    def __str__(self) -> str:
        lines = [f"parsers: {self.inputs} inputs, {len(self.faults)} faults"]
        lines += [
            f"    {name:14} {each.inputs:>10} inputs {each.covered:>6} edges"
            for name, each in self.tried.items()
        ]
        return "\n".join([*lines, *self.faults])


def fuzz(seconds: int, folder: Path) -> Report:
    """Try all for so long; leaves what the fuzzer made in `folder`, a folder for each."""
    others = [name for name in TARGETS if name != MAIN]
    share = max(1, seconds // len(others))

    def run(names: Sequence[str], seconds: int) -> dict[str, Tried]:
        return {name: _try(name, seconds, folder / name) for name in names}

    with ThreadPoolExecutor(2) as pool:
        main = pool.submit(run, [MAIN], seconds)
        return Report({**pool.submit(run, others, share).result(), **main.result()})


def _try(name: str, seconds: int, folder: Path) -> Tried:
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    seeds = seeds_of(name)
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(seed)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in words_of(seeds)))
    options = {
        "max_total_time": seconds,
        "timeout": SECONDS_EACH,
        "rss_limit_mb": MEMORY,
        "max_len": LONGEST,
        "dict": words,
        "artifact_prefix": f"{folder}/",
        "print_final_stats": 1,
    }
    command = [fuzzers.python(), fuzzers.HERE / "coverage_guided.py", name]
    command += [f"-{option}={value}" for option, value in options.items()]
    done = subprocess.run(
        [*command, corpus],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=fuzzers.variables(),
        cwd=folder,
    )
    said = done.stdout.decode(errors="replace")
    (folder / "said").write_text(said)
    executed, covered = _EXECUTED.findall(said), _COVERED.findall(said)
    wrong = done.returncode or not executed
    return Tried(
        int(executed[-1]) if executed else 0,
        int(covered[-1]) if covered else 0,
        said[-8000:] if wrong else None,
    )


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)
