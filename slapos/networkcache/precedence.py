"""Which of several places an option is taken from."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from .config import PUBLISHER_OPTIONS


class Place(IntEnum):
    """Where options come from, the strongest last, in buildout's order."""

    USER_DEFAULTS = 0
    PROFILE = 1
    CONFIG_FILE = 2
    COMMAND_LINE = 3


class Merged(NamedTuple):
    """One section made of several: its `options`, the `places` that each was taken
    from, and `notes` for the log."""

    options: Mapping[str, str]
    places: Mapping[str, Place]
    notes: tuple[str, ...] = ()


def merge(layers: Mapping[Place, Mapping[str, str]]) -> Merged:
    """Take each option from the strongest place that sets it.

    The publisher's options come from one place: if the node's own configuration (all
    places but the profile) sets one of them, the profile's are ignored, and `notes`
    says so. A profile must not be able to have things signed and sent elsewhere. An
    option that is set to nothing is set: it hides what weaker places say.
    """
    given = {place: dict(layer) for place, layer in layers.items()}
    notes = []
    profile = given.get(Place.PROFILE, {})
    ignored = sorted(PUBLISHER_OPTIONS.intersection(profile))
    publishing = any(
        PUBLISHER_OPTIONS.intersection(layer)
        for place, layer in given.items()
        if place is not Place.PROFILE
    )
    if ignored and publishing:
        given[Place.PROFILE] = {o: v for o, v in profile.items() if o not in ignored}
        notes.append(
            f"{', '.join(ignored)} of the profile ignored: this node says itself what it"
            " signs and where it publishes"
        )
    strongest_first = sorted(given, reverse=True)
    merged = ChainMap(*(given[place] for place in strongest_first))
    options = {option: value for option, value in merged.items() if value.strip()}
    places = {
        option: next(place for place in strongest_first if option in given[place])
        for option in options
    }
    return Merged(options, places, tuple(notes))
