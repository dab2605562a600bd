"""README.rst: what it shows is there, what is there it shows, and what it tells runs."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from configparser import ConfigParser
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path

import docutils.core
import pytest
from commands import SCRIPTS, TIMEOUT
from compiling import profile
from docutils import nodes
from origin import Origin

from slapos.networkcache.cli import (
    COMMANDS,
    DONE,
    REFUSED,
    UNKNOWN,
    WRONG_USE,
    main,
)
from slapos.networkcache.config import OPTIONS
from slapos.networkcache.errors import Reason

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.rst").read_text()
QUIET = {"report_level": 5, "halt_level": 6}
README = docutils.core.publish_doctree(TEXT, settings_overrides=QUIET)

ALIASES = {
    "networkcache-upload": "networkcache upload",
    "networkcache-download": "networkcache download",
    "generate-signature-key": "networkcache key generate",
}
SECTIONS = {
    "networkcache buildout": "In a profile",
    "networkcache lookup": "Look up",
    "networkcache why": "Why",
    "networkcache doctor": "Doctor",
    "networkcache download": "Download",
    "networkcache upload": "Upload",
    "networkcache key generate": "Make a key",
    "networkcache account request": "Accounts",
    "networkcache server run": "A server",
    **{
        f"networkcache server account {step}": "Accounts"
        for step in ("add", "list", "show", "revoke", "renew")
    },
    "networkcache server log": "Accounts",
    **{
        f"networkcache server {step}": "Space"
        for step in ("collect", "pin", "unpin", "entry list", "entry remove")
    },
    "networkcache server check": "Check and repair",
    "networkcache server export": "Without a network between",
    "networkcache server import": "Without a network between",
    "networkcache server backup": "Backup and restore",
    **{
        f"networkcache release {step}": "Release"
        for step in ("install", "build", "publish", "remove", "list", "show")
    },
}
"""Where the options of each command stand."""
OF_PIP = {"--force-reinstall", "--no-deps"}
AN_OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
A_COMMAND = re.compile(r"(?<![\w.-])networkcache ([a-z]+)(?: ([a-z]+))?")


def section(title):
    (found,) = (s for s in README.findall(nodes.section) if s[0].astext() == title)
    return found


def code(node):
    """Everything that is set as code there."""
    both = (*node.findall(nodes.literal), *node.findall(nodes.literal_block))
    return [found.astext() for found in both]


def blocks(title):
    return [block.astext() for block in section(title).findall(nodes.literal_block)]


def first_column(title):
    """The literals that head the rows of the table in that section."""
    rows = [row for body in section(title).findall(nodes.tbody) for row in body]
    return [literal.astext() for row in rows for literal in row[0].findall(nodes.literal)]


# -- commands and their options


def parsers(name, parser):
    """The parser of each command that can be run, by its words."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, sub in action.choices.items():
                yield from parsers(f"{name} {word}", sub)
            return
    yield name, parser


def known_options(parser):
    return {word for action in parser._actions for word in action.option_strings}


def all_parsers():
    for name in COMMANDS:
        parser = argparse.ArgumentParser()
        import_module(f"slapos.networkcache.cli.{name}").add_arguments(parser)
        yield from parsers(f"networkcache {name}", parser)


PARSERS = dict(all_parsers())


def test_every_command_is_shown():
    assert {name for name in first_column("Commands") if " " in name} == set(PARSERS)
    assert set(SECTIONS) == set(PARSERS)


@pytest.mark.parametrize("command", PARSERS)
def test_every_option_is_shown_with_its_command(command):
    commands = section("Commands")
    shared = [node for node in commands if not isinstance(node, nodes.section)]
    texts = code(section(SECTIONS[command]))
    texts += [text for node in shared for text in code(node)]
    shown = {word for text in texts for word in AN_OPTION.findall(text)}
    assert known_options(PARSERS[command]) - {"-h", "--help"} - shown == set()


