"""What comes from outside breaks nothing: `make fuzz` tries for long, this for a moment."""

from __future__ import annotations

import re

import fuzzers
import parsers
import pytest
import surface
from incumbents import Unavailable
from seeds import FOUND, seeds_of
from targets import TARGETS

from slapos.networkcache.protocol import BATCH_LIMIT, STATUS

SECONDS = 20


@pytest.mark.parametrize("name", TARGETS)
def test_what_the_fuzzer_begins_with(name):
    """And what it once found."""
    seeds = seeds_of(name)
    assert seeds
    for seed in seeds:
        TARGETS[name](seed)


def test_all_that_was_found_is_tried():
    assert {path.name for path in FOUND.iterdir()} <= set(TARGETS)


def test_the_description_has_every_code():
    text = surface.DESCRIPTION.read_text()
    rows = re.findall(r"^ +\| `([a-z-]+)` \| (\d+) \|", text, re.MULTILINE)
    assert {code: int(status) for code, status in rows} == {
        code.value: status for code, status in STATUS.items()
    }
    listed = text.partition("    Code:\n      enum:\n")[2].split()
    assert [word for word in listed if word != "-"] == sorted(dict(rows))


def test_the_limits_in_the_description():
    text = surface.DESCRIPTION.read_text()
    limits = re.findall(r"maxItems: (\d{3,})", text)
    assert [int(limit) for limit in limits] == [BATCH_LIMIT, BATCH_LIMIT]


@pytest.fixture
def fuzzers_are_here():
    try:
        fuzzers.python()
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.mark.long
@pytest.mark.usefixtures("fuzzers_are_here")
def test_the_surface(make_server, tmp_path):
    report = surface.fuzz(make_server, SECONDS, tmp_path)
    assert not report.faults, str(report)
    answered = {(method, service, status) for method, service, status, _ in report.statuses}
    assert answered >= {
        ("GET", "/metrics", 200),
        ("GET", "/search", 200),
        ("POST", "/shacache", 201),
        ("POST", "/shadir", 200),
        ("PUT", "/shadir", 201),
    }


@pytest.mark.long
@pytest.mark.usefixtures("fuzzers_are_here")
def test_the_parsers(tmp_path):
    report = parsers.fuzz(SECONDS, tmp_path)
    assert not report.faults, str(report)
    for name, tried in report.tried.items():
        assert tried.inputs > len(seeds_of(name))
