"""Run the quick tests on every other Python that is here; ``make test`` does.

    python tests/interpreters.py

Of Python 3.10 to 3.13 those that run, but for the one that runs this, each in an
environment of its own, ``.venv-3.X``, made once. What is not here is named. Tests that
run other people's programs or real buildouts, or that take long for another reason, are
left to the default Python.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
REQUIREMENTS = ("--editable", ".[server]", "hypothesis", "pytest")
"""What the tests import; less than the extra `test`, which has the tools of `make
check` too."""
MARKS = "not incumbent and not buildout and not long"
SLOW = (
    "cli/test_*",
    "hook/test_*",
    "recipes_library/test_*",
    "test_layers.py",
    "test_outbox.py",
    "test_packaging.py",
    "test_prefetch.py",
    "test_readme.py",
    "test_readme_recipes.py",
    "test_release_interrupted.py",
    "test_releases.py",
    "test_server_backup.py",
    "test_server_browser.py",
    "test_server_clock.py",
    "test_server_crowds.py",
    "test_server_durability.py",
    "test_server_faults.py",
    "test_server_log.py",
    "test_server_metrics.py",
    "test_server_nginx.py",
    "test_server_refusals.py",
    "test_server_reload.py",
    "test_server_space.py",
    "test_server_start.py",
    "test_server_stalled.py",
    "test_server_unit.py",
    "test_server_upgrade.py",
    "test_server_upstream.py",
)
"""What starts a process, or a whole buildout, for each test, waits for what is slow on
purpose, or is the same on every Python: minutes on each of them."""
KEPT = ("cli/test_cli.py", "hook/test_hook_loading.py", "hook/test_hook_rebuild.py")
"""Of those, what shows that commands and hook work at all."""


def main() -> int:
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    environments = {}
    for version in VERSIONS:
        if version == here:
            continue
        python = find(version)
        if python is None:
            print(f"Python {version} is not here: skipped", flush=True)
        else:
            environments[version] = environment(version, python)
    # All at once: a part of their time is spent waiting for servers.
    with ThreadPoolExecutor(max(1, len(environments))) as pool:
        codes = list(pool.map(run_tests, environments, environments.values()))
    return max(codes, default=0)


# -- which ones are here


def find(version: str) -> str | None:
    """The Python of a version ``3.X`` that runs: on the PATH, else of pyenv."""
    return next((path for path in _candidates(version) if _runs(path, version)), None)


def _candidates(version: str) -> Iterator[str]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = os.path.join(folder, f"python{version}")
        if os.path.isfile(path):
            yield path
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    found = glob.glob(f"{glob.escape(root)}/versions/{version}.*/bin/python")
    yield from sorted(found, key=_numbers, reverse=True)


def _numbers(path: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path)]


def _runs(path: str, version: str) -> bool:
    """A shim of pyenv is there for versions that are not active: it only fails."""
    code = "import ensurepip, sqlite3, ssl, sys; print(*sys.version_info[:2], sep='.')"
    try:
        done = subprocess.run([path, "-c", code], capture_output=True, text=True)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == version


# -- their environments


def environment(version: str, python: str) -> Path:
    """The folder of the virtual environment for `version`, made or made anew."""
    folder = ROOT / f".venv-{version}"
    stamp = folder / "made-of"
    wanted = _made_of(python)
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"setting up {folder.name}, once", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _call(python, "-m", "venv", str(folder))
        pip = (str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check")
        _call(*pip, "install", "--quiet", *REQUIREMENTS)
        stamp.write_text(wanted)
    return folder


def _made_of(python: str) -> str:
    setup = hashlib.sha256((ROOT / "setup.cfg").read_bytes()).hexdigest()
    return "\n".join((python, str(ROOT), setup, *REQUIREMENTS))


def _call(*command: str) -> None:
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")


# -- the tests


def left_out() -> list[Path]:
    """The files of tests that the other Pythons do not run."""
    tests = ROOT / "tests"
    slow = {path for pattern in SLOW for path in tests.glob(pattern)}
    return sorted(slow - {tests / name for name in KEPT})


def run_tests(version: str, folder: Path) -> int:
    """Run the quick tests; what they print is shown where they fail, else its end."""
    command = [str(folder / "bin" / "python"), "-m", "pytest", "-q", "-m", MARKS]
    command += [f"--ignore={path}" for path in left_out()]
    # Two at once would write the same cache.
    command += ["-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    shown = done.stdout.strip() or "pytest said nothing"
    if done.returncode == 0:
        shown = shown.splitlines()[-1]
    print(f"Python {version}: {shown}", flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