def test_the_options_of_all_commands_are_shown(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    told = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert told <= {word for text in code(README) for word in AN_OPTION.findall(text)}


def test_every_option_that_is_shown_exists():
    known = {"--version"}.union(OF_PIP, *map(known_options, PARSERS.values()))
    shown = {word for text in code(README) for word in re.findall(r"--[a-z][a-z-]*", text)}
    assert shown - known == set()


def test_every_command_that_is_shown_exists():
    """Or at least the first words of one, for all that begin so."""
    commands = {tuple(command.split()[1:]) for command in PARSERS}
    known = {command[:count] for command in commands for count in (1, 2)}
    for text in code(README):
        for name, word in A_COMMAND.findall(text):
            assert (name,) in commands or tuple(filter(None, (name, word))) in known, text


def test_each_command_takes_the_options_that_it_is_shown_with():
    """Only `networkcache buildout` takes any: it passes them on."""
    seen = set()
    for line in (line for text in code(README) for line in text.splitlines()):
        whole = re.sub(r"^[a-z-]+", lambda m: ALIASES.get(m[0], m[0]), line)
        for command in PARSERS.keys() - {"networkcache buildout"}:
            if whole.startswith(f"{command} "):
                known = known_options(PARSERS[command])
                assert known.issuperset(AN_OPTION.findall(whole)), line
                seen.add(command)
    assert seen == PARSERS.keys() - {"networkcache buildout"}


def test_the_other_names_are_shown():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    scripts = re.findall(
        r"^(\S+) =", config["options.entry_points"]["console_scripts"], re.M
    )
    assert set(scripts) == {"networkcache", *ALIASES}
    table = next(section("Commands").findall(nodes.tbody))
    rows = [[literal.astext() for literal in row.findall(nodes.literal)] for row in table]
    assert {row[1]: row[0] for row in rows if len(row) == 2} == ALIASES


def test_the_targets_of_make():
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M)
    assert sorted(first_column("Development")) == sorted(f"make {t}" for t in targets)


# -- closed lists


def test_the_options_of_the_section():
    assert sorted(first_column("Options of [networkcache]")) == sorted(OPTIONS)


def test_the_reasons():
    assert first_column("Who is believed") == [reason.value for reason in Reason]


# -- what it tells runs


class Walk:
    """Somebody with a home of their own, who follows the quick start."""

    def __init__(self, home, origin):
        self.home, self.origin = home, origin
        self.env = {"PATH": f"{SCRIPTS}:{os.environ['PATH']}", "HOME": str(home)}

    @contextmanager
    def running(self, command):
        """The server, on a port that is free."""
        log = self.home / "server.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                ["sh", "-c", f"exec {command} --port 0"],
                cwd=self.home,
                env=self.env,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            ready = process.stdout.readline()
            assert ready.startswith("listening on "), log.read_text()
            self.server = ready.split()[-1]
            yield
        finally:
            process.terminate()
            process.communicate(timeout=TIMEOUT)

    def here(self, text):
        """`text` of the README with this server, this origin and this home in it."""
        for there, here in (
            ("http://127.0.0.1:8080", self.server),
            ("http://127.0.0.1:8000", self.origin.url),
            ("/home/me", str(self.home)),
        ):
            text = text.replace(there, here)
        return text

    def type(self, command, folder="."):
        """Run what the README says; what it prints, and what else it says."""
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.home / folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def must(self, command, folder="."):
        done = self.type(command, folder)
        assert done.returncode == 0, done.stderr
        return done


PROFILE = "[buildout]\nextends = {url}\nparts =\nnewest = false\n"


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """Steps 2 to 4: a server, a key, and a profile that is built and published."""
    run_server, section_text, generate, _, build = blocks("Quick start")[-5:]
    home = tmp_path_factory.mktemp("home")
    with ExitStack() as stack:
        origin = Origin()
        stack.callback(origin.stop)
        walk = Walk(home, origin)
        stack.enter_context(walk.running(run_server))
        url = origin.put("/base.cfg", "[hello]\nrecipe = none\n")
        origin.put("/hello-1.0.tar.gz", b"an archive")
        config = home / "slapos.cfg"
        config.write_text(walk.here(section_text) + "\n")
        certificate = walk.must(generate).stdout
        config.write_text(config.read_text() + certificate)
        (home / "software.cfg").write_text(PROFILE.format(url=url))
        walk.built = walk.must(build).stderr
        walk.must(f"networkcache upload -c slapos.cfg -u {origin.url}/hello-1.0.tar.gz")
        yield walk


def test_what_comes_from_its_origin_is_published(walk):
    assert "from the network cache: nothing" in walk.built
    assert "published: 1 file," in walk.built


def test_what_was_published_comes_from_the_cache(walk):
    """Step 5, in another folder, with ``examples/node/slapos.cfg.in``."""
    folder = walk.home / "other"
    folder.mkdir()
    certificate = (walk.home / "signature.cert").read_text().replace("\n", "\n  ")
    text = (ROOT / "examples/node/slapos.cfg.in").read_text()
    text = text.replace("@SERVER@", walk.server).replace("@COMPUTER@", "other")
    (folder / "slapos.cfg").write_text(text.replace("@CERTIFICATE@", certificate))
    (folder / "software.cfg").write_text((walk.home / "software.cfg").read_text())
    asked = len(walk.origin.requests)
    said = walk.must(blocks("Quick start")[-1], "other").stderr
    assert "from the local store: 1 file," in said
    assert "from their origin: 0 files," in said
    assert len(walk.origin.requests) == asked


@pytest.mark.buildout
def test_the_profile(walk):
    """Step 4 with the profile that is shown there."""
    *_, profile, build = blocks("Quick start")
    folder = walk.home / "tool"
    folder.mkdir()
    (folder / "software.cfg").write_text(profile)
    done = walk.type(build.replace("slapos.cfg", "../slapos.cfg"), "tool")
    if "Download error" in done.stderr + done.stdout:
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    assert (folder / "bin/tabulate").exists()
    assert "published: 0 files" not in done.stderr


