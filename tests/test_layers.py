"""A module imports its own layer or a lower one: the list of architecture.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "slapos.networkcache"
ROOT = Path(__file__).parents[1] / "slapos" / "networkcache"

LAYERS = [
    # values: bytes in, answers out; no file, no socket, no clock
    "errors digest key entry certificates binding trust weighing urls protocol ranges"
    " config criteria members precedence quantities printable record elf links",
    # the outside world, one door each
    "configfile transport storage seen localstore spool private_folder bounded_folder host",
    # what it does
    "client foreseen outcome holding download prefetch publisher uploader outbox unpacking"
    " zstandard binary libnetworkcache server",
    # who asks for it
    "buildout recipes cli testing __main__ __init__",
]
LAYER = {room: level for level, rooms in enumerate(LAYERS) for room in rooms.split()}

FORBIDDEN = {
    # A room, and what it must not know even in its own layer or a lower one.
    "storage": {"transport", "protocol"},
    "transport": {"storage"},
    "download": {"server"},
    "publisher": {"server"},
    "client": {"server"},
    "buildout": {"server"},
    "recipes": {"server", "client", "publisher", "transport"},
    "unpacking": {"transport", "storage", "server"},
    "binary": {"transport", "storage", "server"},
    "server": {
        "client",
        "download",
        "publisher",
        "seen",
        "transport",
        "localstore",
        "spool",
    },
}
EXCEPTIONS = {"recipes.server": {"server"}}
"""The recipe of a server knows its options and its authority, and nothing that is extra."""
EXTRA = {"aiohttp", "jinja2", "markupsafe", "prometheus_client"}
OUTSIDE = {"requests", "socket", "aiohttp", "sqlite3", "subprocess", "zc", "time", "os"}
"""Not for values."""
CLOCKS = {"now", "utcnow", "today"}
MODULES = sorted(ROOT.rglob("*.py"))


def room_of(module: str) -> str:
    return module.removeprefix(PACKAGE).lstrip(".").partition(".")[0] or "__init__"


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join((PACKAGE, *parts)).removesuffix(".__init__")


def imports_of(path: Path) -> Iterator[str]:
    """The modules that one imports, wherever it does so, but for the type checker."""
    package = name_of(path) if path.stem == "__init__" else name_of(path).rpartition(".")[0]
    tree = ast.parse(path.read_text())
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            module = ".".join([*base, node.module] if node.module else base)
            module = module if node.level else str(node.module)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def clocks_of(path: Path) -> set[str]:
    """The methods of `datetime` that read the clock, of those that a module names."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)} & CLOCKS


def excepted(path: Path) -> set[str]:
    return EXCEPTIONS.get(name_of(path).removeprefix(f"{PACKAGE}."), set())


def rooms_of(path: Path) -> set[str]:
    rooms = {
        room_of(name)
        for name in imports_of(path)
        if name == PACKAGE or name.startswith(f"{PACKAGE}.")
    }
    return {room for room in rooms if room in LAYER} - {"__init__"}


def test_the_table_has_every_room_and_no_other() -> None:
    assert {room_of(name_of(path)) for path in MODULES} == set(LAYER)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_no_higher_layer(path: Path) -> None:
    room = room_of(name_of(path))
    higher = {other for other in rooms_of(path) if LAYER[other] > LAYER[room]}
    assert not higher
    assert not (rooms_of(path) - excepted(path)) & FORBIDDEN.get(room, set())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_server_needs_what_is_extra(path: Path) -> None:
    # Besides the server: the command that runs it, and what tests start.
    name = name_of(path).removeprefix(f"{PACKAGE}.")
    if name.startswith(("server", "cli.server", "testing")):
        return
    assert not {name.partition(".")[0] for name in imports_of(path)} & EXTRA
    assert "server" not in rooms_of(path) - excepted(path)


@pytest.mark.parametrize("room", LAYERS[0].split())
def test_values_know_no_file_no_socket_no_clock(room: str) -> None:
    roots = {name.partition(".")[0] for name in imports_of(ROOT / f"{room}.py")}
    assert not roots & OUTSIDE
    assert not clocks_of(ROOT / f"{room}.py")


@pytest.mark.parametrize("call", ["datetime.now(timezone.utc)", "date.today()"])
def test_a_clock_is_seen(tmp_path: Path, call: str) -> None:
    module = tmp_path / "a.py"
    module.write_text(f"def f():\n    return {call}\n")
    assert clocks_of(module) == {call.partition("(")[0].partition(".")[2]}


def test_one_door_for_connections() -> None:
    for path in MODULES:
        roots = {name.partition(".")[0] for name in imports_of(path)}
        if room_of(name_of(path)) != "transport":
            assert not roots & {"requests", "urllib3"}, path


def test_loading_the_extension_imports_little() -> None:
    code = (
        f"import sys, {PACKAGE}.buildout.extension\n"
        "heavy = {'requests', 'cryptography', 'aiohttp', 'urllib3'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() == ""
