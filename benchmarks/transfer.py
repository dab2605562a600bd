"""``python -m benchmarks.transfer up|down URL FILE``: our client, as a process.

The options of ``[networkcache]`` come as JSON on standard input.
"""

from __future__ import annotations

import json
import sys

from slapos.networkcache.binding import Request
from slapos.networkcache.client import Client
from slapos.networkcache.config import Config
from slapos.networkcache.digest import Digests, pieces_of
from slapos.networkcache.entry import Key
from slapos.networkcache.members import members_of_file
from slapos.networkcache.publisher import Publisher


def up(config: Config, url: str, path: str) -> None:
    with open(path, "rb") as file:
        digests = Digests.of(pieces_of(file))
        members = members_of_file(url, checked=True)
        Publisher(config).publish(Key.for_file(url), file, digests, members)


def down(config: Config, url: str, path: str) -> None:
    client = Client(config)
    client.fetch(client.look_up(Request.for_file(url)), path)


if __name__ == "__main__":
    way, *arguments = sys.argv[1:]
    {"up": up, "down": down}[way](Config.parse(json.load(sys.stdin)), *arguments)
