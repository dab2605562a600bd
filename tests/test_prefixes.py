"""Where a folder is named in a file, and the name of the same length that takes its
place."""

from __future__ import annotations

import posixpath
import re
from itertools import pairwise

import pytest
import strategies  # noqa: F401 - the settings
from hypothesis import assume, example, given
from hypothesis import strategies as st

from slapos.networkcache.binary.prefixes import (
    Span,
    check_move,
    check_prefix,
    leads_into,
    occurrences,
    spelled,
)
from slapos.networkcache.errors import NotBelieved, Reason

FOLDER = "/opt/slapgrid/0123"

_component = st.text("ab.", min_size=1, max_size=3).filter(lambda s: s.strip("."))
folders = st.lists(_component, min_size=2, max_size=4).map(lambda s: "/" + "/".join(s))
"""Few letters: their names begin and end alike, and repeat themselves."""
_noise = st.text("ab/. \0", max_size=12)


def found(text: str | bytes, folder: str = FOLDER) -> list[tuple[int, int]]:
    data = text if isinstance(text, bytes) else text.encode()
    return [(span.offset, span.length) for span in occurrences(data, folder)]


# -- where


@pytest.mark.parametrize(
    "after", ["", "/", "/bin", "//bin", "\0", "\n", '"', "'", ":", " ", ";", ",", ")", "]"]
)
@pytest.mark.parametrize("before", ["", "#!", "-I", "=", ":", "\0", "file://", "é"])
def test_a_folder_or_what_begins_with_it(before: str, after: str) -> None:
    at = len(before.encode())
    assert found(f"{before}{FOLDER}{after}") == [(at, len(FOLDER))]


@pytest.mark.parametrize("after", ["4", "-2", ".bak", "_", "+", "@1", "Z"])
def test_another_name_that_begins_alike(after: str) -> None:
    assert found(FOLDER + after) == []


@pytest.mark.parametrize("before", [b"z\x12", b"\x8c\x12", b"s\x12\0\0\0"])
@pytest.mark.parametrize("after", [b"N", b"z\1x"])
def test_a_name_whose_length_stands_before_it(before: bytes, after: bytes) -> None:
    """As in bytecode and pickles, where letters and digits may follow that mean something
    else."""
    at = len(before)
    assert found(before + FOLDER.encode() + after) == [(at, len(FOLDER))]
    assert found(before.replace(b"\x12", b"\x13") + FOLDER.encode() + after) == []


@pytest.mark.parametrize(
    "text",
    [
        "/opt/slapgri/0123",
        "/opt/slapgrid/012",
        "opt/slapgrid/0123",
        "/op/slapgrid/0123",
        "",
    ],
)
def test_what_is_not_the_folder(text: str) -> None:
    assert found(text) == []


def test_every_one_is_found() -> None:
    text = f"{FOLDER}:{FOLDER}/bin{FOLDER}"
    assert found(text) == [(0, 18), (19, 18), (41, 18)]


def test_one_that_is_filled_up_has_its_length() -> None:
    assert found("x/opt/////slapgrid/0123/bin") == [(1, 22)]
    assert found("x/opt/slapgrid//0123/bin") == []


@pytest.mark.parametrize("folder", ["/a/a/a", "/a/b/a/b", "/b/a/a"])
@pytest.mark.parametrize("before", ["", "/a", "/b", "/a/a", "/b/a/b"])
def test_names_that_repeat_themselves(folder: str, before: str) -> None:
    """Its end may be found too early, in the midst of itself. Of two that share a part the
    first one counts."""
    text = before + folder
    assert found(text, folder)[0][0] == text.index(folder)


