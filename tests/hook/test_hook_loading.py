"""What an extension costs that is only loaded: nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
from nodes import part

HEAVY = "requests urllib3 cryptography sqlite3 slapos.networkcache.client"


def modules() -> str:
    return part("m", "modules", modules=HEAVY)


def with_another_extension(site):
    """A node that has a develop egg of one, which does nothing."""
    node = site.bare_node()
    egg = node.write("other/other.egg-info/PKG-INFO", "Name: other\nVersion: 1.0\n")
    node.write("buildout/develop-eggs/other.egg-link", f"{egg.parents[1]}\n.")
    return node


def test_another_extension_loads_ours(site):
    """The entry points of every distribution on the path are called."""
    url = site.origin.put("/other-extension.tar.gz", b"other")
    node, bare = with_another_extension(site), site.bare_node()
    parts = modules(), part("a", "fetch", url=url)
    node.profile(*parts, buildout="parts = m a\nextensions = other")
    bare.profile(*parts, buildout="parts = m a")
    run, without = node.buildout("-v"), bare.buildout("-v")
    assert run.code == without.code == 0, run.said
    assert "loaded=[] patched=False" in run.stdout
    assert "networkcache" not in run.said.replace(str(node.root), "")
    assert run.stderr == without.stderr


def test_ours_is_loaded_by_another(site):
    """The same, and there is a section: then it works, whoever is named."""
    node = with_another_extension(site)
    node.profile(modules(), site.section(), buildout="parts = m\nextensions = other")
    run = node.buildout()
    assert "loaded=[] patched=True" in run.stdout, run.said


@pytest.mark.parametrize("command", [False, True])
def test_nothing_heavy_before_the_first_fetch(site, command):
    """Nothing is imported, no certificate read, nobody asked: not even told of what is
    wrong with them."""
    node = site.bare_node()
    text = (
        f"download-cache-url = {site.origin.url}/shacache\n"
        f"download-dir-url = {site.origin.url}/shadir\n"
        "signature-certificate-list = none of this parses\n"
        f"upload-cache-url = {site.origin.url}/shacache\n"
        f"upload-dir-url = {site.origin.url}/shadir\n"
        "signature-private-key-file = /nowhere\n"
        "shacache-ca-file = /nowhere\nshadir-ca-file = /nowhere\n"
    )
    if command:
        node.configure(text)
        node.profile(modules(), buildout="parts = m")
        run = node.networkcache()
    else:
        head = "parts = m\nextensions = slapos.networkcache"
        node.profile(modules(), f"[networkcache]\n{text}", buildout=head)
        run = node.buildout()
    assert run.code == 0, run.said
    assert "loaded=[] patched=True" in run.stdout
    assert site.origin.requests == []
    assert run.ours == ["from the network cache: nothing, for nothing was fetched"]
    assert not (node.home / ".cache").exists()


def test_importing_the_extension_imports_nothing_heavy():
    script = (
        "import sys, slapos.networkcache.buildout.extension\n"
        f"print([name for name in {HEAVY.split()!r} if name in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    assert subprocess.check_output(command, text=True) == "[]\n"


def test_uninstall_leaves_zc_buildout_as_it_was():
    script = (
        "from zc.buildout.download import Download\n"
        "from zc.buildout import download\n"
        "from zc.buildout.easy_install import AllowHostsPackageIndex as Index\n"
        "before = Download.download, Index.open_url, download.urlretrieve\n"
        "from slapos.networkcache.buildout import hook\n"
        "from slapos.networkcache.buildout.run import Run\n"
        "hook.install(Run({}))\n"
        "patched = Download.download, Index.open_url, download.urlretrieve\n"
        "hook.uninstall()\n"
        "after = Download.download, Index.open_url, download.urlretrieve\n"
        "print([a is b for a, b in zip(before, patched)], before == after)\n"
    )
    command = [sys.executable, "-c", script]
    out = subprocess.check_output(command, text=True)
    assert out == "[False, False, False] True\n"
