"""What a run remembers, counts and says, beside a real zc.buildout run in `hook`."""

from __future__ import annotations

import time

import pytest
import zc.buildout
from caches import ALICE, BOB, DATA, REQUEST, URL, fill, options_for, pair_of, put
from cryptography.hazmat.primitives.asymmetric import rsa

from slapos.networkcache.buildout.run import Run
from slapos.networkcache.certificates import Signer, generate
from slapos.networkcache.digest import Digests
from slapos.networkcache.entry import Entry, Key, Pair
from slapos.networkcache.precedence import Place
from slapos.networkcache.testing import NetworkCache, faults
from slapos.networkcache.testing.running import in_threads

RSA = generate()
SMALL = Signer(rsa.generate_private_key(65537, 1024))


@pytest.fixture(autouse=True)
def no_memory(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run_for(*caches: NetworkCache, signers=(ALICE,), **options: str) -> Run:
    section = options_for(*caches, signers=signers)
    section.update({name.replace("_", "-"): value for name, value in options.items()})
    return Run({Place.CONFIG_FILE: section})


def test_who_lied_is_left_alone_although_a_profile_adds_options(near, tmp_path):
    fill(near)
    near.plan(faults.wrong, "GET /shacache", times=2)
    run = run_for(near)
    assert not run.take(REQUEST, str(tmp_path / "x"))
    run.configure({Place.PROFILE: {"signature-threshold": "1"}})
    asked = len(near.requests)
    assert not run.take(REQUEST, str(tmp_path / "x"))
    assert len(near.requests) == asked


def test_a_source_that_lies_is_reported_although_another_serves(near, far, tmp_path):
    fill(near)
    fill(far)
    near.plan(faults.wrong, "GET /shacache", times=2)
    run = run_for(near, far)
    assert run.take(REQUEST, str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == DATA
    assert "contents refused: 1 wrong-content" in list(run.report.lines())


def test_a_statement_that_does_not_count_is_reported_although_another_does(near, tmp_path):
    fill(near, b"other")
    fill(near, signer=BOB)
    fill(near)
    run = run_for(near, signers=(ALICE, BOB), signature_threshold="2")
    assert run.take(REQUEST, str(tmp_path / "x"))
    assert "entries refused: 1 below-threshold" in list(run.report.lines())


def old_pair(url: str, signer: Signer = RSA) -> Pair:
    entry = Entry.make(
        Key.for_file(URL), Digests.of([DATA]), int(time.time()), {"url": url}
    )
    return Pair(entry.text, signer.sign_legacy(entry.text))


def test_only_what_accept_would_believe_is_said_to_lack_it(near, tmp_path):
    small = Pair(pair_of(signer=SMALL).entry, SMALL.sign(pair_of(signer=SMALL).entry))
    put(near, old_pair(URL), old_pair(URL + "?"), small)
    run = run_for(near, signers=(RSA, SMALL))
    assert not run.take(REQUEST, str(tmp_path / "x"))
    assert run.report.refused["weak-signature"] == 3
    (line,) = [line for line in run.report.lines() if "old way" in line]
    assert line.startswith("1 refused only because")


def test_an_origin_that_is_not_asked_is_reported(near, tmp_path):
    run = run_for(near, block_origin="true")
    with pytest.raises(zc.buildout.UserError, match="block-origin"):
        run.take(REQUEST, str(tmp_path / "x"))
    assert any("1 not asked (block-origin)" in line for line in run.report.lines())


def test_many_threads_look_ahead_once(near, tmp_path):
    """Pip's index, and what fetches anew what came before an extension, have their own."""
    fill(near)
    near.plan(faults.drip(2000), "POST /shadir")
    run = run_for(near)
    run.profile = "http://example.com/software.cfg"
    run.expect({"a": {"url": URL}}, "")

    def take(number: int) -> bool:
        return run.take(REQUEST, str(tmp_path / str(number)))

    assert all(in_threads(8, take))
    asked = [str(request) for request in near.requests if "/shadir" in request.path]
    assert asked == ["POST /shadir"]
    run.close()
