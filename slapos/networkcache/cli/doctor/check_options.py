"""Whether the options of a node are good for anything, and where they came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ...config import Config
from ...errors import InvalidConfiguration
from ...precedence import Merged, Place
from ...urls import redact
from .finding import Finding, Mark


class Value(NamedTuple):
    """An option that is set, and where its value came from."""

    option: str
    value: str
    place: str


def read(options: Mapping[str, str]) -> tuple[Config, list[Finding]]:
    """The configuration less the values that do not parse, and what is wrong with it."""
    left = dict(options)
    findings = []
    while True:
        try:
            config = Config.parse(left)
            break
        except InvalidConfiguration as error:
            if error.option is None:
                raise
            change = f"write {error.option} as expected: until then nothing is taken or"
            change += " published"
            findings.append(Finding(Mark.WRONG, "options", str(error), change))
            del left[error.option]
    for unknown in config.unknown:
        change = "write it as meant, or remove it: the commands refuse it"
        findings.append(Finding(Mark.WRONG, "options", f"nobody knows {unknown}", change))
    for note in config.left_out:
        change = "set the other half too, or remove this one"
        findings.append(Finding(Mark.WARN, "options", note, change))
    return config, [*findings, *_check_use(config)]


def values_of(config: Config, merged: Merged, config_file: str | None) -> list[Value]:
    """What is set, and what was completed of it."""
    names = {
        Place.COMMAND_LINE: "command line",
        Place.CONFIG_FILE: str(config_file),
        Place.USER_DEFAULTS: "user's defaults",
    }
    given = merged.options
    values = [Value(o, _shown(o, given[o]), names[merged.places[o]]) for o in given]
    for option, other in config.completed.items():
        values.append(Value(option, _shown(option, given[other]), f"as {other}"))
    return sorted(values)


def _shown(option: str, value: str) -> str:
    """A value in one line."""
    if option == "signature-certificate-list":
        number = value.count("-----BEGIN CERTIFICATE-----")
        return f"{number} certificate{'s' * (number != 1)}"
    first, *more = value.strip().splitlines()
    text = first if len(first) <= 60 else first[:59] + "…"
    return redact(text) + (f" and {len(more)} more" if more else "")


def _check_use(config: Config) -> Iterator[Finding]:
    """Whether the options together are good for anything."""
    if config.block_origin and not config.reads:
        yield Finding(
            Mark.WRONG,
            "options",
            "block-origin = true, and there is no source: every fetch fails",
            "set download-cache-url and download-dir-url, or block-origin = false",
        )
    elif not config.reads:
        yield Finding(
            Mark.WARN,
            "options",
            "there is no source: nothing is taken from the network cache",
            "set download-cache-url and download-dir-url",
        )
    half = {
        "signature-private-key-file": config.private_key_file,
        "upload-cache-url and upload-dir-url": config.upload or config.binary_upload,
    }
    missing = [option for option, value in half.items() if value is None]
    if len(missing) == 1:
        yield Finding(
            Mark.WARN,
            "options",
            f"nothing is published without {missing[0]}",
            f"set {missing[0]}, or remove what else is set for that",
        )
