"""Export and import by hand: between servers that serve, through files and pipes."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import time
from contextlib import closing

import pytest
from commands import SCRIPTS, TIMEOUT
from keeping import here, keep, keys, make_root, name
from wire import ask, old, ours, pairs, post, put

from slapos.networkcache.certificates import generate
from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key
from slapos.networkcache.record import Used, encode_record


@pytest.fixture
def folder(tmp_path):
    """A server's folder: two keys, and one content each."""
    with closing(make_root(tmp_path / "root")) as root:
        for number in "12":
            name(root, f"pypi:a={number}", keep(root, number.encode() * 10_000))
    return tmp_path / "root"


def test_from_a_server_that_serves_into_another(operate, make_server, tmp_path):
    near, far = make_server(), make_server("--workers", "2")
    digest = post(near, b"content" * 50_000)
    for entry in (ours("key", digest), old(digest, url="http://example.com/a")):
        assert put(near, "key", entry).status == 201
    done = operate("export", tmp_path / "file", "--root", near.root, "--prefix", "key")
    rows = dict(line.rsplit(None, 1) for line in done.stdout.decode().splitlines()[1:3])
    assert rows == {"keys": "1", "pairs": "2"}
    assert oct((tmp_path / "file").stat().st_mode & 0o777) == oct(0o666 & ~umask())
    operate("import", tmp_path / "file", "--root", far.root)
    assert pairs(far, "key") == pairs(near, "key")
    assert ask(far, "GET", f"/shacache/{digest}").body == b"content" * 50_000
    assert os.listdir(tmp_path / "server0" / "v1" / "tmp") == []


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_through_a_pipe_into_a_folder_that_is_new(folder, tmp_path):
    command = [str(SCRIPTS / "networkcache"), "server"]
    export = [*command, "export", "-", "--root", str(folder), "--all"]
    take = [*command, "import", "-", "--root", str(tmp_path / "far")]
    with subprocess.Popen(export, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        done = subprocess.run(
            take, stdin=first.stdout, capture_output=True, timeout=TIMEOUT, check=True
        )
        assert b"contents  2" in first.stderr.read()
    assert b"contents                  2" in done.stdout
    with closing(make_root(tmp_path / "far")) as root:
        assert keys(root) == {"pypi:a=1", "pypi:a=2"}
        assert len(here(root)) == 2


def test_a_profile_is_named_by_its_url_its_file_or_the_digest_of_that(
    operate, folder, tmp_path
):
    profile = tmp_path / "software.cfg"
    profile.write_text("[buildout]\n")
    digest = hashlib.sha256(profile.read_bytes()).hexdigest()
    url = "http://example.com/software.cfg"
    with closing(make_root(folder)) as root:
        for key in (Key.for_run(digest), Key.for_run(url)):
            used = [Used(Key("pypi:a=1"), Digest.of(b"1" * 10_000), 10_000)]
            name(root, key.text, keep(root, encode_record(used)))
    for what in (profile, digest, url, f"{url}#fragment"):
        done = operate("export", "-", "--root", folder, "--run", what)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            names = {member.name for member in tar if member.name.startswith("entries/")}
        run_key = Key.for_run(url if "://" in str(what) else digest)
        assert names == {f"entries/{run_key}.json", "entries/pypi:a=1.json"}


def test_what_is_missing_is_named_and_the_rest_is_in_the_file(operate, folder, tmp_path):
    digest = Digest.of(b"1" * 10_000).hex
    (folder / "v1" / digest[:2] / digest[2:4] / digest).unlink()
    file = tmp_path / "file"
    done = operate("export", file, "--root", folder, "--all", code=1)
    assert f"left out, pypi:a=1: the content {digest} is not here\n" == done.stderr
    assert b"keys      1" in done.stdout
    operate("import", file, "--root", tmp_path / "far")


def test_what_is_missing_is_named_where_there_is_nothing_else(operate, folder, tmp_path):
    digest = Digest.of(b"1" * 10_000).hex
    (folder / "v1" / digest[:2] / digest[2:4] / digest).unlink()
    file = tmp_path / "file"
    done = operate("export", file, "--root", folder, "--prefix", "pypi:a=1", code=1)
    assert f"left out, pypi:a=1: the content {digest} is not here\n" in done.stderr
    assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--prefix", "nothing"], 1, "nothing is here of --prefix nothing: nothing is"),
        (["--run", "http://example.com/x.cfg"], 1, "nothing is here of --run http://"),
        ([], 2, "nobody says what to export: give --run PROFILE, --release URL"),
        (["--run", "nowhere"], 2, "--run takes the URL of a root profile, its file, or"),
    ],
)
def test_what_cannot_be_exported_leaves_no_file(
    operate, folder, tmp_path, arguments, code, said
):
    before = sorted(os.listdir(tmp_path))
    done = operate("export", tmp_path / "file", "--root", folder, *arguments, code=code)
    assert said in done.stderr
    assert sorted(os.listdir(tmp_path)) == before


