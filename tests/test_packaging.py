"""What is handed out: source distribution and wheel, and that they install and run
beside other members of the namespace `slapos`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VERSION = version("slapos.networkcache")
SOURCES = ("setup.py", "setup.cfg", "README.rst", "CHANGES.rst", "LICENSE")
SCRIPTS = (
    "networkcache",
    "networkcache-upload",
    "networkcache-download",
    "generate-signature-key",
)
DATA = {
    "slapos/networkcache/py.typed",
    *(
        str(path.relative_to(ROOT))
        for path in (ROOT / "slapos").rglob("*")
        if path.suffix in (".html", ".css", ".svg")
    ),
}
SITE = sysconfig.get_path("purelib")

PKG_RESOURCES_STYLE = """
try:
    __import__('pkg_resources').declare_namespace(__name__)
except ImportError:
    from pkgutil import extend_path
    __path__ = extend_path(__path__, __name__)
"""
SIBLING = """
from setuptools import setup
setup(name="slapos.sibling", version="1", packages=["slapos", "slapos.sibling"],
      namespace_packages=["slapos"])
"""


def run(*command, **options):
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(kind, source, folder):
    """Build with the setuptools that is installed here; the path of what was built."""
    code = (
        "import sys; from setuptools import build_meta;"
        f"print(build_meta.build_{kind}(sys.argv[1]))"
    )
    folder.mkdir(exist_ok=True)
    name = run(sys.executable, "-c", code, folder, cwd=source).splitlines()[-1]
    return folder / name


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    # A copy, since building leaves folders that others who build here would trip over.
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        shutil.copy(ROOT / name, source)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "slapos", source / "slapos", ignore=ignore)
    return build("sdist", source, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """Built from what the source distribution holds: what it lacks, this lacks."""
    folder = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(sdist, folder)
    (source,) = folder.iterdir()
    return build("wheel", source, sdist.parent)


@pytest.fixture
def environment(tmp_path, wheel):
    """A virtual environment with the wheel and nothing else."""
    folder = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    install(folder, wheel)
    return folder


def install(environment, *words):
    pip = (sys.executable, "-m", "pip", "--python", environment / "bin" / "python")
    run(*pip, "install", "--no-deps", "--no-index", *words)


def python(environment, code, *path):
    """Run code there, with the dependencies that are installed here, and `path`."""
    variables = {"PYTHONPATH": ":".join([*map(str, path), SITE])}
    # The working folder comes first on the path, so it must not be ours.
    command = (environment / "bin" / "python", "-c", code)
    return run(*command, env=variables, cwd=environment).split()


def test_the_source_distribution_is_whole(sdist):
    with tarfile.open(sdist) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "slapos").rglob("*.py")}
    assert names >= {*SOURCES, *modules, *DATA}
    assert "slapos/__init__.py" not in names


def test_the_wheel_holds_us_and_nobody_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "slapos/networkcache/py.typed" in names
    assert "slapos/__init__.py" not in names
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "slapos").rglob("*.py")}
    info = f"slapos_networkcache-{VERSION}.dist-info/"
    rest = {name for name in names if not name.startswith(info)}
    assert rest == {*modules, *DATA}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_run(environment, name):
    variables = {"PYTHONPATH": SITE}
    assert name in run(environment / "bin" / name, "--help", env=variables)


IMPORT_BOTH = (
    "import slapos.sibling, slapos.networkcache, slapos.networkcache.client;"
    "print(slapos.networkcache.__file__, slapos.sibling.__file__)"
)


@pytest.fixture
def sibling(tmp_path):
    """Sources of another member, in the style that recipes have had for long."""
    source = tmp_path / "sibling"
    (source / "slapos" / "sibling").mkdir(parents=True)
    (source / "slapos" / "__init__.py").write_text(PKG_RESOURCES_STYLE)
    (source / "slapos" / "sibling" / "__init__.py").touch()
    (source / "setup.py").write_text(SIBLING)
    return source


def test_a_sibling_that_is_a_wheel(environment, sibling, tmp_path):
    install(environment, build("wheel", sibling, tmp_path / "dist"))
    ours, other = python(environment, IMPORT_BOTH)
    assert ours.startswith(str(environment))
    assert other.startswith(str(environment))


def test_a_sibling_that_is_an_egg_of_a_buildout(environment, sibling):
    """It comes first on the path, with a `slapos/__init__.py` of its own."""
    ours, other = python(environment, IMPORT_BOTH, sibling)
    assert ours.startswith(str(environment))
    assert other.startswith(str(sibling))


@pytest.mark.buildout
@pytest.mark.long
def test_the_wheel_plays_the_demo(wheel, tmp_path):
    """All of it, with recipes of the namespace `slapos` from the package index."""
    folder = tmp_path / "venv"
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[server]")
    output = run(python, "-B", ROOT / "examples" / "demo", tmp_path / "demo", cwd=tmp_path)
    assert "Nothing is left running" in output
