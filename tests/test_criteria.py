"""Choosing among entries by ``KEY{==,<=,>=,<,>,<<,>>}VALUE``."""

from __future__ import annotations

from typing import Any

import pytest

from slapos.networkcache.criteria import Criterion, choose
from slapos.networkcache.errors import InvalidInput

ENTRIES: list[dict[str, Any]] = [
    {"id": 0, "n": 2, "v": [4, 2], "s": "b"},
    {"id": 1, "n": 3, "v": [4, 10], "s": "a"},
    {"id": 2, "n": 1, "v": [3], "s": "c"},
    {"id": 3, "n": 3, "v": "4.2", "s": "a"},
    {"id": 4, "s": "d"},
]


def chosen(*criteria: str) -> list[int]:
    parsed = [Criterion.parse(text) for text in criteria]
    return [entry["id"] for entry in choose(parsed, ENTRIES, lambda entry: entry)]


@pytest.mark.parametrize(
    ("criteria", "ids"),
    [
        ((), [0, 1, 2, 3, 4]),
        (("n==3",), [1, 3]),
        (("n>=2",), [0, 1, 3]),
        (("n>2",), [1, 3]),
        (("n<=2",), [0, 2]),
        (("n<2",), [2]),
        (("n>>0",), [1, 3]),
        (("n<<9",), [2]),
        (("n<<Infinity",), [2]),
        (("n>>2",), [1, 3]),
        (("n>>3",), []),
        (("v==[3]",), [2]),
        (("v>=[4,2]", "v<<[9]"), [0]),
        (("v>=[3]",), [0, 1, 2]),
        (('s=="a"', "n>>0"), [1, 3]),
        (('s>="b"', "n<<9"), [2]),
        (("missing==1",), []),
        (("missing==1", "n==3"), []),
        # They apply in their order.
        (("n>>0", 's<="b"'), [1, 3]),
        (("n<<9", 's<="b"'), []),
        # What cannot be compared does not count, but it can be equal.
        (('v>"4"',), [3]),
        (("v==4",), []),
    ],
)
def test_what_fits(criteria, ids) -> None:
    assert chosen(*criteria) == ids


def test_what_cannot_be_compared_is_said(caplog) -> None:
    assert chosen("v>=[3]") == [0, 1, 2]
    assert caplog.messages == ["cannot be compared: '4.2' >= [3]"]


@pytest.mark.parametrize(
    ("text", "criterion"),
    [
        ("a==1", Criterion("a", "==", 1)),
        ("a=b==1", Criterion("a=b", "==", 1)),
        ('a<"<<"', Criterion("a", "<", "<<")),
        ("a<=1", Criterion("a", "<=", 1)),
        ("a<<1", Criterion("a", "<<", 1)),
        ("a>>-1", Criterion("a", ">>", -1)),
        ("==1", Criterion("", "==", 1)),
    ],
)
def test_how_one_is_read(text, criterion) -> None:
    assert Criterion.parse(text) == criterion


@pytest.mark.parametrize(
    "text", ["", "a", "a=1", "a==", "a==b", "a==[", "a==" + "[" * 99999]
)
def test_what_is_none(text) -> None:
    with pytest.raises(InvalidInput):
        Criterion.parse(text)