def test_a_file_is_in_its_place_only_when_it_is_whole(operate, folder, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"the one before")
    script = (
        "import os, sys\n"
        "from slapos.networkcache.cli import main\n"
        "sys.addaudithook(lambda event, args: event == 'os.rename'"
        " and os.kill(os.getpid(), 9))\n"
        "main(['server', 'export', *sys.argv[1:]])\n"
    )
    command = [sys.executable, "-c", script, str(file), "--root", str(folder), "--all"]
    assert subprocess.run(command, timeout=TIMEOUT).returncode == -9
    assert file.read_bytes() == b"the one before"
    operate("export", file, "--root", folder, "--all")
    assert tarfile.is_tarfile(file)


def test_a_file_that_is_cut_is_refused_and_what_came_stays(operate, folder, tmp_path):
    file, far = tmp_path / "file", tmp_path / "far"
    operate("export", file, "--root", folder, "--all")
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.index(b"entries/pypi:a=2") + 700])
    done = operate("import", file, "--root", far, code=1)
    assert done.stderr.startswith(f"{file}: it is damaged: ")
    assert done.stderr.endswith("; what came before that is taken, and whole\n")
    assert done.stderr.count("\n") == 1
    with closing(make_root(far)) as root:
        assert keys(root) == {"pypi:a=1"}
    file.write_bytes(whole)
    operate("import", file, "--root", far)
    with closing(make_root(far)) as root:
        assert keys(root) == {"pypi:a=1", "pypi:a=2"}


def test_the_limits_of_the_configuration_count(operate, folder, tmp_path):
    file, far = tmp_path / "file", tmp_path / "far"
    operate("export", file, "--root", folder, "--all")
    config = tmp_path / "server.cfg"
    config.write_text(f"[server]\nroot = {far}\nmax-size = 15 KiB\n")
    done = operate("import", file, "--config", config, code=1)
    assert "15.0 KiB of contents at most" in done.stderr
    assert f"import {file} again" in done.stderr


def test_certificates_say_what_is_taken(operate, folder, tmp_path):
    file, pem = tmp_path / "file", tmp_path / "signer.pem"
    operate("export", file, "--root", folder, "--all")
    pem.write_text(generate("ed25519").self_signed("somebody", time.time()))
    import_ = ("import", file, "--root", tmp_path / "far", "--signer-certificate")
    done = operate(*import_, pem, code=1)
    assert b"pairs left out            2" in done.stdout
    assert "left out, pypi:a=1: it is signed by none of the certificates" in done.stderr
    pem.write_text("no certificate")
    done = operate(*import_, pem, code=2)
    assert f"expected certificates in PEM in {pem}, got what does not" in done.stderr


def test_a_file_that_is_not_there(operate, tmp_path):
    done = operate("import", tmp_path / "none", "--root", tmp_path / "far", code=1)
    assert (
        done.stderr == f"networkcache server: {tmp_path}/none: No such file or directory\n"
    )
    assert os.listdir(tmp_path) == []
