"""Every golden file is believed, or refused for the reason that its name says."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from golden import make
from golden.case import CONTENT, NOW
from golden.signing import certificate
from judging import judge_answer

from slapos.networkcache.binding import Request
from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key
from slapos.networkcache.errors import Reason
from slapos.networkcache.trust import Policy, TrustedEntry
from slapos.networkcache.urls import Checksum

FOLDER = make.HERE
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text())


def body_of(name: str, folder: Path = FOLDER) -> bytes:
    data = (folder / "answers" / name).read_bytes()
    return gzip.decompress(data) if name.endswith(".gz") else data


def request_of(asked: dict[str, Any]) -> Request:
    checksums = tuple(Checksum(*checksum) for checksum in asked.get("checksums", ()))
    return Request(**asked | {"key": Key.parse(asked["key"]), "checksums": checksums})


def policy_of(policy: dict[str, Any]) -> Policy:
    return Policy(
        **policy
        | {
            "certificates": [certificate(name) for name in policy["certificates"]],
            "blacklist": {Digest.parse(hex) for hex in policy.get("blacklist", ())},
        }
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_golden(name: str) -> None:
    expected = EXPECTED[name]
    outcome = judge_answer(
        body_of(name),
        request_of(expected["asked"]),
        policy_of(expected["policy"]),
        NOW,
        expected["newest_believed"],
    )
    if expected["reason"] is not None:
        assert outcome is Reason(expected["reason"])
    else:
        assert isinstance(outcome, TrustedEntry), outcome
        assert outcome.digest == Digest.of(b"" if "empty" in name else CONTENT)


def test_names_say_what_is_good() -> None:
    for name, expected in EXPECTED.items():
        assert name.startswith("good-") == (expected["reason"] is None), name


def test_every_file_is_expected() -> None:
    assert {path.name for path in (FOLDER / "answers").iterdir()} == set(EXPECTED)


def test_the_script_makes_the_same_files(tmp_path: Path) -> None:
    make.main(tmp_path)
    assert json.loads((tmp_path / "expected.json").read_text()) == EXPECTED
    for name in EXPECTED:
        assert body_of(name, tmp_path) == body_of(name), name
