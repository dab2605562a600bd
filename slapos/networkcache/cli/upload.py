"""Sign and publish what a URL fetches, a folder (as tar.gz), or a file.

A URL is first fetched as a whole. With neither URL nor key, the content of a file is
uploaded, and nothing is signed or indexed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from ..binding import Request, check_binding
from ..config import Config
from ..digest import Digests
from ..entry import Entry, Key, Kind
from ..errors import InvalidInput, NotBelieved, NotPublished, Reason
from ..members import members_of_distribution, members_of_file
from ..publisher import Publisher, hindrance_of
from ..uploader import UPLOAD_LIMITS, Uploader, upload_budget
from ..urls import distribution_in, has_secret, without_fragment
from . import DONE, run_command
from .configuration import add_config_arguments, read_config
from .terminal import tell, upload_bar
from .uploaded import Upload, opened


def main(argv: Sequence[str] | None = None) -> int:
    """The script ``networkcache-upload``."""
    return run_command("upload", argv, prog="networkcache-upload")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "-k",
        "--key",
        help="the key to index it under, instead of that of the URL; best written"
        " SCHEME:VALUE, where SCHEME says by what it is used",
    )
    what.add_argument("-u", "--url", help="what to fetch, or a folder, and index")
    parser.add_argument(
        "-f", "--file", help="take the content from this file, not from the URL"
    )
    parser.add_argument(
        "-m", "--metadata", metavar="FILE", help="members of the entry, as a JSON object"
    )
    parser.add_argument(
        "members",
        nargs="*",
        metavar="KEY=VALUE",
        help="a member of the entry; VALUE is a string, whatever it looks like",
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.url is None and arguments.file is None:
        raise InvalidInput("either --file or --url is needed")
    config = read_config(arguments)
    members = _read_members(arguments)
    for text in (arguments.url, *members.values()):
        if isinstance(text, str) and has_secret(text):
            raise NotPublished(Reason.SECRET_URL, "there is a secret in a URL")
    if arguments.url is None and arguments.key is None:
        return _store(config, arguments.file)
    with closing(_publisher(config)) as publisher:
        if arguments.url and (hindrance := hindrance_of(config, arguments.url)):
            raise hindrance
        with opened(arguments.file, arguments.url) as upload:
            key = _key(arguments)
            members = {**_members_by_kind(key, arguments.url, upload, members), **members}
            _check_entry(config, key, upload.content, members)
            _publish(publisher, key, upload, members)
    return DONE


def _read_members(arguments: argparse.Namespace) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if arguments.metadata is not None:
        try:
            with open(arguments.metadata, encoding="utf-8") as file:
                members = json.load(file)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{arguments.metadata} is not JSON: {error}") from None
        if not isinstance(members, dict):
            raise InvalidInput(f"{arguments.metadata} is not a JSON object")
    for text in arguments.members:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"expected KEY=VALUE, got {text!r:.200}")
        members[name] = value
    return members


def _key(arguments: argparse.Namespace) -> Key:
    if arguments.key is not None:
        return Key.parse(arguments.key)
    return Key.for_file(arguments.url)


def _members_by_kind(
    key: Key, url: str | None, upload: Upload, given: Mapping[str, Any]
) -> dict[str, Any]:
    """What the kind of key asks for, as far as it can be told."""
    if url is not None:
        return members_of_file(without_fragment(url), checked=upload.checked)
    file = distribution_in(str(given.get("url", "")))
    if key.kind is Kind.DISTRIBUTION and file is not None:
        return members_of_distribution(
            given["url"], file.basename, file.name, file.version, checked=True
        )
    return {}


def _check_entry(
    config: Config, key: Key, content: Digests, members: Mapping[str, Any]
) -> None:
    """Raise `InvalidInput` where nobody would believe the entry."""
    now = int(time.time())
    expires = None if config.entry_expires is None else now + config.entry_expires
    try:
        entry = Entry.make(key, content, now, members, expires=expires)
        check_binding(entry, Request(key, any_kind=True))
    except NotBelieved as error:
        raise InvalidInput(
            f"nobody would believe this entry under {key}: {error}; give the members that"
            " the key is made of as KEY=VALUE"
        ) from None


def _publisher(config: Config) -> Publisher:
    publisher = Publisher(config, budget=upload_budget(config), limits=UPLOAD_LIMITS)
    for warning in publisher.warnings:
        tell(warning)
    return publisher


def _publish(
    publisher: Publisher, key: Key, upload: Upload, members: Mapping[str, Any]
) -> None:
    with upload_bar(str(key), upload.file, upload.content.size) as file:
        published = publisher.publish(key, file, upload.content, members)
    print(f"key      {key}")
    _print_content(upload.content, sent=published.content_sent)
    print(f"entry    {_what_was_done(sent=published.entry_sent)}")


def _store(config: Config, path: str) -> int:
    """Upload a content that nothing is said of; that takes no signing key."""
    budget = upload_budget(config)
    with (
        closing(Uploader(config, budget=budget, limits=UPLOAD_LIMITS)) as uploader,
        opened(path, None) as upload,
        upload_bar(path, upload.file, upload.content.size) as file,
    ):
        sent = uploader.store(file, upload.content)
    _print_content(upload.content, sent=sent)
    return DONE


def _print_content(content: Digests, *, sent: bool) -> None:
    print(f"sha512   {content.sha512}")
    print(f"size     {content.size}")
    print(f"content  {_what_was_done(sent=sent)}")


def _what_was_done(*, sent: bool) -> str:
    return "sent" if sent else "was there already"
