"""Small software releases: profiles whose parts come from an origin, a recipe that compiles
included. A build takes some seconds."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from nodes import PINNED, make_wheel
from origin import Origin

RECIPE = '''\
import os
import subprocess

SOURCE = """
#include <stdio.h>
int main(void) {
  puts(PLACE);
  return 0;
}
"""


class Recipe:
    """Compiles a program that prints `text`."""

    def __init__(self, buildout, name, options):
        self.place = os.path.join(buildout["buildout"]["parts-directory"], name)
        options["location"] = self.place
        self.text = options.get("text", self.place)

    def install(self):
        os.makedirs(self.place)
        program = os.path.join(self.place, "program")
        command = ["cc", f'-DPLACE="{self.text}"', "-o", program, "-xc", "-"]
        subprocess.run(command, input=SOURCE, text=True, check=True)
        return self.place

    def update(self):
        pass
'''
NAME = "compiling"


def distribute(origin: Origin, folder: Path) -> None:
    """Give the origin the recipe, ``compiling``."""
    points = f"[zc.buildout]\ndefault = {NAME}:Recipe\n"
    origin.distribute(NAME, make_wheel(folder, NAME, module=RECIPE, entry_points=points))


def profile(origin: Origin, *sections: str, parts: str = "program", more: str = "") -> str:
    """A profile that installs `parts`; `more` goes on with its first section."""
    pins = {**{name: version(name) for name in PINNED}, NAME: "1.0"}
    versions = "".join(f"{name} = {pin}\n" for name, pin in pins.items())
    head = f"[buildout]\nindex = {origin.index}\nparts = {parts}\n{more}"
    return "\n".join([head, *sections, f"[versions]\n{versions}"])


PROGRAM = f"[program]\nrecipe = {NAME}\n"
"""Prints where it was built."""
