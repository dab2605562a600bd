"""`networkcache server run`: wrong use, what cannot begin, what is said when it began."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from accounts import Operator
from wire import TIMEOUT, ask, files, head, old, pairs, post, put, read_all

from slapos.networkcache.server.configuration.options import Options
from slapos.networkcache.server.runtime.listening import CannotListen
from slapos.networkcache.server.runtime.run import run


def command(*arguments, code=None):
    """Run ``networkcache`` to its end, or ``code`` before it."""
    program = f"import sys; {code or 'pass'}; from slapos.networkcache.cli import main; "
    return subprocess.run(
        [sys.executable, "-c", program + "sys.exit(main())", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def says(done, status, *words):
    """It ended with `status` and one sentence with all `words`."""
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert str(word) in done.stderr


def test_wrong_use(tmp_path):
    root = ["server", "run", "--root", tmp_path / "root"]
    says(command("nothing"), 2, "nothing")
    says(command("server"), 2)
    says(command("server", "run"), 2, "--root DIR", "--config FILE")
    says(command(*root, "--max-content-size", "10"), 2, "GiB")
    says(command(*root, "--stall-timeout", "x"), 2, "min")
    says(command(*root, "--workers", "0"), 2, "worker")
    says(command(*root, "--tls-port", "0"), 2, "--tls-certificate")
    says(command(*root, "--allow-anonymous-upload", "--host", "0.0.0.0"), 2, "loopback")
    says(command(*root, "--allow-anonymous-upload", "--host", ""), 2, "loopback")
    assert not (tmp_path / "root").exists()


def test_help_names_the_commands():
    done = command("--help")
    assert done.returncode == 0
    assert "server" in done.stdout


def test_without_aiohttp_it_says_what_to_install(tmp_path):
    without = "sys.modules['aiohttp'] = None"
    done = command("server", "run", "--root", tmp_path, code=without)
    says(done, 2, "pip install", "slapos.networkcache[server]")
    assert command("server", "run", "--help", code=without).returncode == 0


def test_root_that_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.touch()
    says(command("server", "run", "--root", file / "root"), 1, file, "cannot")
    says(command("server", "run", "--root", "/proc/root"), 1, "/proc/root")


def test_port_in_use(server, tmp_path):
    done = command("server", "run", "--root", tmp_path / "other", "--port", server.port)
    says(done, 1, server.port, "in use")
    with pytest.raises(CannotListen):
        run(Options(tmp_path / "other", port=server.port))


def test_root_in_use(server):
    done = command("server", "run", "--root", server.root, "--port", 0)
    says(done, 1, server.root, "another")
    assert ask(server, "GET", "/").status == 200


def test_authority_that_is_away(make_server, tmp_path):
    server = make_server()
    Operator(server.root, tmp_path).add("zoe", "pypi")
    assert server.stop() == 0
    (server.root / "authority").rename(tmp_path / "away")
    done = command("server", "run", "--root", server.root, "--port", 0)
    says(done, 1, f"restore {server.root}/authority from a backup")
    assert not (server.root / "authority").exists()


def test_certificate_that_does_not_parse(tmp_path):
    bad = tmp_path / "bad.pem"
    bad.write_text("nonsense")
    tls = ["--tls-port", 0, "--tls-certificate", bad, "--tls-key", bad]
    done = command("server", "run", "--root", tmp_path / "root", "--port", 0, *tls)
    says(done, 2, bad, "TLS")


def test_ready_is_one_line(server):
    assert server.url.startswith("http://127.0.0.1:")
    assert server.stop() == 0
    assert server.errors.read_text() == ""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_unix_socket_goes_with_the_server(make_server, workers):
    with tempfile.TemporaryDirectory() as folder:  # its path is short enough
        bound = Path(folder) / "socket"
        server = make_server("--port", "0", "--socket", str(bound), "--workers", workers)
        assert bound.is_socket()
        assert server.stop() == 0
        assert not bound.exists()


def test_other_loopback_address(make_server):
    try:
        server = make_server("--host", "::1")
    except RuntimeError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert server.url == f"http://[::1]:{server.port}"
    with socket.create_connection(("::1", server.port), timeout=TIMEOUT) as sock:
        sock.sendall(head("GET", "/", "Connection: close"))
        assert read_all(sock).startswith(b"HTTP/1.1 200 ")


def test_what_was_put_is_there_after_a_restart(server):
    digest = post(server, b"content")
    put(server, "key", old(digest))
    assert server.stop() == 0
    server.start()
    assert ask(server, "GET", f"/shacache/{digest}").body == b"content"
    assert pairs(server, "key") == [old(digest)]


def test_root_is_a_folder_whatever_its_name(make_server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server = make_server(root=Path("memory:"))
    digest = post(server, b"content")
    assert files(tmp_path / "memory:") == [digest]