# -- what may be one


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "opt", "/opt/", "//opt", "/opt//x", "/opt/./x", "/opt/../x", "/x/..",
        "/x/a b", "/x/a:b", "/x/$ORIGIN", "/x/a\n", "/x/a\0", "/x/ä", "/x/a,b", "/x/a~",
        "/x/a*", "/x/a'b", "/x/\udcff", "/x/" + "x" * 4000, "/a", "/opt",
    ],
)  # fmt: skip
def test_what_can_be_no_folder(path: str) -> None:
    with pytest.raises(NotBelieved, match="expected an absolute path") as refused:
        check_prefix(path)
    assert refused.value.reason is Reason.UNFIT_PREFIX
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    "path", ["/a/b", "/opt/slapgrid", "/A-z_0.9+@/x", "/a/...", "/.a/x"]
)
def test_what_can_be_one(path: str) -> None:
    check_prefix(path)


def test_a_longer_one_is_refused_with_both_lengths() -> None:
    check_move("/opt/a", "/srv/b")
    with pytest.raises(NotBelieved, match=r"2 bytes longer.*at most 6 bytes.*= 8"):
        check_move("/opt/a", "/srv/bcd")


def test_a_link_into_a_folder() -> None:
    assert leads_into(FOLDER, FOLDER)
    assert leads_into("//opt///slapgrid/0123//b", FOLDER)
    for dots in ("../b", "a/../b", "a/.."):
        assert not leads_into(f"{FOLDER}/{dots}", FOLDER)
    assert not leads_into(f"{FOLDER}4", FOLDER)
    assert not leads_into("bin", FOLDER)


# -- properties


@given(folders, st.integers(0, 20))
def test_filled_up_it_is_the_same_folder(folder: str, more: int) -> None:
    name = spelled(folder, len(folder) + more).decode()
    assert len(name) == len(folder) + more
    # Two slashes at the beginning may mean something else, to POSIX.
    assert posixpath.normpath("/" + name.lstrip("/")) == folder


@given(folders, st.lists(st.tuples(_noise, st.integers(0, 3)), max_size=5), _noise)
@example("/a/b/a/b", [("/a", 0)], "")
@example("/a/a/a", [("", 0), ("", 2)], "/a")
def test_whatever_is_planted_is_found(folder: str, planted: list, end: str) -> None:
    """As far as it is a whole name; and nothing is found that is none."""
    text = ""
    places = []
    for before, more in planted:
        name = spelled(folder, len(folder) + more).decode()
        places.append(Span(len(text + before), len(name)))
        text += before + name
    text += end
    spans = list(occurrences(text.encode(), folder))
    for span in spans:
        assert text[span.offset : span.end].encode() == spelled(folder, span.length)
        assert not re.match(r"[A-Za-z0-9_.+@-]", text[span.end : span.end + 1])
    assert spans == sorted(spans)
    assert all(a.end <= b.offset for a, b in pairwise(spans))
    for place in places:
        if not re.match(r"[ab.]", text[place.end : place.end + 1]):
            # Of two that share a part the first one counts.
            assert any(s.offset < place.end and place.offset < s.end for s in spans)


@given(folders, folders, st.lists(st.tuples(_noise, st.integers(0, 3)), max_size=5))
def test_one_takes_the_place_of_the_other(built: str, there: str, planted: list) -> None:
    """No name is left, the length is the same, and the way back is the same way."""
    assume(len(there) <= len(built) and not _overlap(built, there))
    text = b"\n".join(b.encode() + spelled(built, len(built) + more) for b, more in planted)
    spans = list(occurrences(text, built))
    moved = _replaced(text, spans, there)
    assert len(moved) == len(text)
    assert list(occurrences(moved, built)) == []
    assert _replaced(moved, spans, built) == text


def _replaced(data: bytes, spans: list[Span], folder: str) -> bytes:
    changed = bytearray(data)
    for span in spans:
        changed[span.offset : span.end] = spelled(folder, span.length)
    return bytes(changed)


def _overlap(built: str, there: str) -> bool:
    """Whether one begins as the other ends, so that what stands around a new name may make
    the old one of it: such a file is refused."""
    return bool({*built.split("/")[1:]} & {*there.split("/")[1:]})
