"""``slapos.networkcache:server``: a server as a part of a buildout."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import zc.buildout
from sections import built, parts, profile, refused, section
from wire import ask, files, ours, pairs, post, put

from slapos.networkcache.recipes.server import Recipe
from slapos.networkcache.server.configuration.file import combine


@contextmanager
def started(node, *arguments: str) -> Iterator[SimpleNamespace]:
    """What ``bin/cache`` starts, as `wire` asks it."""
    process = subprocess.Popen(
        [str(node.place / "bin/cache"), *arguments],
        cwd=node.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        line = process.stdout.readline()
        try:
            assert line.startswith("listening on http://"), process.stderr.read()
            yield SimpleNamespace(port=int(line.rpartition(":")[2]))
        finally:
            process.terminate()
            process.communicate()
    assert process.returncode == 0


def serving(node, **options: object) -> None:
    profile(node, section("server", "cache", port=0, **options), parts="cache")


def test_a_buildout_starts_what_it_made(site):
    """What was put stays, and the authority is the same, whatever becomes of the part."""
    node = site.bare_node()
    key = node.place / "var/cache/authority/key.pem"
    serving(node, allow_anonymous_upload="true")
    built(node.buildout())
    with started(node) as server:
        digest = post(server, b"content")
        assert put(server, "key", ours("key", digest)).status == 201
    before = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    serving(node, max_content_size="1 KiB")
    built(node.buildout())
    with started(node, "--max-content-size", "2 KiB") as server:
        assert ask(server, "GET", f"/shacache/{digest}").body == b"content"
        assert pairs(server, "key") == [ours("key", digest)]
        assert ask(server, "POST", "/shacache", b"content").status == 401
    profile(node, parts="")
    built(node.buildout())
    assert parts(node) == []
    assert not (node.place / "bin" / "cache").exists()
    assert key.read_bytes() == before
    assert files(node.place / "var/cache") == [digest]


SAYS = """\
[told]
recipe = testrecipes:script
script = say.py
url = ${cache:url}
configuration = ${cache:configuration}
authority = ${cache:authority-certificate}

[numbers]
workers = 2
"""


def test_the_configuration_and_what_other_parts_are_told(site):
    """Paths are relative to the buildout, and lines stay lines."""
    node = site.bare_node()
    node.write("buildout/say.py", "print('told', *sorted(options.items()))")
    own = section(
        "server",
        "cache",
        root="kept",
        access_log="var/log/requests",
        upstream="\n  http://one.example/c http://one.example/d"
        "\n  http://two.example/c http://two.example/d",
        workers="${numbers:workers}",
    )
    profile(node, own, SAYS, parts="told")
    said = built(node.buildout()).said
    file = node.place / "parts/cache/networkcache.cfg"
    options = combine({}, file)
    assert options.root == node.place / "kept"
    assert options.access_log == node.place / "var/log/requests"
    assert [upstream.cache for upstream in options.upstreams] == [
        "http://one.example/c",
        "http://two.example/c",
    ]
    assert options.workers == 2
    assert f"('configuration', '{file}')" in said
    assert f"('authority', '{node.place}/kept/authority/certificate.pem')" in said
    assert "('url', 'http://127.0.0.1:8080')" in said


def test_an_update_leads_the_script_to_the_eggs_of_now(site):
    node = site.bare_node()
    serving(node)
    built(node.buildout())
    script = node.place / "bin/cache"
    made = script.read_text()
    script.write_text("eggs of then")
    assert "Updating cache" in built(node.buildout()).said
    assert script.read_text() == made


def recipe(folder: Path, **options: str) -> dict[str, str]:
    """The options of a part, with those that the recipe adds."""
    given = {name.replace("_", "-"): value for name, value in options.items()}
    places = {f"{name}-directory": str(folder / name) for name in ("parts", "bin")}
    Recipe({"buildout": {"directory": str(folder), **places}}, "part", given)
    return given


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"port": "9000", "host": "::1"}, "http://[::1]:9000"),
        ({"socket": "s", "public_url": "https://a.example/"}, "https://a.example"),
        ({"socket": "s", "port": "9000"}, "http://127.0.0.1:9000"),
        ({"socket": "s"}, None),
        ({"port": "0"}, None),
        ({"host": "0.0.0.0"}, None),
        ({"host": "::", "public_url": "http://a.example"}, "http://a.example"),
    ],
)
def test_the_url(tmp_path, options, url):
    told = recipe(tmp_path, **options)
    assert told.get("url") == url
    assert told.get("dir-url") == (url and f"{url}/shadir")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"max_sise": "1 GiB"}, "no option 'max-sise' (did you mean max-size?)"),
        ({"workers": "0"}, "workers: expected a whole number from 1 to 1000, got '0'"),
        ({"tls_port": "1"}, "--tls-port, --tls-certificate and --tls-key go together"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, options, sentence):
    with pytest.raises(zc.buildout.UserError) as raised:
        recipe(tmp_path, **options)
    assert sentence in str(raised.value)


def test_what_is_wrong_is_said_before_anything_is_made(site):
    node = site.bare_node()
    serving(node, max_sise="1 GiB")
    assert "did you mean max-size?" in refused(node.buildout())
    assert parts(node) == []
    assert not (node.place / "var").exists()


def test_the_recipe_needs_no_web_server():
    """Nor does a buildout that only writes what is to run elsewhere."""
    code = "import sys; import slapos.networkcache.recipes.server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "slapos.networkcache.recipes.server" in done.stdout
    assert not {"aiohttp", "jinja2", "prometheus_client"} & set(done.stdout.split())
