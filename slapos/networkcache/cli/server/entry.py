"""Show every pair under a key, hidden ones too, and remove what was put by mistake.

What is removed comes back when somebody puts it again: revoke the account of who should
not. Contents that no pair names go when they are collected.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing

from ...entry import Key
from ...errors import InvalidConfiguration
from ...server.root import Root, open_root
from ...server.space.holdings import Held, Removed, held_under, remove
from .. import DONE, REFUSED, layout
from ..terminal import escape_output, tell
from .arguments import add_keys, keys_of
from .root import add_root, root_of

_DIGITS = 12
"""Of fingerprints and digests, so that a line fits."""
_HEADINGS = ("SIGNED BY", "CREATED", "PUT", "ACCOUNT", "DIGEST", "SIZE", "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    steps = parser.add_subparsers(dest="step", required=True, metavar="COMMAND")
    add_root(listing := steps.add_parser("list", help="show every pair under a key"))
    add_keys(listing, "+")
    add_root(removing := steps.add_parser("remove", help="remove pairs from under a key"))
    add_keys(removing, "+")
    removing.add_argument(
        "--signer", metavar="FINGERPRINT", help="those that name this signer, or begin so"
    )
    removing.add_argument("--account", metavar="NAME", help="those that this account put")
    removing.add_argument("--all", action="store_true", help="every pair")


def run(arguments: argparse.Namespace) -> int:
    escape_output()
    if arguments.step == "remove":
        _check_filters(arguments)
    keys = keys_of(arguments)
    with closing(open_root(root_of(arguments))) as root:
        found = {key: held for key in keys if (held := held_under(root, key))}
        if arguments.step == "remove":
            return _remove(root, keys, found, arguments)
    for key, held in found.items():
        _print(key, held)
    return DONE if found else _nothing(keys)


def _check_filters(arguments: argparse.Namespace) -> None:
    some = arguments.signer is not None or arguments.account is not None
    if some == arguments.all:
        raise InvalidConfiguration(
            "say which pairs: --signer FINGERPRINT, --account NAME, or --all of them"
        )
    if arguments.signer == "":
        raise InvalidConfiguration("--signer takes the beginning of a fingerprint")


def _remove(
    root: Root,
    keys: Sequence[Key],
    found: dict[Key, Sequence[Held]],
    arguments: argparse.Namespace,
) -> int:
    count = 0
    for key in keys:
        wanted = [held for held in found.get(key, ()) if _is_wanted(held, arguments)]
        removed = remove(root, key, wanted)
        _say(key, removed)
        count += len(removed.pairs) + removed.answers
    return DONE if count else _nothing(keys)


def _is_wanted(held: Held, arguments: argparse.Namespace) -> bool:
    signer, account = arguments.signer, arguments.account
    return (signer is None or (held.signer or "").startswith(signer.lower())) and (
        account is None or held.account == account
    )


def _say(key: Key, removed: Removed) -> None:
    if removed.pairs:
        print("removed from under", end=" ")
        _print(key, removed.pairs)
    if removed.answers:
        print(f"what upstreams said of {key} is forgotten")


def _print(key: Key, pairs: Sequence[Held]) -> None:
    print(f"{key}{', pinned' if any(held.pinned for held in pairs) else ''}")
    print(*layout.table(_HEADINGS, [_cells(held) for held in pairs]), sep="\n")


def _cells(held: Held) -> tuple[str, ...]:
    state = "" if held.size is not None else "its content is not here"
    return (
        layout.short(held.signer or "", _DIGITS),
        layout.date(held.created),
        layout.date(held.put or None),
        held.account or "anonymous",
        layout.short(held.digest.hex if held.digest else "", _DIGITS),
        layout.size(held.size),
        f"{state}, hidden" if held.hidden else state,
    )


def _nothing(keys: Sequence[Key]) -> int:
    tell(f"nothing of that kind is under {' or '.join(map(str, keys))}")
    return REFUSED
