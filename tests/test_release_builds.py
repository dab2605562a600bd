"""What is signed beside an archive: read strictly, and refused before a byte is fetched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import strategies
from hypothesis import example, given
from hypothesis import strategies as st

from slapos.networkcache.binary.builds import Build
from slapos.networkcache.binary.compatibility import host_for, unmet
from slapos.networkcache.binary.destination import Destination
from slapos.networkcache.binary.incumbent import IncumbentBuild
from slapos.networkcache.binary.manifest import MANIFEST_LIMIT
from slapos.networkcache.binary.requirements import Requirements
from slapos.networkcache.errors import NotBelieved, Reason
from slapos.networkcache.host import look_at_host
from slapos.networkcache.key import urlmd5

GOOD = Build(
    software_url="http://example.com/software.cfg",
    software_root="/opt/slapgrid",
    prefix="/opt/slapgrid/0123",
    shared=("/opt/slapgrid/shared",),
    files=3,
    unpacked_size=1000,
    manifest=100,
    archive="tar.zst",
    requirements=Requirements(),
)
MEMBERS = GOOD.members()
REMOVED: Any = object()


def changed(**members: Any) -> dict[str, Any]:
    return {n: v for n, v in (MEMBERS | members).items() if v is not REMOVED}


def reason(**members: Any) -> Reason:
    with pytest.raises(NotBelieved) as refused:
        Build.parse(changed(**members))
    assert len(str(refused.value)) < 1000
    return refused.value.reason


def test_it_comes_back_as_it_was() -> None:
    assert Build.parse(MEMBERS) == GOOD


def test_more_members_are_of_a_later_version() -> None:
    assert Build.parse(MEMBERS | {"more": 1}) == GOOD


@pytest.mark.parametrize("name", ["files", "unpacked_size", "manifest"])
@pytest.mark.parametrize(
    "value", [REMOVED, None, 0, -1, 1.0, True, "1", [1], (1 << 53) + 1, 1 << 70]
)
def test_a_number_that_is_none(name: str, value: Any) -> None:
    assert reason(**{name: value}) is Reason.BAD_ENTRY


def test_a_manifest_that_nobody_reads() -> None:
    Build.parse(changed(manifest=MANIFEST_LIMIT))
    assert reason(manifest=MANIFEST_LIMIT + 1) is Reason.BAD_ENTRY


@pytest.mark.parametrize("value", [REMOVED, None, "", "zip", "tar", ["tar.gz"], 1])
def test_a_kind_of_archive_that_is_none(value: Any) -> None:
    assert reason(archive=value) is Reason.BAD_ENTRY


@pytest.mark.parametrize("value", [REMOVED, None, "/opt/shared", {}, 1])
def test_shared_folders_that_are_no_list(value: Any) -> None:
    assert reason(shared=value) is Reason.BAD_ENTRY


@pytest.mark.parametrize("value", [REMOVED, None, [], "abi", {"kernel": "3"}])
def test_requirements_that_are_damaged(value: Any) -> None:
    assert reason(requirements=value) is Reason.BAD_ENTRY


@pytest.mark.parametrize(
    "folder",
    [
        None, 1, ["/opt"], "", "/", "opt/x", "/opt/", "//opt/x", "/opt//x", "/opt/../x",
        "/opt/./x", "/opt", "/opt/a:b", "/opt/$ORIGIN", "/opt/a b", "/opt/a\nb", "/opt/é",
        "/opt/a\0", "/" + "x" * 4001,
    ],
)  # fmt: skip
def test_a_folder_that_can_be_none(folder: Any) -> None:
    assert reason(prefix=folder) is Reason.UNFIT_PREFIX
    assert reason(shared=["/opt/shared", folder]) is Reason.UNFIT_PREFIX


def test_a_requirement_that_nobody_knows() -> None:
    statement = Build.parse(changed(requirements={"quantum": ["yes"]}))
    needs = statement.requirements
    (sentence,) = unmet(needs, host_for(needs, look_at_host))
    assert sentence.endswith("a newer one may: quantum")


def test_a_place_for_each_folder() -> None:
    moves = Destination("/srv/0123", "/srv/shared").moves(GOOD.prefix, GOOD.shared)
    assert [(move.built, move.destination) for move in moves] == [
        ("/opt/slapgrid/0123", "/srv/0123"),
        ("/opt/slapgrid/shared", "/srv/shared"),
    ]


@given(
    st.sampled_from(sorted(MEMBERS)).filter(lambda name: name != "software_url"),
    strategies.json_values,
)
def test_anything_in_a_member_is_read_or_refused(name: str, value: Any) -> None:
    try:
        statement = Build.parse(changed(**{name: value}))
    except NotBelieved:
        return
    assert statement.files > 0
    assert str(statement.members())


# -- those of slapos.core

OLD = {
    "software_url": "http://example.com/software.cfg",
    "software_root": "/opt/slapgrid",
    "multiarch": "x86_64-linux-gnu",
    "os": ["debian", "12", "bookworm"],
}
OLDER = {
    "software_url": "http://example.com/software.cfg",
    "software_root": "/opt/slapgrid",
    "machine": "x86_64",
    "os": "('debian', '12', 'bookworm')",
}


def test_an_old_one() -> None:
    expected = IncumbentBuild(
        OLD["software_url"],
        "/opt/slapgrid",
        "x86_64-linux-gnu",
        ("debian", "12", "bookworm"),
    )
    assert IncumbentBuild.parse(OLD) == expected
    assert IncumbentBuild.parse(OLDER) == expected


def test_an_old_one_is_for_one_folder() -> None:
    """That of its URL in its software root: nothing in it was made to be moved."""
    build, host = IncumbentBuild.parse(OLD), replace(look_at_host(), multiarch="other")
    place = f"/opt/slapgrid/{urlmd5(OLD['software_url'])}"

    def reasons(place: str) -> list[Reason]:
        return [no.reason for no in build.unfit(Destination(place), lambda *_, **__: host)]

    assert reasons(place) == [Reason.UNFIT_HOST]
    for other in ("/opt/slapgrid/other", f"/srv{place}", f"{place}/parts/base"):
        assert reasons(other) == [Reason.UNFIT_PREFIX, Reason.UNFIT_HOST]


@pytest.mark.parametrize(
    "os",
    [
        None, 1, [], ["debian"], ["debian", "12"], ["debian", 12, "x"], ["a"] * 4, "",
        "debian", "('debian', '12')", "__import__('os').abort()", "('a', 1, 'b')",
        "(" * 1000, "('a', 'b', 'c'", "[" * 100_000, "'a' 'b' 'c'", "\0", {"a": 1},
    ],
)  # fmt: skip
@pytest.mark.parametrize("old", [OLD, OLDER], ids=["old", "older"])
def test_an_old_distribution_that_is_none(old: dict[str, Any], os: Any) -> None:
    with pytest.raises(NotBelieved) as refused:
        IncumbentBuild.parse(old | {"os": os})
    assert refused.value.reason is Reason.BAD_ENTRY


@given(st.sampled_from([*OLD, "machine"]), strategies.json_values)
@example("multiarch", None)
def test_anything_in_an_old_one_is_read_or_refused(name: str, value: Any) -> None:
    for old in (OLD, OLDER):
        try:
            statement = IncumbentBuild.parse(old | {name: value})
        except NotBelieved:
            continue
        assert all(isinstance(word, str) for word in statement.distribution)
