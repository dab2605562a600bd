"""The systemd unit of ``examples/server``, and the sample configuration that it names."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest
from wire import TIMEOUT, head, read_all

from slapos.networkcache.server.configuration.file import read
from slapos.networkcache.server.configuration.options import Options
from slapos.networkcache.server.http.connection import LETTING_GO

EXAMPLES = Path(__file__).parents[1] / "examples/server"
UNIT = EXAMPLES / "networkcache.service"
SAMPLE = EXAMPLES / "networkcache.cfg"
COMMAND = "/opt/networkcache/bin/networkcache"
INSTALLED = Path(sys.executable).with_name("networkcache")
NO_NEW_PRIVILEGES, DENY_WRITE_EXECUTE = 38, 65
"""What ``prctl`` calls these options of the unit."""


@pytest.fixture(scope="module")
def service() -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser


@pytest.fixture
def installed(tmp_path) -> Path:
    """The unit, with the command as it is here."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace(COMMAND, str(INSTALLED)))
    return path


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: apt-get install systemd")
    command = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)


def test_systemd_finds_nothing_wrong(installed):
    done = analyze("verify", "--man=no", installed)
    assert (done.returncode, done.stderr) == (0, "")
    installed.write_text(installed.read_text().replace("StateDir", "StateDirr", 1))
    assert "StateDirr" in analyze("verify", "--man=no", installed).stderr


def test_little_is_exposed(installed):
    """By systemd's measure, from 0 to 100."""
    how = ("security", "--offline=true", "--no-pager", "--threshold=20")
    done = analyze(*how, installed)
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze is too old to look at a file: it takes systemd 250")
    assert done.returncode == 0, done.stdout + done.stderr
    before, _, _ = installed.read_text().partition("# It writes in the folders above")
    installed.write_text(before)
    assert analyze(*how, installed).returncode == 1


def test_there_is_time_for_what_runs(service):
    limit = service["Service"]["TimeoutStopSec"]
    assert float(limit) > Options.shutdown + LETTING_GO


def test_it_is_tried_again_for_ever(service):
    """What keeps it from starting, a full disk for one, is over some time; systemd gives up
    after so many starts within an interval."""
    unit = service["Unit"]
    interval = float(unit.get("StartLimitIntervalSec", 10))
    starts = int(unit.get("StartLimitBurst", 5))
    assert service["Service"]["Restart"] == "on-failure"
    assert float(service["Service"]["RestartSec"]) * starts > interval


def test_its_folders_are_those_of_the_sample(service):
    values = read(SAMPLE)
    for directory, place in [
        ("StateDirectory", values["root"]),
        ("RuntimeDirectory", values["socket"].parent),
        ("LogsDirectory", values["access_log"].parent),
    ]:
        assert place.name == service["Service"][directory]


def _restrict() -> None:
    """What the unit asks the kernel for, as far as a process can by itself."""
    prctl = ctypes.CDLL(None).prctl
    prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    prctl(DENY_WRITE_EXECUTE, 1, 0, 0, 0)  # of newer kernels
    os.umask(0o027)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One whose path is short enough for a socket in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_its_command_serves_with_the_sample(service, folder):
    text = SAMPLE.read_text()
    for place in ("/var/lib", "/run", "/var/log"):
        here = folder / place.replace("/", "")
        (here / "networkcache").mkdir(parents=True)
        text = text.replace(f" {place}/networkcache", f" {here}/networkcache")
    (folder / SAMPLE.name).write_text(text)
    command = shlex.split(service["Service"]["ExecStart"])
    command[0], command[-1] = str(INSTALLED), str(folder / SAMPLE.name)
    bound = folder / "run/networkcache/socket"
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, preexec_fn=_restrict, text=True
    )
    with process:
        assert process.stdout.readline() == f"listening on unix:{bound}\n"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(bound))
            connection.sendall(head("GET", "/", "Connection: close"))
            assert read_all(connection).startswith(b"HTTP/1.1 200 ")
        reload = shlex.split(service["Service"]["ExecReload"])
        subprocess.run([*reload[:-1], str(process.pid)], check=True)
        process.terminate()
        assert process.wait(TIMEOUT) == 0
    assert '"status": 200' in (folder / "varlog/networkcache/access.log").read_text()
    modes = {p.name: p.stat().st_mode & 0o777 for p in (folder / "varlib").rglob("*")}
    assert modes["v1"] == 0o750  # nginx reads it as one of the group
    assert modes["entries.sqlite"] == 0o640
