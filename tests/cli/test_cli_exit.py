"""How ``networkcache upload`` and ``download`` end, and what they say then."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import termios

import pytest
from commands import CONTENT, SCRIPTS, SHA512, TIMEOUT, URL, Node


def test_not_there(node) -> None:
    done = node.run("download", "-u", "http://example.com/not-there")
    assert (done.returncode, done.stdout) == (1, b"")
    assert "no source has an entry" in done.stderr


def test_unreachable(node) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
    for option in ("cache", "dir"):
        node.options[f"download-{option}-url"] = dead
        node.options[f"upload-{option}-url"] = dead
    done = node.run("download", "-u", URL)
    assert (done.returncode, done.stdout) == (3, b"")
    assert dead in done.stderr
    file = node.write("hello", CONTENT)
    assert node.run("upload", "-f", file, "-u", URL).returncode == 3
    assert node.run("upload", "-f", file).returncode == 3


def test_refused_by_the_server(tmp_path, make_server) -> None:
    node = Node.of(tmp_path / "node", make_server(anonymous=False))
    done = node.run("upload", "-f", node.write("hello", CONTENT), "-u", URL)
    assert done.returncode == 1
    assert "shacache-cert-file" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("upload",),
        ("upload", "-k", "x:y"),
        ("upload", "-f", "missing", "-k", "x:y"),
        ("upload", "-f", ".", "-k", "x:y"),
        ("upload", "-u", "missing"),
        ("upload", "-u", "slapos.cfg"),
        ("upload", "-u", "ftp://example.com/x"),
        ("upload", "-f", "slapos.cfg", "-k", "x:y", "no-equals-sign"),
        ("upload", "-f", "slapos.cfg", "-k", "x:y", "-m", "slapos.cfg"),
        ("upload", "-f", "slapos.cfg", "-k", "x:y", "sha512=0"),
        ("upload", "-f", "slapos.cfg", "-k", "x/y"),
        ("upload", "-f", "slapos.cfg", "-k", "x:y", "-u", URL),
        ("download",),
        ("download", "-k", "x/y"),
        ("download", "-k", "x:y", "-u", URL),
        ("download", "-k", "x:y", "--no-such-option"),
    ],
)
def test_wrong_use(node, arguments) -> None:
    done = node.run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr


@pytest.mark.parametrize(
    ("without", "sentence"),
    [
        ("signature-private-key-file", "signature-private-key-file"),
        ("upload-cache-url upload-dir-url", "upload-cache-url"),
    ],
)
def test_a_configuration_that_does_not_suffice(node, without, sentence) -> None:
    for option in without.split():
        del node.options[option]
    done = node.run("upload", "-f", node.write("hello", CONTENT), "-u", URL)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_no_source_is_wrong_use(node) -> None:
    for option in ("download-cache-url", "download-dir-url"):
        del node.options[option]
    done = node.run("download", "-u", URL)
    assert done.returncode == 2
    assert "download-cache-url" in done.stderr


def test_an_unknown_option_is_refused_with_a_guess(node) -> None:
    node.options["download-cach-url"] = "http://localhost"
    done = node.run("download", "-u", URL)
    assert done.returncode == 2
    assert "download-cach-url (did you mean download-cache-url?)" in done.stderr


def test_what_was_completed_is_said_when_asked(published) -> None:
    published.options["download-binary-dir-url"] = published.options.pop("download-dir-url")
    assert published.run("download", "-u", URL).stderr == ""
    done = published.run("download", "-v", "-u", URL)
    assert done.stdout == CONTENT
    assert "taken from download-binary-dir-url" in done.stderr


def test_a_signer_that_this_node_does_not_believe_is_warned(node) -> None:
    node.options["signature-certificate-list"] = ""
    (node.folder / "key.pem").chmod(0o644)
    done = node.run("upload", "-f", node.write("hello", CONTENT), "-u", URL)
    assert done.returncode == 0
    assert "not in signature-certificate-list" in done.stderr
    assert "chmod 600" in done.stderr


@pytest.mark.parametrize("arguments", [("-k", "x:big"), ("-l", "-k", "x:big")])
def test_a_reader_that_goes_away_is_no_fault(node, arguments) -> None:
    big = node.write("big", os.urandom(1 << 20))
    assert node.run("upload", "-f", big, "-k", "x:big").returncode == 0
    download = subprocess.Popen(
        [SCRIPTS / "networkcache", "download", "-c", node.config, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=node.clean(),
    )
    download.stdout.close()
    with download.stderr:
        assert download.stderr.read() == b""
    assert download.wait(TIMEOUT) == 128 + signal.SIGPIPE


def test_a_person_who_looks_on_sees_how_far_it_is(published) -> None:
    """A bar appears where standard error is a terminal; the delay is for long transfers."""
    code = (
        "import sys; from slapos.networkcache.cli import main, terminal\n"
        "terminal._DELAY = 0; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "download", "-c", published.config, "-u", URL]
    how = {"stdout": subprocess.PIPE, "env": published.clean(), "timeout": TIMEOUT}
    done = subprocess.run(command, stderr=subprocess.PIPE, **how)
    assert (done.stdout, done.stderr) == (CONTENT, b"")
    ours, theirs = os.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    done = subprocess.run(command, stderr=theirs, **how)
    shown = os.read(ours, 1 << 16)
    os.close(theirs)
    os.close(ours)
    assert done.stdout == CONTENT
    assert SHA512[:16].encode() in shown
    assert b"100%" in shown


def test_control_c_ends_it_without_a_traceback(node) -> None:
    """The source takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        node.options.update({"download-cache-url": url, "download-dir-url": url})
        download = subprocess.Popen(
            [SCRIPTS / "networkcache", "download", "-c", node.config, "-u", URL],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=node.clean(),
        )
        connection, _ = silent.accept()
        with connection:
            download.send_signal(signal.SIGINT)
            out, errors = download.communicate(timeout=TIMEOUT)
    assert (download.returncode, out, errors) == (130, b"", b"")
