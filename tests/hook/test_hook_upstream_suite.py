"""zc.buildout's own tests of what the hook touches, with the hook in every buildout that
they run and a network cache that is empty and keeps nothing: they end as without us."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import buildouts
import pytest
from buildouts import AT_START
from incumbents import Unavailable, clean
from nodes import Publisher, reads

pytestmark = [pytest.mark.buildout, pytest.mark.long]

TESTS = ("download.txt", "extends-cache.txt", "downloadcache.txt", "allowhosts.txt")
RUNNER = Path(__file__).parents[1] / "upstream_suite.py"
TIMEOUT = 1200


def run_suite(python: Path, folder: Path, *scripts: str, **variables: str) -> dict:
    """What became of each test, and how many files they left behind; `scripts` are run by
    every Python at its start."""
    folder.mkdir()
    log = folder / "requests"
    log.touch()
    # Those of pip say whom it may ask; those of Python, which would keep it from writing
    # bytecode, are left out.
    environment = clean() | {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "RUN_AT_START": " ".join(str(AT_START / name) for name in scripts),
        "REQUEST_LOG": str(log),
        **variables,
    }
    done = subprocess.run(
        [python, RUNNER, *TESTS],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    asked = [line for line in log.read_text().splitlines() if "/simple/ " in f"{line} "]
    assert asked == [], "the root page of a package index"
    left = sum(path != log for path in folder.iterdir())
    return {**json.loads(done.stdout.splitlines()[-1]), "left": left}


@pytest.mark.parametrize("version", buildouts.TOOLS)
def test_they_end_as_without_us(version, make_server, tmp_path):
    try:
        buildout = buildouts.buildout(version, testers=True)
    except Unavailable as error:
        pytest.skip(str(error))
    without = run_suite(buildout.python, tmp_path / "without", "log_requests.py")
    for name in TESTS:
        assert without[name] == {"run": 1, "wrong": []}

    server = make_server(anonymous=False)
    publisher = Publisher(tmp_path)
    config = tmp_path / "slapos.cfg"
    config.write_text(
        f"[networkcache]\n{reads(server, publisher)}{publisher.options(server)}"
    )
    scripts = ("log_requests.py", "hook.py")
    variables = {"NETWORKCACHE_CONFIG": str(config)}
    assert run_suite(buildout.python, tmp_path / "with", *scripts, **variables) == without
    asked = server.requests()
    assert {line["status"] for line in asked if line["method"] != "GET"} <= {200, 401, 403}
    assert any("urlmd5:" in line["path"] or line["method"] == "POST" for line in asked)
