"""``networkcache release list``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ...binary.installed import Installed, State
from ...binary.releases import Releases
from ...urls import redact
from .. import DONE, layout
from ..terminal import escape_output


def run(releases: Releases, *, as_json: bool) -> int:
    found = releases.installed()
    if as_json:
        print(json.dumps([_plain(each) for each in found]))
        return DONE
    escape_output()
    if found:
        rows = [tuple(_cells(each)) for each in found]
        print(
            *layout.table(("FOLDER", "SINCE", "FROM", "SOFTWARE URL"), rows, ""), sep="\n"
        )
    else:
        print(f"There is no release in {releases.node.software_root}.")
    return DONE


def _cells(each: Installed) -> Iterator[str]:
    yield each.place
    complete = each.since is not None
    yield layout.date(int(each.since or 0)) if complete else State.INCOMPLETE.value
    yield "this node" if each.signers is None else ", ".join(map(str, each.signers))
    yield each.url or "?"


def _plain(each: Installed) -> dict[str, Any]:
    url = None if each.url is None else redact(each.url)
    return {**asdict(each), "url": url, "state": each.state.value}
