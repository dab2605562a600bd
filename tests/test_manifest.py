"""The manifest of an archive: read strictly, and written always alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from slapos.networkcache.binary.manifest import Manifest
from slapos.networkcache.binary.prefixes import Span
from slapos.networkcache.binary.shared_parts import SharedPart
from slapos.networkcache.errors import InvalidArchive

HASH = "0123456789abcdef" * 2
PREFIXES = ("/opt/slapgrid/0123", "/opt/shared")
GOOD = Manifest(
    PREFIXES,
    {"0123/bin/curl": [[17, 9046], [1042]], "0123/bin/sh": [[2]]},
    {"0123/bin/curl": [[[90, 62]]], "0123/nested": [[], [[0, 11]]]},
    {"0123/bin/python": 0, "0123/etc/localtime": None, "0123/x\udcff": 1},
    {f"shared/0/zlib/{HASH}": "5f" * 32},
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Any that can be written; the places in a file do not overlap."""
    component = st.text("abc._+@-0", min_size=1, max_size=4).filter(lambda s: s.strip("."))
    folder = st.lists(component, min_size=2, max_size=4).map(lambda s: "/" + "/".join(s))
    prefixes = tuple(draw(st.lists(folder, min_size=1, max_size=3, unique=True)))
    names = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=8)
    files: dict[str, list[list[int]]] = {}
    longer: dict[str, list[list[list[int]]]] = {}
    for name in draw(st.lists(names, max_size=3)):
        at = 0
        offsets: list[list[int]] = [[] for _ in prefixes]
        spans: list[list[list[int]]] = [[] for _ in prefixes]
        for number, more, gap in draw(
            st.lists(
                st.tuples(
                    st.integers(0, len(prefixes) - 1), st.integers(0, 3), st.integers(0, 9)
                ),
                max_size=4,
            )
        ):
            at += gap
            length = len(prefixes[number]) + more
            if more:
                spans[number].append([at, length])
            else:
                offsets[number].append(at)
            at += length
        files[name], longer[name] = offsets, spans
    numbers = st.none() | st.integers(0, len(prefixes) - 1)
    parts = {f"shared/{n}/zlib/{HASH}": f"{n}" * 64 for n in range(len(prefixes) - 1)}
    return Manifest(
        prefixes, files, longer, draw(st.dictionaries(names, numbers, max_size=3)), parts
    )


@given(manifests())
def test_it_comes_back_as_it_was(manifest: Manifest) -> None:
    data = manifest.serialised()
    assert Manifest.parse(data) == manifest
    assert Manifest.parse(data).serialised() == data


def test_an_example() -> None:
    """As the docstring shows it."""
    assert Manifest.parse(GOOD.serialised()) == GOOD
    assert GOOD.changed == ["0123/bin/curl", "0123/bin/sh", "0123/nested"]
    assert list(GOOD.spans("0123/bin/curl")) == [
        (Span(17, 18), 0),
        (Span(9046, 18), 0),
        (Span(1042, 11), 1),
        (Span(90, 62), 0),
    ]
    assert list(GOOD.spans("0123/bin")) == []


# -- damaged

_TRUE: Any = json.loads(GOOD.serialised())


def steps(value: Any) -> list[list[Any]]:
    """The ways to each value in it."""
    if isinstance(value, dict):
        inside = list(value.items())
    else:
        inside = list(enumerate(value)) if isinstance(value, list) else []
    return [[], *([key, *more] for key, below in inside for more in steps(below))]


def changed(way: list[Any], new: Any) -> Any:
    value = json.loads(GOOD.serialised())
    if not way:
        return new
    inside = value
    for step in way[:-1]:
        inside = inside[step]
    inside[way[-1]] = new
    return value


other = strategies.json_values | st.sampled_from(
    [True, 1.0, -1, 1 << 70, [[0]], [[[0, 1]]], [[[0, 1 << 70]]], ["/opt/a:b"], {"": 0}]
)


def read(data: bytes) -> Manifest | str:
    """The manifest, or why it is none."""
    try:
        return Manifest.parse(data)
    except InvalidArchive as error:
        return str(error)


@given(st.sampled_from(steps(_TRUE)), other)
def test_a_mutated_one_is_read_or_refused(way: list[Any], new: Any) -> None:
    """And what was read can be used."""
    data = json.dumps(changed(way, new)).encode()
    manifest = read(data)
    if isinstance(manifest, str):
        assert manifest.startswith("its manifest is damaged")
        assert manifest.isprintable()
        return
    for member in manifest.changed:
        for span, number in manifest.spans(member):
            assert span.offset >= 0
            assert span.length >= len(manifest.prefixes[number])
    assert all(n is None or manifest.prefixes[n] for n in manifest.links.values())
    assert all(SharedPart.parse(member) for member in manifest.parts)


@given(st.binary(max_size=60) | st.text('[]{}",:0-e.n\\u', max_size=60).map(str.encode))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidArchive, match="its manifest is damaged"):
        Manifest.parse(data)


@given(st.integers(0, len(GOOD.serialised()) - 1))
def test_a_cut_one_is_refused(length: int) -> None:
    with pytest.raises(InvalidArchive):
        Manifest.parse(GOOD.serialised()[:length])


@pytest.mark.parametrize(
    "member",
    [
        "", "shared", "shared/0/zlib", f"shared/0/zlib/{HASH}/lib", f"shared//zlib/{HASH}",
        f"shared/-1/zlib/{HASH}", f"shared/00/zlib/{HASH}", f"shared/1000/zlib/{HASH}",
        f"shared/٣/zlib/{HASH}", f"shared/0/./{HASH}", f"shared/0/../{HASH}",
        f"shared/0/z lib/{HASH}", f"shared/0/zlib/{HASH.upper()}",
        f"shared/0/zlib/{HASH}\n", f"0123/0/zlib/{HASH}",
    ],
)  # fmt: skip
def test_what_is_no_shared_part(member: str) -> None:
    assert SharedPart.parse(member) is None


def test_a_shared_part() -> None:
    assert SharedPart.parse(f"shared/12/..z/{HASH}") == (12, "..z", HASH)
