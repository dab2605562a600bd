"""What somebody may mean by what a command is given: a URL, ``NAME==VERSION``, the path of
a profile, or a key."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..binding import Request
from ..digest import Digests, pieces_of
from ..key import Kind
from ..urls import is_remote


def requests_for(what: str) -> Sequence[Request]:
    """All that it may stand for. A run of a local profile is known by the profile's bytes.

    Raises `InvalidKey`.
    """
    requests = Request.meant_by(what)
    if is_remote(what) or "/" not in what or not os.path.isfile(what):
        return requests
    with open(what, "rb") as file:
        run = Request.for_run(Digests.of(pieces_of(file)).sha256)
    return [run if r.key.kind is Kind.RUN else r for r in requests]
