"""A buildout with one of everything, to be published by one node and repeated by another.

The profile and what it downloads are on an origin on loopback; eggs, recipes and what pip
needs to build them are in the package index that everybody uses, but for one egg behind
``find-links``.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from buildouts import RECIPE_EGG, Buildout
from origin import Origin

RECIPES = {
    "collective.recipe.template": "2.2",
    "hexagonit.recipe.download": "1.7.1",
    "slapos.recipe.build": "0.66",
    "slapos.recipe.cmmi": "0.23",
    "six": "1.17.0",
}
WHEEL, SDIST, BUILT = "iniconfig", "docopt", "PyPika"
EGGS = {WHEEL: "2.0.0", SDIST: "0.6.2", BUILT: "0.48.9"}
"""A wheel; a source distribution, and one that pip builds in isolation: both have no
other files in the index."""
FLIT, FLIT_VERSION = "toml", "0.10.2.1"
"""A source distribution of our own with another backend than setuptools, behind
find-links. The index has a page for its name, though not that version: else buildout
would ask for the index's root page."""

PARTS = "eggs compiled downloaded unpacked rendered"


@dataclass(frozen=True)
class Release:
    """`profile` is the URL of what to install, `files` are those of all that is neither a
    distribution nor a page."""

    profile: str
    files: tuple[str, ...]


def put(origin: Origin, buildout: Buildout) -> Release:
    """Give the origin a profile that one version of zc.buildout can install."""
    recipes = {**RECIPES, "zc.recipe.egg": RECIPE_EGG[buildout.version]}
    versions = recipes | EGGS | {FLIT: FLIT_VERSION}
    source = _archive("hello-1.0", {"Makefile": MAKEFILE})
    data = _archive("data-1.0", {"data": "unpacked\n"})
    links = _find_links(origin)
    urls = {
        "compiled": origin.put("/hello-1.0.tar.gz", source),
        "downloaded": origin.put("/download-1.0.txt", "downloaded\n"),
        "unpacked": origin.put("/data-1.0.tar.gz", data),
        "rendered": origin.put("/template.in", "rendered by ${buildout:parts}\n"),
        "stack": origin.put("/release/stack.cfg", f"[versions]\n{_options(versions)}"),
    }
    text = PROFILE.format(
        **urls,
        links=links,
        parts=PARTS,
        eggs="\n  ".join([*EGGS, FLIT]),
        compiled_md5=hashlib.md5(source).hexdigest(),
        unpacked_md5=hashlib.md5(data).hexdigest(),
    )
    profile = origin.put("/release/software.cfg", text)
    return Release(profile, (profile, *urls.values()))


PROFILE = """\
[buildout]
extends = stack.cfg
parts = {parts}
find-links = {links}

[eggs]
recipe = zc.recipe.egg
eggs =
  {eggs}
interpreter = python-with-eggs

[compiled]
recipe = slapos.recipe.cmmi
url = {compiled}
md5sum = {compiled_md5}
configure-command = true

[downloaded]
recipe = hexagonit.recipe.download
url = {downloaded}
download-only = true

[unpacked]
recipe = slapos.recipe.build:download-unpacked
url = {unpacked}
md5sum = {unpacked_md5}

[rendered]
recipe = collective.recipe.template
url = {rendered}
output = ${{buildout:parts-directory}}/rendered
"""
MAKEFILE = """\
all:
install:
	mkdir -p $(prefix)/bin
	echo 'echo compiled' > $(prefix)/bin/hello
"""
FLIT_PROJECT = f"""\
[build-system]
requires = ["flit_core==3.12.0"]
build-backend = "flit_core.buildapi"

[project]
name = "{FLIT}"
version = "{FLIT_VERSION}"
description = "built by flit"
"""


def check_built(place: Path) -> None:
    """Whether the folder of a buildout has all that its profile says."""
    parts = place / "parts"
    assert (parts / "compiled/bin/hello").read_text() == "echo compiled\n"
    assert (parts / "downloaded/download-1.0.txt").read_text() == "downloaded\n"
    assert (parts / "unpacked/data").read_text() == "unpacked\n"
    assert (parts / "rendered").read_text() == f"rendered by {PARTS}\n"
    eggs = {path.name.partition("-")[0].lower() for path in place.glob("eggs/**/*.egg")}
    assert eggs >= {*map(str.lower, EGGS), FLIT}


def _options(values: Mapping[str, str]) -> str:
    return "".join(f"{name} = {value}\n" for name, value in values.items())


def _find_links(origin: Origin) -> str:
    files = {
        "pyproject.toml": FLIT_PROJECT,
        f"{FLIT}.py": '"""Built by flit."""\n',
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {FLIT}\nVersion: {FLIT_VERSION}\n",
    }
    name = f"{FLIT}-{FLIT_VERSION}"
    url = origin.put(f"/more/{name}.tar.gz", _archive(name, files))
    return origin.put("/more/", f'<a href="{url}">{FLIT}</a>', type="text/html")


def _archive(top: str, files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(text)
            member.mtime = 1_000_000_000  # a wheel holds nothing from before 1980
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()
