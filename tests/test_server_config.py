"""The options of a server: the table that they stand in, on the command line, in a file,
and in the sample of ``examples``."""

from __future__ import annotations

import argparse
import re
from configparser import ConfigParser
from dataclasses import fields
from pathlib import Path

import pytest
from test_server_start import command, says
from wire import ask

from slapos.networkcache.cli.server import serve
from slapos.networkcache.configfile import read_section
from slapos.networkcache.errors import InvalidConfiguration
from slapos.networkcache.server.configuration.file import combine, parse, read
from slapos.networkcache.server.configuration.options import Options, UpstreamUrls
from slapos.networkcache.server.configuration.table import OPTIONS

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "examples/server/networkcache.cfg"
HERE = Path("/here")
NAMES = [option.name for option in OPTIONS]


def configuration(folder: Path, *lines: str) -> Path:
    path = folder / "server.cfg"
    path.write_text("\n".join(["[server]", *lines, ""]))
    return path


def typed(*words: object) -> Options:
    """What the command line says."""
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return serve.options_of(parser.parse_args(list(map(str, words))))


# -- the table


def test_the_table_has_every_option_once():
    assert sorted(option.field for option in OPTIONS) == sorted(
        field.name for field in fields(Options)
    )
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize(
    "option", [o for o in OPTIONS if o.default not in (None, ())], ids=lambda o: o.name
)
def test_a_default_is_shown_as_it_is_read(option):
    assert option.kind.read(option.kind.show(option.default)) == option.default


def test_the_help_shows_the_defaults():
    shown = " ".join(command("server", "run", "--help").stdout.split())
    for default in ("(127.0.0.1)", "8080", "(1)", "(16 GiB)", "(256 MiB)", "(60 s)"):
        assert default in shown


# -- the sample


def uncommented() -> dict[str, str]:
    """What the sample says once all its examples and defaults are taken for its own."""
    text = re.sub(r"^# (?=[a-z-]+ =|    )", "", SAMPLE.read_text(), flags=re.MULTILINE)
    parser = ConfigParser(interpolation=None)
    parser.read_string(text[text.index("[server]") :])
    return dict(parser["server"])


def test_the_sample_is_read_as_it_stands():
    options = combine({}, SAMPLE)
    assert options.root == Path("/var/lib/networkcache")
    assert options.accel_redirect == "/contents/"


def test_the_sample_shows_every_option_and_its_default():
    shown = uncommented()
    assert list(shown) == NAMES
    values = parse(shown, HERE)
    stated = read_section(str(SAMPLE), "server")
    for option in OPTIONS:
        if option.default not in (None, ()) and option.name not in stated:
            assert values[option.field] == option.default, option.name


# -- the file


def test_every_kind_of_value(tmp_path):
    options = typed(
        "--config",
        configuration(
            tmp_path,
            "root = kept",
            "Workers = 2",
            "allow-anonymous-upload = true",
            "max-content-size = 5 MiB",
            "stall-timeout = 90s",
            "access-log = /var/log/a",
            "upstream =",
            "  http://one.example/shacache/ http://one.example/shadir",
            "  # further away",
            "  https://two.example/c https://two.example/d",
            "keep =",
        ),
    )
    assert options == Options(
        tmp_path / "kept",
        workers=2,
        anonymous=True,
        content_limit=5 << 20,
        stall=90.0,
        access_log=Path("/var/log/a"),
        upstreams=(
            UpstreamUrls("http://one.example/shacache", "http://one.example/shadir"),
            UpstreamUrls("https://two.example/c", "https://two.example/d"),
        ),
    )


def test_the_command_line_goes_before_the_file(tmp_path):
    file = configuration(
        tmp_path, "root = a", "workers = 2", "allow-anonymous-upload = true"
    )
    upstream = ("http://one.example/c", "http://one.example/d")
    given = ["--root", "b", "--no-allow-anonymous-upload", "--upstream", *upstream]
    assert typed("--config", file, *given) == Options(
        Path("b"), workers=2, upstreams=(UpstreamUrls(*upstream),)
    )


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("max-sise = 1 GiB", "no option 'max-sise' (did you mean max-size?)"),
        ("anonymous\x1b = true", r"no option 'anonymous\\x1b'"),
        ("workers = 0", "workers: expected a whole number from 1 to 1000, got '0'"),
        ("workers = ٣", "workers: expected a whole number from 1 to 1000, got '٣'"),
        ("port = 65536", "port: expected a whole number from 0 to 65535, got '65536'"),
        ("max-size = 10", "max-size: expected a number and one of KiB, MiB, GiB, TiB"),
        ("keep = 1 week", "keep: expected a number and one of ms, s, min, h, d"),
        ("upload-through = yes", "upload-through: expected true or false, got 'yes'"),
        ("upstream = http://a.example/", "upstream: expected two URLs in each line"),
        ("upstream = http://u:p@a http:///", "expected an http or https URL"),
        ("public-url = ftp://a.example", "expected an http or https URL"),
        ("public-url = http://u:secret@h/?q", "got 'http://***@h/?q'"),
        (
            "upstream =\n  http://a/c http://u:p@a/d\n  http://b/c http://u:p@a/d",
            "two --upstream have the directory http://***@a/d: leave out one of them",
        ),
        ("tls-port = 1", "--tls-port, --tls-certificate and --tls-key go together"),
        ("accel-redirect = contents", "begins and ends with a slash"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, line, sentence):
    file = configuration(tmp_path, "root = root", line)
    with pytest.raises(InvalidConfiguration) as raised:
        combine({}, file)
    said = str(raised.value)
    assert said.startswith(f"{file}: ")
    assert sentence in said
    assert said.isprintable()


def test_sections(tmp_path):
    file = configuration(tmp_path, "root = a", "[networkcache]")
    with pytest.raises(InvalidConfiguration, match=r"has a section \[networkcache\]"):
        read(file)
    file.write_text("")
    with pytest.raises(InvalidConfiguration, match=r"has no section \[server\]"):
        read(file)


def test_what_the_commands_say(tmp_path):
    file = configuration(tmp_path, "workers = 2")
    run = ["server", "run", "--config"]
    says(command(*run, file), 2, f"{file} has no option root")
    says(command(*run, tmp_path / "none"), 2, tmp_path / "none", "cannot be read")
    says(command("server", "run", "--root", "r", "--upstream", "a", "b"), 2, "--upstream:")
    file.write_text("[server]\nroot = kept\nstall-timeout = soon\n")
    says(command(*run, file), 2, file, "stall-timeout", "expected", "got 'soon'")
    assert not (tmp_path / "kept").exists()


def test_a_server_runs_by_its_file(make_server, tmp_path):
    server = make_server(
        "--config", str(configuration(tmp_path, "max-content-size = 1 KiB"))
    )
    assert ask(server, "POST", "/shacache", bytes(1024)).status == 201
    assert ask(server, "POST", "/shacache", bytes(1025)).status == 413
