"""``--networkcache-report FILE``: what came from where, for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from nodes import Node, Run, make_wheel, part

from slapos.networkcache.buildout.report import LOCAL
from slapos.networkcache.testing import faults

BODIES = {"a": b"a" * 1000, "b": b"b" * 2000}
PROJECT = "reported"
TALLY = {"files", "bytes", "seconds"}


def report(
    site, node: Node, *arguments: str, code: int = 0, parts: str = "a b egg"
) -> tuple[dict, Run]:
    """A run of a node that fetches two files, a page and a wheel; its report."""
    if f"/simple/{PROJECT}/" not in site.origin.pages:
        site.origin.distribute(PROJECT, make_wheel(site.folder, PROJECT))
    urls = {name: site.origin.put(f"/{name}.gz", body) for name, body in BODIES.items()}
    node.profile(
        *[part(name, "fetch", url=url) for name, url in urls.items()],
        part("egg", "egg", eggs=PROJECT),
        part("fail", "fail"),
        f"[versions]\n{PROJECT} = 1.0",
        buildout=f"parts = {parts}",
    )
    file = node.root / "report.json"
    run = node.networkcache("--networkcache-report", str(file), *arguments)
    assert run.code == code, run.said
    assert list(file.parent.glob("report.json*")) == [file]
    return json.loads(file.read_text()), run


def size_of(site) -> int:
    wheel = make_wheel(site.folder, PROJECT).read_bytes()
    page = site.origin.pages[f"/simple/{PROJECT}/"].body
    return sum(map(len, [*BODIES.values(), wheel, page]))


def check_tally(tally: dict, files: int, size: int) -> None:
    assert set(tally) == TALLY
    assert (tally["files"], tally["bytes"]) == (files, size)
    assert isinstance(tally["seconds"], float)
    assert (tally["seconds"] > 0) == (files > 0)


def test_from_origins_and_published(observed):
    found, _ = report(observed, observed.node(signs=observed.one))
    assert found["hits"] == {}
    check_tally(found["origin"], 4, size_of(observed))
    check_tally(found["published"], 4, size_of(observed))
    assert found["misses"] == {"not-found": 4}
    assert found["refused"] == found["failed"] == found["unpublished"] == {}
    assert (found["blocked"], found["kept"], found["legacy"], found["only_legacy"]) == (
        (0, 0, 0, 0)
    )
    assert found["saved"] == 0
    assert found["off"] == ""


def test_from_the_cache_and_from_the_local_store(observed):
    report(observed, observed.node(signs=observed.one))
    node = observed.node()
    found, _ = report(observed, node)
    check_tally(found["hits"].pop(str(observed.cache.source)), 4, size_of(observed))
    assert found["hits"] == found["misses"] == {}
    check_tally(found["origin"], 0, 0)
    for path in (node.place / "parts").iterdir():
        path.unlink()
    found, _ = report(observed, node, parts="a b")
    check_tally(found["hits"].pop(LOCAL), 2, 3000)
    assert found["hits"] == {}


def test_misses_and_refusals_by_reason(observed):
    report(observed, observed.node(signs=observed.two))
    found, _ = report(observed, observed.node())
    assert found["misses"] == {"unknown-signer": 4}
    assert found["refused"] == {"unknown-signer": 4}
    observed.cache.plan(faults.wrong, "GET /shacache")
    # In another order, for which there is no record, whose content would be the first.
    how = {"believes": [observed.two]}
    found, _ = report(observed, observed.node(**how), parts="b a egg")
    assert found["failed"]["wrong-content"] == 1
    assert set(found["misses"]) <= {"wrong-content", "left-alone"}
    assert sum(found["misses"].values()) == 4
    check_tally(found["origin"], 4, size_of(observed))


def test_what_is_not_published_by_reason(observed):
    observed.cache.plan(faults.drop, "POST /shacache")
    found, _ = report(observed, observed.node(signs=observed.one))
    assert sum(found["unpublished"].values()) == found["kept"] == 4
    assert set(found["unpublished"]) <= {"unreachable", "left-alone"}
    check_tally(found["published"], 0, 0)


def test_blocked(observed):
    found, _ = report(observed, observed.node("block-origin = true"), code=1)
    assert found["blocked"] == 1
    check_tally(found["origin"], 0, 0)


def test_off(observed):
    found, _ = report(observed, observed.node("signature-threshold = many"))
    assert found["off"].startswith("signature-threshold: expected")
    assert found["hits"] == found["misses"] == {}


def test_a_run_that_fails_writes_it_too(observed):
    node = observed.node(signs=observed.one)
    found, run = report(observed, node, parts="a fail", code=1)
    assert "this recipe always fails" in run.said
    check_tally(found["origin"], 1, 1000)
    check_tally(found["published"], 1, 1000)


def test_a_run_that_fetches_nothing(observed):
    found, _ = report(observed, observed.node(), parts="")
    assert found["hits"] == found["misses"] == {}
    check_tally(found["origin"], 0, 0)


def test_a_path_beside_who_calls(observed):
    """Buildout changes the folder; the path counts from where the command was given."""
    node = observed.node()
    (node.place / "elsewhere").mkdir()
    node.profile(buildout=f"parts =\ndirectory = {node.place / 'elsewhere'}")
    run = node.networkcache("--networkcache-report", "here.json")
    assert run.code == 0, run.said
    assert json.loads((node.place / "here.json").read_text())["misses"] == {}


def test_an_older_report_is_replaced(observed):
    node = observed.node()
    (node.root / "report.json").write_text("an older one")
    found, _ = report(observed, node, parts="")
    assert found["misses"] == {}


@pytest.mark.parametrize("name", ["nowhere/report.json", "folder"])
def test_a_path_that_cannot_be_written_costs_a_line(observed, name):
    url = observed.origin.put("/a.gz", b"a")
    node = observed.node(signs=observed.one)
    node.profile(part("a", "fetch", url=url), buildout="parts = a")
    (node.root / "folder").mkdir()
    path = node.root / name
    run = node.networkcache("--networkcache-report", str(path))
    assert run.code == 0, run.said
    assert node.part("a") == b"a"
    said = [line for line in run.ours if line.startswith("there is no report: ")]
    assert len(said) == 1
    assert "Traceback" not in run.said
    assert run.reports("published: 1 file"), run.report
    assert files_beside(path) == []


def files_beside(path: Path) -> list[str]:
    """What was half-written."""
    return [p.name for p in path.parent.glob(f"{path.name}.*")]
