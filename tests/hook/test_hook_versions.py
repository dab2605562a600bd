"""Every version of zc.buildout that the hook is for: what one node published another one
takes, and asks no origin at all."""

from __future__ import annotations

import pytest
from nodes import Node
from test_hook_rebuild import check_built, files_of, prepare

pytestmark = pytest.mark.buildout

EXTENSION = "extensions = slapos.networkcache\n"


@pytest.fixture
def make_node(site, zc_buildout):
    """Makes nodes with that version."""

    def make(name: str) -> Node:
        how = {"python": zc_buildout.python, "pins": zc_buildout.pins}
        return Node(site.folder / name, site.origin.index, **how)

    return make


def test_command(site, make_node, zc_buildout):
    name = f"command{zc_buildout.version}".replace(".", "x")
    profile = prepare(site, name)
    first, second = make_node("first"), make_node("second")
    first.configure(*site.options(signs=site.one))
    second.configure(*site.options())
    for node in (first, second):
        node.profile(buildout=f"extends = {profile}")

    run = first.networkcache()
    assert run.code == 0, run.said
    check_built(first, name)
    asked = {request.path for request in site.origin.requests}
    assert asked >= files_of(name)

    site.origin.forget()
    run = second.networkcache()
    assert run.code == 0, run.said
    check_built(second, name)
    assert [request.path for request in site.origin.requests] == []
    assert run.reports("from their origin: 0 files"), run.report


def test_extension(site, make_node, zc_buildout):
    name = f"extension{zc_buildout.version}".replace(".", "x")
    profile = prepare(site, name)
    first, second = make_node("first"), make_node("second")
    head = f"extends = {profile}\n{EXTENSION}"
    first.profile(site.section(signs=site.one), buildout=head)
    second.profile(site.section(), buildout=head)
    profiles = {path for path in files_of(name) if path.endswith(".cfg")}

    run = first.buildout()
    assert run.code == 0, run.said
    check_built(first, name)
    # What came before the extension was there is published too.
    for path in profiles:
        assert len(site.entries(site.origin.url + path)) == 1, path

    site.origin.forget()
    run = second.buildout()
    assert run.code == 0, run.said
    check_built(second, name)
    assert {request.path for request in site.origin.requests} == profiles