def test_the_program(walk):
    program, _ = blocks("Programs")
    path = walk.home / "program.py"
    path.write_text(walk.here(program))
    assert walk.must(f"{sys.executable} program.py").stdout == ""
    assert (walk.home / "hello-1.0.tar.gz").read_bytes() == b"an archive"
    path.write_text(walk.here(program).replace("hello-1.0", "hello-2.0"))
    assert walk.must(f"{sys.executable} program.py").stdout.startswith("not-found ")


def test_the_program_for_the_old_module(walk):
    (program,) = blocks("For programs written for slapos.libnetworkcache")
    (walk.home / "program.py").write_text(walk.here(program))
    assert walk.must(f"{sys.executable} program.py").stdout == "an archive\n"


def test_the_releases(walk):
    """What is said of a node that publishes releases, and of one that takes them."""
    added, install, built, taken, present, shown = blocks("Software releases")
    walk.origin.put("/hello/software.cfg", profile(walk.origin, parts=""))
    config = walk.home / "slapos.cfg"
    plain = config.read_text()
    slapos, more = walk.here(added).split("[networkcache]\n")
    both = plain.replace("[networkcache]\n", f"[networkcache]\n{more}\n")
    reads = "".join(o for o in both.splitlines(True) if not o.startswith("upload-"))
    for_root = partial(slapos.replace, "/srv/slapgrid")
    try:
        config.write_text(for_root(folder_of(walk, "root-of-one")) + both)
        done = walk.must(walk.here(install))
        for line in built.splitlines():
            assert outcome(line) in done.stdout + done.stderr
        config.write_text(for_root(folder_of(walk, "root-of-two")) + reads)
        for line in (taken, present):
            assert outcome(line) in walk.must(walk.here(install)).stdout
        told = walk.must(walk.here(install).replace(" install ", " show ")).stdout
    finally:
        config.write_text(plain)
    (key, headings, row), expected = told.splitlines(), shown.splitlines()
    assert key.split()[-2:] == expected[0].split()[-2:]
    assert headings.split() == expected[1].split()
    assert row.split()[-1] == expected[2].split()[-1]


def folder_of(walk, name):
    folder = walk.home / name
    folder.mkdir()
    return str(folder)


def outcome(line):
    """What is said of a URL, but for where and as what."""
    return re.sub(r"^\S+( [a-z ]+).*", r"\1", line, flags=re.S).rstrip()


def exit_codes():
    """What README says of them: meaning -> code."""
    text = " ".join(section("Commands").astext().split())
    (sentence,) = re.findall(r"The exit code is (0 for done.*?)\. ", text)
    told = re.findall(r"(\d) (?:for )?([a-z ]+[a-z])", sentence)
    return {meaning: int(code) for code, meaning in told}


@pytest.mark.parametrize(
    ("meaning", "words"),
    [
        ("done", "{origin}/hello-1.0.tar.gz -c slapos.cfg"),
        ("not there or refused", "{origin}/hello-2.0.tar.gz -c slapos.cfg"),
        ("wrong use", "{origin}/hello-1.0.tar.gz"),
        ("where it could not be told", "{origin}/hello-1.0.tar.gz -c dead.cfg"),
    ],
)
def test_the_exit_codes(walk, meaning, words):
    config = (walk.home / "slapos.cfg").read_text()
    dead = config.replace(walk.server, "http://127.0.0.1:1")
    (walk.home / "dead.cfg").write_text(dead)
    words = words.format(origin=walk.origin.url)
    for command in ("lookup", "download -o content -u"):
        done = walk.type(f"networkcache {command} {words}")
        assert done.returncode == exit_codes()[meaning], done.stderr


def test_the_exit_codes_are_all():
    assert sorted(exit_codes().values()) == [DONE, REFUSED, WRONG_USE, UNKNOWN]


def test_the_section_is_that_of_the_example():
    def options(text):
        parser = ConfigParser(interpolation=None)
        parser.read_string(text)
        return set(parser["networkcache"])

    example = (ROOT / "examples/node/publisher.cfg.in").read_text()
    assert options(blocks("Quick start")[-4]) == options(example)


# -- as a text


@pytest.mark.parametrize(
    "names", [["README.rst"], ["CHANGES.rst"], ["README.rst", "CHANGES.rst"]]
)
def test_it_parses(names):
    """The two together are the long description of the package."""
    text = "\n".join((ROOT / name).read_text() for name in names)
    settings = {"report_level": 1, "halt_level": 6, "warning_stream": False}
    document = docutils.core.publish_doctree(text, settings_overrides=settings)
    messages = [*document.findall(nodes.system_message), *document.parse_messages]
    assert [message.astext() for message in messages] == []
