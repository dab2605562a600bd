"""Runs pieces of Python in processes of their own that use a store."""

from __future__ import annotations

import subprocess
import sys

IMPORTS = """
import os, resource, sys, threading, time
from slapos.networkcache.digest import Digest
from slapos.networkcache.entry import Key, Pair
from slapos.networkcache.errors import StorageFailure, StorageFull
from slapos.networkcache.storage import Stored
from slapos.networkcache.storage.folder import FolderContents
from slapos.networkcache.storage.kinds import open_stores
root = sys.argv[1]
KEY = Key("key")

def failure(kind, function, *arguments, **options):
    try:
        function(*arguments, **options)
    except kind as error:
        assert type(error) is kind, repr(error)
        assert "\\n" not in str(error)
        return str(error)
    raise AssertionError(f"{kind} was not raised")
"""


def run(script, *arguments, before=()):
    """Run `script` after `IMPORTS` in a process of its own, and show why it failed."""
    done = subprocess.run(
        [*before, sys.executable, "-c", IMPORTS + script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def mounted(size, script, unshare, root):
    """The same with `root` on a small disk of its own, behind the fixture ``unshare``."""
    root.mkdir()
    mount = f"os.system(f'mount -t tmpfs -o size={size} none {{root}}') == 0 or exit(1)\n"
    return run(mount + script, root, before=unshare)
