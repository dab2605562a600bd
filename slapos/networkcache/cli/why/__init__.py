"""Say what networkcache buildout would do about a URL, step by step, and why.

Sources are asked as it would ask them; nothing is remembered, fetched (but with --fetch)
or published. It exits with 0 where the URL would be taken from the network cache, with 1
where not, and with 3 where it could not be told.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...binding import Request
from ...config import Config, Source
from ...digest import Digest
from ...entry import Key
from ...errors import (
    InvalidConfiguration,
    InvalidInput,
    NetworkcacheError,
    NotPublished,
    Reason,
    SourceFailure,
    StorageFailure,
)
from ...printable import readable
from ...urls import is_remote, redact, without_fragment
from .. import DONE, REFUSED, UNKNOWN
from ..configuration import add_assignments, add_config_arguments, parse, read_places
from ..layout import paragraph
from ..terminal import add_json_argument, escape_output, tell
from .decision import Decision, decide, sentence
from .steps import Facts, Step

if TYPE_CHECKING:
    from ...client import Client
    from ...outcome import Outcome
    from ...transport import Budget

_MARKS = {True: "yes", False: "no", None: "-"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser, required=False)
    add_json_argument(parser)
    parser.add_argument(
        "--fetch",
        action="store_true",
        help="also fetch the content that is believed, and see whether it is right",
    )
    parser.add_argument("url", metavar="URL", help="as the profile or the page writes it")
    add_assignments(parser)


def run(arguments: argparse.Namespace) -> int:
    url = arguments.url
    if not is_remote(url):
        raise InvalidInput(
            f"{redact(url)} is no URL of something elsewhere: buildout reads it itself, and"
            " the network cache has no part in it"
        )
    config = parse(read_places(arguments).options, verbose=arguments.verbose)
    decisions = [_decide(config, r, fetch=arguments.fetch) for r in _requests(url)]
    if arguments.json:
        print(json.dumps(_plain(url, decisions)))
    else:
        escape_output()
        print(readable(url))
        for decision in decisions:
            _print(decision)
        print(paragraph(sentence(decisions)))
    return _code(decisions)


def _requests(url: str) -> list[Request]:
    """As what buildout may ask for it: it depends on who fetches it."""
    if without_fragment(url).endswith("/"):
        return [Request(Key.for_page(url), without_fragment(url))]
    distribution = Request.for_distribution(url)
    file = Request.for_file(url)
    return [file] if distribution is None else [distribution, file]


def _decide(config: Config, request: Request, *, fetch: bool) -> Decision:
    from ...client import open_client
    from ...transport import Budget

    budget = Budget(config.time_budget)
    client, warnings = open_client(config, budget=budget)
    for warning in warnings:
        tell(warning)
    with client:
        newest = client.newest_believed(request)
        outcome = client.look_up(request, remember=False)
        trusted = outcome.trusted
        fetched = _fetch(client, outcome) if fetch and trusted is not None else None
        # What a run would have lost until here: it would not ask where the content is.
        left, left_alone = budget.left, _left_alone(budget, config.sources)
        digests = [] if trusted is None or fetched else [trusted.digest]
        holdings = client.holdings(digests)
    return decide(
        Facts(
            config=config,
            outcome=outcome,
            hindrances=list(client.hindrances(request)),
            certificates=client.certificates,
            newest=newest,
            kept=trusted is not None and _kept(config, trusted.digest),
            holdings=holdings,
            fetched=fetched,
            left=left,
            left_alone=left_alone,
            unpublished=_unpublished(config, request),
        )
    )


def _fetch(client: Client, outcome: Outcome) -> Source | NetworkcacheError:
    """Where the content came from, or why it did not."""
    with tempfile.TemporaryDirectory(prefix="networkcache-") as folder:
        try:
            source = client.fetch(outcome, os.path.join(folder, "content"))
        except NetworkcacheError as error:
            return error
    assert source is not None  # this client has no local store
    return source


def _kept(config: Config, digest: Digest) -> bool:
    """Whether the local store has the content; it is not made for that."""
    from ...localstore import LocalStore, folder_of

    folder = folder_of(config)
    with suppress(StorageFailure):
        return folder.exists() and LocalStore(folder, config.local_store_size).has(digest)
    return False


def _left_alone(
    budget: Budget, sources: Sequence[Source]
) -> list[tuple[Source, SourceFailure]]:
    found = []
    for source in sources:
        try:
            budget.breaker(source).check()
        except SourceFailure as failure:
            found.append((source, failure))
    return found


def _unpublished(config: Config, request: Request) -> NetworkcacheError | None:
    """Why what comes from the origin would not be published, as far as this node knows."""
    from ...publisher import hindrance_of, open_signer

    if not config.publishes:
        return NotPublished(
            Reason.NOT_CONFIGURED,
            "it takes upload-cache-url, upload-dir-url and signature-private-key-file",
        )
    try:
        _, warnings = open_signer(config)
    except InvalidConfiguration as error:
        return error
    for warning in warnings:
        tell(warning)
    return hindrance_of(config, request.url or "")


# -- for people


def _print(decision: Decision) -> None:
    print(readable(f"{decision.what}: {decision.request.key}"))
    width = max(len(step.question) for step in decision.steps)
    for step in decision.steps:
        first = f"  {_MARKS[step.passed]:<4}{step.question:<{width}}  "
        print(paragraph(_text(step), first, " " * len(first)))
    print()


def _text(step: Step) -> str:
    return f"{step.reason}: {step.answer}" if step.reason else step.answer


def _code(decisions: Sequence[Decision]) -> int:
    taken = [decision.taken for decision in decisions]
    if True in taken:
        return DONE
    return UNKNOWN if None in taken else REFUSED


# -- for programs


def _plain(url: str, decisions: Sequence[Decision]) -> dict[str, Any]:
    return {
        "url": redact(url),
        "decisions": [
            {
                "key": decision.request.key.text,
                "taken": decision.taken,
                "reason": decision.reason,
                "steps": [
                    {**asdict(step), "answer": redact(step.answer)}
                    for step in decision.steps
                ],
            }
            for decision in decisions
        ],
        "sentence": redact(sentence(decisions)),
    }
