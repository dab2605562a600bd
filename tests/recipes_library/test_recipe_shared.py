"""``shared = true``: parts that several buildouts share, and find again."""

from __future__ import annotations

import json
import stat

import pytest
from sections import built, parts, profile, read_archive, refused, section, sums

ARCHIVE = read_archive("good.tar.gz")


@pytest.fixture
def shared(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


def fetching(node, url, *folders, recipe="download-unpacked", **options):
    lines = "".join(f"\n  {folder}" for folder in folders)
    what = section(recipe, url=url, shared="true", **sums(ARCHIVE), **options)
    profile(node, what, buildout=f"shared-part-list ={lines}" if folders else "")


def only(folder):
    (path,) = folder.iterdir()
    return path


def location(node) -> str:
    lines = (node.place / ".installed.cfg").read_text().splitlines()
    (found,) = [line for line in lines if line.startswith("location = ")]
    return found.removeprefix("location = ")


@pytest.mark.parametrize(
    ("recipe", "file"), [("download-unpacked", "configure"), ("download", "part")]
)
def test_it_is_found_by_another_buildout(site, shared, recipe, file):
    url = site.origin.put("/shared.tar.gz", ARCHIVE)
    one, two = site.bare_node(), site.bare_node()
    for node in (one, two):
        fetching(node, url, shared, recipe=recipe)
        built(node.buildout())
        place = only(shared / "part")
        assert location(node) == str(place)
        assert parts(node) == []
    assert len(site.origin.asked("/shared.tar.gz")) == 1
    assert (place / file).is_file()
    assert json.loads((place / ".buildout-shared.json").read_text())["url"] == url
    assert only(shared).name == "part"
    for path in (place, *place.rglob("*")):
        assert path.is_symlink() or not stat.S_IMODE(path.stat().st_mode) & 0o222, path


def test_other_options_are_another_part(site, shared):
    url = site.origin.put("/options.tar.gz", ARCHIVE)
    node = site.bare_node()
    fetching(node, url, shared)
    built(node.buildout())
    fetching(node, url, shared, strip_top_level_dir="false")
    built(node.buildout())
    assert len(list((shared / "part").iterdir())) == 2


def test_it_stays_when_it_is_uninstalled(site, shared):
    url = site.origin.put("/stays.tar.gz", ARCHIVE)
    node = site.bare_node()
    fetching(node, url, shared)
    built(node.buildout())
    profile(node, parts="")
    built(node.buildout())
    assert (only(shared / "part") / "configure").is_file()


def test_the_first_folder_that_may_be_written(site, shared, tmp_path):
    url = site.origin.put("/writable.tar.gz", ARCHIVE)
    node = site.bare_node()
    fetching(node, url, tmp_path / "missing", shared)
    built(node.buildout())
    assert only(shared / "part").is_dir()
    assert not (tmp_path / "missing").exists()


def test_it_is_found_in_any_folder(site, shared, tmp_path):
    url = site.origin.put("/any.tar.gz", ARCHIVE)
    fetching(one := site.bare_node(), url, shared)
    built(one.buildout())
    nearer = tmp_path / "nearer"
    nearer.mkdir()
    fetching(two := site.bare_node(), url, nearer, shared)
    built(two.buildout())
    assert list(nearer.iterdir()) == []
    assert len(site.origin.asked("/any.tar.gz")) == 1


def test_without_a_list_it_is_a_part_like_others(site):
    url = site.origin.put("/alone.tar.gz", ARCHIVE)
    node = site.bare_node()
    fetching(node, url)
    built(node.buildout())
    assert parts(node) == ["part"]


def test_what_an_interrupted_one_left_is_replaced(site, shared):
    """Only one with its mark is whole."""
    url = site.origin.put("/interrupted.tar.gz", ARCHIVE)
    fetching(one := site.bare_node(), url, shared)
    built(one.buildout())
    place = only(shared / "part")
    place.chmod(0o755)
    (place / ".buildout-shared.json").unlink()
    (place / "configure").unlink()
    fetching(two := site.bare_node(), url, shared)
    built(two.buildout())
    assert only(shared / "part") == place
    assert (place / "configure").is_file()


def test_one_that_is_gone_comes_again_with_an_update(site, shared):
    url = site.origin.put("/gone.tar.gz", ARCHIVE)
    node = site.bare_node()
    fetching(node, url, shared)
    built(node.buildout())
    place = only(shared / "part")
    place.rename(shared.with_name("elsewhere"))
    built(node.buildout())
    assert (place / "configure").is_file()


def test_one_that_fails_leaves_nothing(site, shared):
    url = site.origin.put("/failing.tar.gz", b"another")
    node = site.bare_node()
    fetching(node, url, shared)
    refused(node.buildout())
    assert list((shared / "part").iterdir()) == []
