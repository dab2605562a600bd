"""The report comes after every run; standard output and exit codes are buildout's."""

from __future__ import annotations

import json

import pytest
from nodes import part

from slapos.networkcache.buildout.report import Report
from slapos.networkcache.errors import Reason


def test_never_more_than_ten_lines():
    report = Report(off="why", legacy=3)
    for number in range(5):
        report.hit(f"http://cache{number}", 1, 1.0)
    for counter in (report.misses, report.refused, report.unpublished):
        counter.update(dict.fromkeys(Reason, 2))
    report.origin.add(1, 1.0)
    report.published.add(1, 1.0)
    assert len(list(report.lines())) == 10


def test_programs_read_why_something_was_missed_and_how_often():
    report = Report()
    report.misses.update([str(Reason.LEFT_ALONE)] * 2)
    assert json.loads(json.dumps(report.plain()))["misses"] == {"left-alone": 2}


@pytest.mark.parametrize("extension", [False, True])
def test_a_run_that_fails(site, extension):
    url = site.origin.put(f"/fails{extension}.tar.gz", b"fails")
    parts = part("a", "fetch", url=url), part("b", "fail")
    if extension:
        node = site.bare_node()
        head = "parts = a b\nextensions = slapos.networkcache"
        node.profile(*parts, site.section(signs=site.one), buildout=head)
        run = node.buildout()
    else:
        node = site.node(signs=site.one)
        node.profile(*parts, buildout="parts = a b")
        run = node.networkcache()
    assert run.code == 1
    assert "this recipe always fails" in run.said
    assert run.reports("from their origin: 1 file"), run.said
    assert run.reports("published: 1 file"), run.said
    assert len(run.report) <= 10


def test_every_run_of_a_configured_node_has_one(site):
    node = site.node()
    node.profile(buildout="parts =")
    run = node.networkcache()
    assert run.code == 0
    assert run.report == ["from the network cache: nothing, for nothing was fetched"]


def test_without_configuration_nothing_is_said(site):
    url = site.origin.put("/nothing.tar.gz", b"nothing")
    node, bare = site.bare_node(), site.bare_node()
    for each in (node, bare):
        each.profile(part("a", "fetch", url=url), buildout="parts = a")
    run, without = node.networkcache(TMPDIR="/tmp"), bare.buildout(TMPDIR="/tmp")
    assert (run.code, run.stderr) == (0, "")
    cut = slice(0, -2)  # the last line names a temporary file

    def lines(run, node):
        return run.stdout.replace(str(node.root), "NODE").splitlines()[cut]

    assert lines(run, node) == lines(without, bare)


@pytest.mark.parametrize(
    "words",
    [
        ("annotate",),
        ("annotate", "networkcache"),
        ("query", "buildout:parts"),
        ("-c", "other.cfg", "query", "buildout:parts"),
        ("-cother.cfg", "-U", "query", "buildout:parts"),
        ("-Nt", "30", "buildout:x=y z", "query", "buildout:x"),
        ("--version",),
        ("query", "buildout:nothing"),
        ("-c", "missing.cfg", "annotate"),
        ("no-such-command",),
        ("-x",),
        ("buildout:log-level=DEBUG", "annotate", "buildout"),
    ],
)
def test_standard_output_and_exit_code_are_those_of_buildout(site, words):
    """`networkcache buildout` is a drop-in, even where buildout refuses."""
    profile = site.origin.put("/drop-in.cfg", "[buildout]\nparts = remote\n")
    node = site.node(signs=site.one)
    node.profile(buildout=f"extends = {profile}")
    node.write("buildout/other.cfg", "[buildout]\nparts = another\n")
    node.place.joinpath("eggs/v5").mkdir(parents=True)
    without, run = node.buildout(*words), node.networkcache(*words)
    assert (run.code, run.stdout) == (without.code, without.stdout)
    others = [line for line in run.stderr.splitlines() if "slapos.networkcache" not in line]
    assert others == without.stderr.splitlines()


def test_quiet_and_verbose(site):
    url = site.origin.put("/quiet.tar.gz", b"quiet")
    node = site.node()
    node.profile(part("a", "fetch", url=url), buildout="parts = a")
    assert node.networkcache("-q").stderr == ""
    assert "no source has an entry" not in node.networkcache().stderr
    assert "no source has an entry" in node.networkcache("-v").stderr
