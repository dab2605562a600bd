"""buildout upgrades itself, and starts itself anew: the hook is there in the child too."""

from __future__ import annotations

import json
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from nodes import Node, part

NEWER = "99.0"
SAY = """\
import sys
import zc.buildout

print("argv:", sys.argv)
print("buildout:", zc.buildout.__file__)
print("optimize:", sys.flags.optimize)
"""


def make_newer_buildout(folder: Path) -> Path:
    """The zc.buildout that is installed here, as a wheel of a higher version."""
    installed = distribution("zc.buildout")
    path = folder / f"zc_buildout-{NEWER}-py3-none-any.whl"
    old, new = (f"zc_buildout-{v}.dist-info" for v in (installed.version, NEWER))
    with zipfile.ZipFile(path, "w") as archive:
        for file in installed.files or ():
            name = str(file).replace(old, new)
            if "/tests/" in name or name.endswith(".pyc") or name.startswith(".."):
                continue
            data = Path(installed.locate_file(file)).read_bytes()
            if name == f"{new}/METADATA":
                data = data.replace(
                    f"\nVersion: {installed.version}\n".encode(),
                    f"\nVersion: {NEWER}\n".encode(),
                )
            archive.writestr(name, b"" if name == f"{new}/RECORD" else data)
    return path


@pytest.fixture
def profile(site) -> str:
    """The URL of a profile that pins a newer zc.buildout, which is in the index."""
    origin = site.origin
    origin.distribute("zc-buildout", make_newer_buildout(site.folder))
    for name in ("pip", "setuptools", "wheel"):
        origin.put(f"/simple/{name}/", "<html></html>", type="text/html")
    script = site.folder / "say.py"
    script.write_text(SAY)
    url = origin.put("/upgraded.tar.gz", b"upgraded")
    return origin.put(
        "/upgrade.cfg",
        "[buildout]\nparts = a b\n"
        f"{part('a', 'fetch', url=url)}{part('b', 'script', script=str(script))}"
        f"[versions]\nzc.buildout = {NEWER}\n",
    )


def bootstrapped(node: Node, profile: str) -> Node:
    node.pins = {name: pin for name, pin in node.pins.items() if name != "zc.buildout"}
    node.profile(buildout=f"extends = {profile}", newest="true")
    run = node.networkcache("bootstrap")
    assert run.code == 0, run.said
    # The environment of the tests is a development egg for buildout, and would go first.
    (link,) = node.place.glob("develop-eggs/zc*buildout.egg-link")
    link.unlink()
    return node


def check_upgraded(node: Node, run, *, optimize: str) -> None:
    assert run.code == 0, run.said
    assert run.said.count("Restarting.") == 1
    lines = run.stdout.splitlines()
    script = node.place / "bin" / "buildout"
    assert f"argv: ['{script}', 'buildout:mark=x y', '-v']" in lines
    assert f"optimize: {optimize}" in lines
    (where,) = (line for line in lines if line.startswith("buildout: "))
    assert f"/eggs/v5/zc.buildout-{NEWER}-" in where
    assert node.part("a") == b"upgraded"


def test_upgrade(site, profile):
    """Once with an origin; and once, by a Python that is told to optimise, without one:
    what the child reads first comes from the cache too."""
    arguments = ("--networkcache-report", "../report.json", "buildout:mark=x y", "-v")
    first = bootstrapped(site.node(signs=site.one), profile)
    check_upgraded(first, first.networkcache(*arguments), optimize="0")

    site.origin.stop()
    second = bootstrapped(site.node(), profile)
    run = second.networkcache(*arguments, PYTHONOPTIMIZE="1")
    check_upgraded(second, run, optimize="1")
    report = json.loads((second.root / "report.json").read_text())
    before = report.pop("before_upgrade")
    for part_of_it in (before, report):
        assert part_of_it["origin"]["files"] == 0
        assert part_of_it["misses"] == {}
        assert sum(tally["files"] for tally in part_of_it["hits"].values()) >= 2


def test_a_child_that_is_killed(site, profile):
    """Its report is not there, and no older one stands for it."""
    (site.folder / "say.py").write_text("import os; os.kill(os.getpid(), 9)")
    node = bootstrapped(site.node(), profile)
    path = node.write("report.json", '{"origin": "of yesterday"}')
    run = node.networkcache("--networkcache-report", str(path))
    assert run.code != 0
    assert "Restarting." in run.said
    report = json.loads(path.read_text())
    assert report["origin"]["files"] >= 2
