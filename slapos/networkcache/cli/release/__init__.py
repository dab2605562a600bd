"""Take a software release from the network cache, build it, publish it, and see what there
is.

Releases are in the software_root of the section [slapos], which is /opt/slapgrid where
nothing is said. What is done there is done as the owner of that folder.
"""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING, NamedTuple

from ...configfile import SECTION, read_sections
from ...printable import readable
from .. import DONE
from ..configuration import add_config_arguments, parse, start_log
from ..terminal import add_json_argument, progress_bar

if TYPE_CHECKING:
    from ...binary.releases import Releases


class _Step(NamedTuple):
    what: str
    has_url: bool = True
    has_json: bool = False


_STEPS = {
    "install": _Step("have it: take it, or build and publish it"),
    "build": _Step("build it here, whatever the network cache has"),
    "publish": _Step("publish one that was built here"),
    "list": _Step("list those that are here", has_url=False, has_json=True),
    "remove": _Step("remove one; shared parts stay"),
    "show": _Step(
        "show what the network cache has, and what would run here", has_json=True
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    steps = parser.add_subparsers(dest="step", required=True, metavar="COMMAND")
    for name, step in _STEPS.items():
        added = steps.add_parser(name, help=step.what, description=f"{step.what}.")
        if step.has_url:
            added.add_argument(
                "url", metavar="URL", help="the software URL: that of its profile"
            )
        add_config_arguments(added)
        if step.has_json:
            add_json_argument(added)


def run(arguments: argparse.Namespace) -> int:
    from . import listing, showing

    releases = _releases(arguments)
    if arguments.step == "list":
        return listing.run(releases, as_json=arguments.json)
    url: str = arguments.url
    name = readable(url)
    if arguments.step == "show":
        return showing.run(releases, url, as_json=arguments.json)
    if arguments.step == "install":
        print(f"{name} {releases.install(url).value}: {releases.node.place(url)}")
    elif arguments.step == "build":
        releases.build(url)
        print(f"{name} is built: {releases.node.place(url)}")
    elif arguments.step == "publish":
        published = releases.publish(url)
        done = "published" if published.entry_sent else "published already"
        print(f"{name} is {done}: {published.entry.sha512}")
    else:
        releases.remove(url)
        print(f"{name} is removed: {releases.node.place(url)}")
    return DONE


def _releases(arguments: argparse.Namespace) -> Releases:
    from ...binary.node import Node
    from ...binary.releases import Releases

    start_log(arguments.verbose, logging.INFO)
    sections = read_sections(arguments.config)
    options = sections.get(SECTION, {})
    config = parse(options, arguments.config, verbose=arguments.verbose)
    return Releases(Node.of(sections, config), bar=progress_bar)
