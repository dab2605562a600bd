"""What README.rst says of recipes: its parts are built, and its options are all."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import distribution

import pytest
from compiling import profile
from golden_archives import make
from nodes import Node
from origin import Origin
from repositories import Repository
from test_readme import blocks, code, first_column, section

TITLES = {
    "Download a file": "download",
    "Unpack an archive": "unpacked",
    "Check out a revision": "gitclone",
    "Install a release": "release",
}
"""Where the options of each module stand."""
THERE = "http://127.0.0.1:8000"
SCRIPT = b"#!/bin/sh\necho hello\n"
EXAMPLE = blocks("Recipes")


def parts_of(text: str) -> list[str]:
    return re.findall(r"^\[(.*)\]$", text, re.M)


@pytest.fixture
def origin(tmp_path):
    """It has what the examples fetch; of the script only what is at its alternate URL."""
    origin = Origin()
    origin.put("/old/hello.sh", SCRIPT)
    archive = make.HERE / make.ARCHIVES / "good.tar.gz"
    origin.put("/hello-1.0.tar.gz", archive.read_bytes())
    repository = Repository(tmp_path / "upstream" / "hello")
    repository.commit("hello.txt", "hello\n")
    repository.serve(origin, "/hello.git")
    origin.put("/base/software.cfg", profile(origin, parts=""))
    yield origin
    origin.stop()


def test_the_examples(tmp_path, origin):
    """All of them in one buildout, without a network cache."""
    node = Node(tmp_path / "node", origin.index)
    text = "\n".join(EXAMPLE).replace(THERE, origin.url)
    node.profile(text, buildout=f"parts = {' '.join(parts_of(text))}")
    run = node.buildout()
    assert run.code == 0, run.said
    told = [word for word in code(section("Recipes")) if word.startswith("parts/")]
    assert {word.split("/")[1] for word in told} == set(parts_of(text))
    for path in told:
        assert (node.place / path).exists(), path


class Asked(dict):
    """Options of a part that remember which of them were asked for."""

    def __init__(self, **options: str):
        super().__init__(options)
        self.names: set[str] = set()

    def get(self, name, default=None):
        self.names.add(name)
        return super().get(name, default)


@pytest.mark.parametrize("title", TITLES)
def test_the_options(title, tmp_path):
    """Those of the table are those that the recipe reads."""
    options = Asked(url="u", repository=str(tmp_path), revision="r")
    module = import_module(f"slapos.networkcache.recipes.{TITLES[title]}")
    module.Recipe({"buildout": {"parts-directory": str(tmp_path)}}, "part", options)
    refused = set(getattr(module, "NOT_HERE", ()))
    assert sorted(first_column(title)) == sorted(options.names - refused)
    assert refused <= set(code(section(title)))


def test_the_recipes_are_those_of_the_distribution():
    points = distribution("slapos.networkcache").entry_points
    names = {p.name for p in points if p.group == "zc.buildout"}
    shown = re.findall(r"^recipe = slapos.networkcache:(.*)$", "\n".join(EXAMPLE), re.M)
    assert set(shown) == names
