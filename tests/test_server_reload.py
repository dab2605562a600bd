"""SIGHUP: the configuration, TLS and the access log are taken anew, and nothing is cut."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from issuing import Files, Issuer
from wire import TIMEOUT, ask, dial, head, post, read_all, read_head

from slapos.networkcache.digest import Digest
from slapos.networkcache.server.accounts.authority import FOLDER, Authority
from slapos.networkcache.server.configuration.options import Options
from slapos.networkcache.server.runtime.process import Process

LARGE = os.urandom(20_000_000)
BOTH = pytest.mark.parametrize("workers", ["1", "2"])
"""With several workers it is the supervisor that is told."""


class Configured:
    """A server with a configuration file, which `say` writes anew and has read."""

    def __init__(self, make_server, folder: Path, *options: str, **said: str):
        self.file = folder / "server.cfg"
        self.write(**said)
        self.server = make_server("--config", str(self.file), *options)

    def write(self, **said: str) -> None:
        lines = [f"{name.replace('_', '-')} = {value}\n" for name, value in said.items()]
        self.file.write_text("[server]\n" + "".join(lines))

    def say(self, **said: str) -> None:
        self.write(**said)
        self.server.process.send_signal(signal.SIGHUP)

    def takes(self, size: int) -> bool:
        """Whether a content of `size` bytes may be uploaded."""
        return ask(self.server, "POST", "/shacache", bytes(size)).status == 201

    def complains(self, words: str) -> None:
        """It says so on standard error."""
        until(lambda: words in self.server.errors.read_text())
        assert "Traceback" not in self.server.errors.read_text()


def until(happened: Callable[[], bool], times: int = 1) -> None:
    """Wait until it has happened so many times in a row: over all workers."""
    end, row = time.monotonic() + TIMEOUT, 0
    while row < times:
        row = row + 1 if happened() else 0
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def configured(make_server, tmp_path):
    return lambda *options, **said: Configured(make_server, tmp_path, *options, **said)


@BOTH
def test_limits_change_and_nothing_is_cut(configured, workers):
    one = configured("--workers", workers, max_content_size="30 MiB")
    digest = post(one.server, LARGE)
    lines = head("POST", "/shacache", f"Content-Length: {len(LARGE)}", "Connection: close")
    with dial(one.server) as up, dial(one.server) as down:
        up.sendall(lines + LARGE[:5_000_000])
        down.sendall(head("GET", f"/shacache/{digest}", "Connection: close"))
        read_head(down)
        one.say(max_content_size="1 KiB", stall_timeout="10 min")
        until(lambda: not one.takes(1025), times=10)
        up.sendall(LARGE[5_000_000:])
        assert read_head(up).startswith(b"HTTP/1.1 201 ")
        assert Digest.of(read_all(down)).hex == digest
    assert one.takes(1024)
    assert one.server.errors.read_text() == ""


@BOTH
def test_a_configuration_that_is_wrong_changes_nothing(configured, workers):
    one = configured("--workers", workers, max_content_size="1 KiB")
    one.say(max_content_size="2 KiB", keep="for ever")
    one.complains(f"the configuration stays as it was: {one.file}: keep: expected")
    assert one.takes(1024)
    assert not one.takes(1025)
    one.say(max_content_size="2 KiB")
    until(lambda: one.takes(2048), times=10)


@BOTH
def test_an_authority_that_is_away_changes_nothing(configured, workers):
    """And it can be told again: nothing of what reloads has ended."""
    one = configured("--workers", workers, max_content_size="1 KiB")
    certificate = one.server.root / "authority/certificate.pem"
    away = certificate.rename(certificate.with_suffix(".away"))
    one.say(max_content_size="2 KiB")
    one.complains("the configuration stays as it was: cannot read")
    away.rename(certificate)
    assert not one.takes(1025)
    one.say(max_content_size="2 KiB")
    until(lambda: one.takes(2048), times=10)


@BOTH
def test_what_fails_only_when_it_is_made_changes_nothing(configured, workers):
    """And it can be told again: nothing of what reloads has ended."""
    one = configured("--workers", workers, max_content_size="1 KiB")
    nobody = "http://127.0.0.1:1/shacache http://127.0.0.1:1/shadir"
    fills = one.server.root / "fills"
    fills.touch()
    one.say(max_content_size="2 KiB", upstream=nobody)
    one.complains("the configuration stays as it was: cannot make the folder")
    assert not one.takes(1025)
    fills.unlink()
    one.say(max_content_size="2 KiB", upstream=nobody)
    until(lambda: one.takes(2048), times=10)


@BOTH
def test_what_takes_a_restart_is_said(configured, workers):
    one = configured("--workers", workers, max_content_size="1 KiB", host="127.0.0.1")
    one.say(max_content_size="2 KiB", host="127.0.0.2", tls_port="1")
    one.complains("--tls-port, --tls-certificate and --tls-key go together")
    one.say(max_content_size="2 KiB", host="127.0.0.2")
    until(lambda: one.takes(2048), times=10)
    one.say(max_content_size="3 KiB", host="127.0.0.2")
    until(lambda: one.takes(3072), times=10)
    # Once each time, however many workers there are.
    said = one.server.errors.read_text()
    assert said.count("a change of --host takes a restart\n") == 2, said


@BOTH
def test_uploads_stay_closed_where_its_address_stays(make_server, tmp_path, workers):
    """What the file says is good by itself, but its host takes a restart."""
    make = partial(make_server, anonymous=False)
    one = Configured(make, tmp_path, "--workers", workers, host="0.0.0.0")
    one.say(host="127.0.0.1", allow_anonymous_upload="true")
    one.complains("the configuration stays as it was: --allow-anonymous-upload is for")
    assert "a change of --host takes a restart\n" in one.server.errors.read_text()
    local = {"Host": "127.0.0.1"}
    assert ask(one.server, "POST", "/shacache", b"nobody's", local).status == 401


@BOTH
def test_a_path_that_is_none_changes_nothing(configured, workers):
    one = configured("--workers", workers, max_content_size="1 KiB")
    one.say(max_content_size="2 KiB", access_log="a\0b")
    one.complains("access-log: expected a path without a NUL character, got 'a\\x00b'")
    one.say(max_content_size="2 KiB")
    until(lambda: one.takes(2048), times=10)


def test_a_fault_of_a_reload_ends_nothing(tmp_path, capsys):
    """One of the server itself, that nobody foresaw."""
    options = Options(tmp_path, port=0)
    Authority(tmp_path / FOLDER)
    faults = [RecursionError("nobody foresaw it")]

    def reread() -> Options:
        if faults:
            raise faults.pop()
        return options

    with closing(Process(options, reread)) as process:
        assert not process.reload()
        assert "stays as it was: nobody foresaw it" in capsys.readouterr().err
        assert process.reload()


@BOTH
def test_the_access_log_is_opened_anew(configured, workers):
    """As logrotate wants it: what was moved away is not written to any more."""
    server = configured("--workers", workers).server
    ask(server, "GET", "/before")
    assert server.requests(1)[0]["path"] == "/before"
    moved = server.log.rename(server.log.with_name("moved"))
    server.process.send_signal(signal.SIGHUP)
    until(server.log.exists)
    until(lambda: bool(answered(server)), times=5)
    assert "/before" not in server.log.read_text()
    lines = [json.loads(line) for line in moved.read_text().splitlines()]
    assert lines[0]["path"] == "/before"


def answered(server) -> list[str]:
    """What the log has about a request that is sent now."""
    ask(server, "GET", "/after")
    return [line["path"] for line in server.requests() if line["path"] == "/after"]


# -- TLS


@pytest.fixture
def issuer(tmp_path) -> Issuer:
    folder = tmp_path / "tls"
    folder.mkdir()
    return Issuer(folder)


def shown(server, issuer: Issuer) -> bytes:
    """The certificate that the server shows to a new connection."""
    context = ssl.create_default_context(cafile=issuer.files.certificate)
    port = int(server.tls_url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as tls,
    ):
        return tls.getpeercert(True)


def in_der(files: Files) -> bytes:
    return ssl.PEM_cert_to_DER_cert(files.certificate.read_text())


@BOTH
def test_certificate_and_key_are_exchanged(configured, issuer, workers):
    files = issuer.issue("127.0.0.1")
    said = {"tls_certificate": str(files.certificate), "tls_key": str(files.key)}
    one = configured("--workers", workers, "--tls-port", "0", **said)
    before = in_der(files)
    assert shown(one.server, issuer) == before
    key = files.key.read_text()
    issuer.issue("127.0.0.1")  # in the same files
    one.say(**said)
    until(lambda: shown(one.server, issuer) == in_der(files), times=10)
    after = in_der(files)
    assert after != before
    # A certificate with a key that does not belong to it: what was there goes on.
    issuer.issue("127.0.0.1")
    files.key.write_text(key)
    one.say(**said)
    one.complains("the configuration stays as it was: cannot use")
    assert {shown(one.server, issuer) for _ in range(10)} == {after}
