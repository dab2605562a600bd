"""``make demo``: what a newcomer sees first, run as they run it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from configparser import ConfigParser
from importlib.metadata import version
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
HANGS = 300
"""Seconds; the demo takes a tenth of it."""


def demo(folder, **options):
    command = [sys.executable, "-B", str(EXAMPLES / "demo"), str(folder)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder.parent,
        **options,
    )


def left_running(folder):
    """The command lines of processes that have to do with `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended while we looked
            continue
        if any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found


def table(output, part=0):
    """The rows of the table that are about files, each a list of what nodes have, by file
    name; those below as part 1."""
    lines = output.splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("-----")]
    end = (*rules, lines.index("", rules[-1]))[part + 1]
    rows = (re.split(r"  +", line) for line in lines[rules[part] + 1 : end])
    return {name: cells[-3:] for name, *cells in rows}


def projects(urls):
    """The projects whose index pages were opened."""
    pages = (url.rstrip("/") for url in urls.split() if url.endswith("/"))
    return [url.rpartition("/")[2] for url in pages]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "folder"


@pytest.fixture(scope="module")
def output(folder):
    process = demo(folder)
    output, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 0, output
    return output


@pytest.mark.buildout
class TestDemo:
    def test_node_two_takes_every_file_from_the_cache(self, output):
        files = table(output)
        assert {one for one, two, three in files.values()} == {
            "origin, published",
            "index, published",
        }
        assert {two for one, two, three in files.values()} == {"network cache"}
        assert "setuptools" in {name.partition("-")[0] for name in files}

    def test_node_two_asks_no_index(self, output, folder):
        """Not even for pages, and neither does pip, which node one let ask."""
        sums = table(output, 1)
        assert sums["5 index pages"][:2] == ["index, published", "network cache"]
        one, two, _ = sums["requests to origin and index"]
        assert int(one) >= 12
        assert two == "0"
        hosts = (folder / "node-two" / "hosts.log").read_text().split()
        assert {host.partition(":")[0] for host in hosts} == {"127.0.0.1"}
        assert "Getting" in (folder / "node-two" / "buildout.log").read_text()

    def test_node_two_asks_the_cache_little(self, output):
        """What node one used is known from the record of its run: a batch, the record, a
        batch, and then each content once."""
        _, two, _ = table(output, 1)["requests to the network cache"]
        assert int(two) <= 3 + len(table(output)) + 5 + 1

    def test_node_three_refuses_what_was_changed(self, output):
        files = table(output)
        assert files["hello-1.0.tar.gz"][2] == "refused"
        assert files["buildout.cfg"][2] == "network cache"
        refused = "hello-1.0.tar.gz is not taken from the network cache: the "
        (line,) = (line for line in output.splitlines() if refused in line)
        assert "do not have the digest" in line

    def test_eggs_are_of_both_kinds(self, output):
        kinds = {name.rpartition(".")[2] for name in table(output)}
        assert kinds == {"cfg", "gz", "whl"}

    def test_no_index_is_asked_for_us_or_for_everything(self, output, folder):
        """Node one opens the page of each project that it needs, and nothing else."""
        opened = projects((folder / "node-one" / "urls.log").read_text())
        assert list(dict.fromkeys(opened)) == [
            "slapos-recipe-cmmi",
            "setuptools",
            "slapos-recipe-build",
            "zc-recipe-egg",
            "tabulate",
        ]
        # Which of them node three gets, once it found that the cache lies, is a race.
        third = projects((folder / "node-three" / "urls.log").read_text())
        assert {"setuptools"} <= set(third) <= set(opened)

    def test_everything_is_in_its_folder(self, output, folder):
        assert list(folder.parent.iterdir()) == [folder]
        assert all(
            not any((folder / n / "tmp").iterdir()) for n in ("node-one", "node-two")
        )

    def test_nothing_is_left_running(self, output, folder):
        assert left_running(folder) == []

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_nothing_is_left_running_when_stopped(self, tmp_path, number):
        folder = tmp_path / "folder"
        log = folder / "node-one" / "buildout.log"
        process = demo(folder)
        deadline = time.monotonic() + HANGS
        # Buildout is at work, and so is the server.
        while not (log.exists() and "Getting" in log.read_text()):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(left_running(folder)) >= 3
        process.send_signal(number)
        output, _ = process.communicate(timeout=HANGS)
        assert process.returncode == 128 + number
        assert "Traceback" not in output
        assert left_running(folder) == []


@pytest.mark.buildout
def test_a_failing_build_is_told_and_nothing_is_left_running(tmp_path):
    folder = tmp_path / "folder"
    process = demo(folder, env={**os.environ, "CC": "/bin/false"})
    output, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 1
    assert "The demo failed: node one cannot build" in output
    assert "Traceback" not in output
    assert left_running(folder) == []


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "thesis.tex").touch()
    process = demo(folder)
    output, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 1
    assert "is not empty" in output
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def read(name):
    parser = ConfigParser(interpolation=None)
    parser.read(EXAMPLES / name)
    return parser


def test_the_stack_pins_this_version():
    """Else buildout would ask an index for us."""
    pins = read("stack/slapos.cfg")["versions"]
    assert pins["slapos.networkcache"] == version("slapos.networkcache")


def test_a_profile_only_says_whom_it_believes():
    assert list(read("software/hello/software.cfg.in")["networkcache"]) == [
        "signature-certificate-list"
    ]
