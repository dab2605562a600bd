"""What a record says after a run: all of a whole run, more than before after a part."""

from __future__ import annotations

import pytest

from slapos.networkcache.buildout.usage import Usage, worth_recording
from slapos.networkcache.digest import Digest
from slapos.networkcache.key import Key
from slapos.networkcache.record import Used


def used(name: str, content: str = "content") -> Used:
    return Used(Key.parse(name), Digest.of(content.encode()), 1)


A, B, C = map(used, "abc")
NEW_B = used("b", "changed")


@pytest.mark.parametrize(
    ("ran", "before", "complete", "recorded"),
    [
        ([A, B], [], True, [A, B]),
        ([B], [A, B, C], True, [B]),  # the others are not needed any more
        ([B], [A, B, C], False, [A, B, C]),  # they were there already
        ([NEW_B], [A, B, C], False, [NEW_B, A, C]),
        ([C, A], [A, B], False, [C, A, B]),
        ([B, A], [A, B], True, [A, B]),  # the same use, the same bytes
    ],
)
def test_what_is_recorded(ran, before, complete, recorded):
    assert list(worth_recording(ran, before, complete=complete)) == recorded


def test_what_is_published_late_keeps_its_place():
    usage = Usage()
    usage.expect("offer of a")
    usage.taken(B)
    usage.expect("never published")
    usage.published("offer of a", A)
    usage.taken(B)
    assert usage.all() == [A, B]
    assert usage.has_published(A.key)
    assert not usage.has_published(B.key)
