"""One look-up without a wire: what a directory answered, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterable

from slapos.networkcache.binding import Request
from slapos.networkcache.entry import Pair
from slapos.networkcache.errors import InvalidEntry, NotBelieved, NotFound, Reason
from slapos.networkcache.protocol import decode_directory
from slapos.networkcache.trust import Policy, TrustedEntry, Vouching


def judge(
    pairs: Iterable[Pair | InvalidEntry],
    request: Request,
    policy: Policy,
    now: float,
    newest_believed: int | None = None,
) -> TrustedEntry | Reason:
    """What is believed, or else why nothing is; a pair's own reason where no pair is
    good by itself."""
    vouchings: list[Vouching] = []
    reasons: list[Reason] = []
    for pair in pairs:
        try:
            if isinstance(pair, InvalidEntry):
                raise pair
            vouchings.append(policy.examine(pair, request, now))
        except (NotBelieved, InvalidEntry) as error:
            reasons.append(error.reason)
    try:
        return policy.decide(vouchings, request, newest_believed)
    except NotFound as error:
        return reasons[0] if reasons else error.reason
    except NotBelieved as error:
        return error.reason


def judge_answer(
    body: bytes,
    request: Request,
    policy: Policy,
    now: float,
    newest_believed: int | None = None,
) -> TrustedEntry | Reason:
    """The same for the body of a directory's answer."""
    try:
        return judge(decode_directory(body), request, policy, now, newest_believed)
    except InvalidEntry as error:
        return error.reason
