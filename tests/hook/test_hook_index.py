"""The same with the package index that everybody uses, and a recipe that everybody has."""

from __future__ import annotations

import pytest
from nodes import Node, entries
from origin import Origin

pytestmark = pytest.mark.buildout

PINS = {"zc.recipe.egg": "4.0.0", "pytz": "2024.1"}


def test_eggs_of_the_package_index(site, origin: Origin):
    stack = origin.put(
        "/stack.cfg",
        "[buildout]\nparts = eggs\n[eggs]\nrecipe = zc.recipe.egg\neggs = pytz\n"
        "[versions]\n" + "".join(f"{name} = {version}\n" for name, version in PINS.items()),
    )
    for number, signs in enumerate((site.one, None)):
        node = Node(site.folder / f"real{number}", index="")
        node.configure(*site.options(signs=signs))
        node.profile(buildout=f"extends = {stack}")
        run = node.networkcache()
        if "Download error" in run.said or "Some network" in run.said:
            pytest.skip("the package index cannot be reached")
        assert run.code == 0, run.said
        assert "pytz" in node.eggs
        if signs:
            assert run.reports("published: 5 files"), run.report
    # Two of them are index pages.
    assert run.reports(f"from the network cache {site.cache.dir_url}: 5 files"), run.report
    assert run.reports("from their origin: 0 files"), run.report
    (entry,) = entries(site.cache, f"pypi:pytz={PINS['pytz']}")
    assert "transport" not in entry
