"""The incumbents, from the package index, in environments of their own.

`slapos.libnetworkcache` 0.30 is the client, the blueprint ``shacache_proxy`` inside
`slapos.core` 1.26.1 the server, its ``slapgrid`` what installs the releases of a node
(`old_nodes`). Their environments are made once, in ``.incumbents`` of
the repository, and again when a pin below changes. Nothing of them is ever imported
here: they run as processes, so tests and benchmarks of any Python can use them.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import interpreters

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / ".incumbents"

CLIENT = ("slapos.libnetworkcache==0.30",)
SERVER = (
    "blinker==1.9.0",
    "click==8.5.1",
    "flask==3.1.3",
    "itsdangerous==2.2.0",
    "jinja2==3.1.6",
    "markupsafe==3.0.4",
    "werkzeug==3.1.9",
    "six==1.17.0",
    *CLIENT,
)
SERVER_SOURCE = "slapos.core==1.26.1"
BLUEPRINT = "slapos/proxy/shacache_proxy.py"

CORE = (
    "attrs==26.1.0",
    "certifi==2026.10.19.post1",
    "charset-normalizer==3.5.2",
    "distro==1.9.0",
    "idna==3.20",
    "jsonschema==4.26.0",
    "jsonschema-specifications==2025.9.1",
    "lxml==6.1.3",
    "netaddr==1.3.0",
    "packaging==26.3",
    "psutil==7.2.2",
    "pyyaml==6.0.4",
    "referencing==0.37.0",
    "requests==2.34.2",
    "rpds-py==2026.9.1",
    "six==1.17.0",
    "slapos.recipe.build==0.66",
    "slapos.recipe.cmmi==0.23",
    "supervisor==4.3.0",
    "typing-extensions==4.16.0",
    "uritemplate==4.2.0",
    "urllib3==2.8.0",
    "xml_marshaller==1.0.3",
    "zc.buildout==6.0.1",
    "zope.interface==8.7",
    *CLIENT,
)
"""What slapgrid imports, less than slapos.core wants; and the recipes of the profiles that
it installs here, so that its buildout has nothing to fetch."""
CORE_TOOLS = ("pip==26.3", "setuptools==80.8.0", "wheel==0.45.1")
CORE_PYTHON = "3.12"

UNREACHABLE = ("Retrying (", "Could not fetch URL", "NewConnectionError", "Network is")
"""What pip says when the index did not answer; anything else is a real failure."""


class Unavailable(Exception):
    """What other people's programs need is not here; the message says what is missing."""


# -- environments


def client_environment() -> Path:
    """The folder of the virtual environment of the old client."""
    return _environment("client", CLIENT)


def server_environment() -> Path:
    """The same of the old server; its blueprint lies in it as ``shacache_proxy.py``."""
    return _environment("server", SERVER, SERVER_SOURCE)


def core_environment() -> Path:
    """The same of slapgrid, whose Python is another one than that of these tests."""
    python = interpreters.find(CORE_PYTHON)
    if python is None:
        raise Unavailable(f"Python {CORE_PYTHON} is not here, and slapgrid wants it")

    def fill(folder: Path) -> None:
        pip(folder, "install", *CORE_TOOLS)
        # Before anything is installed beside it, as for the blueprint.
        arguments = ("--no-deps", "--no-build-isolation")
        pip(folder, "install", *arguments, SERVER_SOURCE)
        pip(folder, "install", *arguments, *CORE)

    made_of = (*CORE_TOOLS, SERVER_SOURCE, *CORE, python)
    return environment(FOLDER / f"core-{CORE_PYTHON}", fill, *made_of, python=python)


def _environment(name: str, requirements: tuple[str, ...], source: str = "") -> Path:
    def fill(folder: Path) -> None:
        if source:
            _take_blueprint(folder, source)
        pip(folder, "install", *requirements)

    folder = FOLDER / f"{name}-{sys.version_info[0]}.{sys.version_info[1]}"
    return environment(folder, fill, *requirements, source)


def environment(
    folder: Path,
    fill: Callable[[Path], None],
    *made_of: str,
    python: str = sys.executable,
) -> Path:
    """The virtual environment `folder`, which `fill` puts things into when it is made: if
    it is not there, or was made of something else. Raises `Unavailable`."""
    stamp = folder / "made-of.json"
    wanted = json.dumps([str(folder), sys.version, *made_of])
    with lock(folder):
        if not stamp.is_file() or stamp.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            _run([python, "-m", "venv", str(folder)])
            fill(folder)
            stamp.write_text(wanted)
    return folder


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Let one process at a time make an environment, the workers of xdist included."""
    folder.parent.mkdir(exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _take_blueprint(folder: Path, source: str) -> None:
    # Before anything is installed beside it: the set-up script of slapos.core imports
    # its own package `slapos`, which an installed one would hide.
    downloads = folder / "download"
    arguments = ("--no-deps", "--no-binary", ":all:", "--dest", str(downloads))
    pip(folder, "download", *arguments, source)
    (archive,) = downloads.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        top = tar.getnames()[0].partition("/")[0]
        member = tar.extractfile(f"{top}/{BLUEPRINT}")
        assert member is not None
        (folder / "shacache_proxy.py").write_bytes(member.read())


def pip(folder: Path, *arguments: str) -> None:
    """Run the pip of an environment; raises `Unavailable`."""
    _run([str(folder / "bin/pip"), "--no-input", "--retries", "1", *arguments])


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean()
    )
    if done.returncode:
        if any(words in done.stdout for words in UNREACHABLE):
            raise Unavailable("the package index cannot be reached")
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}")


def clean() -> dict[str, str]:
    """The variables of this process, less those that lead a Python to other modules."""
    return {name: v for name, v in os.environ.items() if not name.startswith("PYTHON")}


# -- the old client


class OldClientError(Exception):
    """What the old client raised: `kind` is the name of its class, `status` of HTTP."""

    def __init__(self, kind: str, message: str, status: int | None):
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.status = status


@dataclass
class OldClient:
    """`slapos.libnetworkcache` 0.30, a process for every call.

    `options` are those of ``[networkcache]``, `folder` is where its configuration is
    written for its scripts.
    """

    folder: Path
    options: dict[str, str]
    environment: Path = field(default_factory=client_environment)

    @classmethod
    def of(
        cls,
        folder: Path,
        cache_url: str,
        dir_url: str,
        certificates: str = "",
        private_key: Path | None = None,
    ) -> OldClient:
        """One that reads from and writes to the same pair of services."""
        options = {
            "download-cache-url": cache_url,
            "download-dir-url": dir_url,
            "upload-cache-url": cache_url,
            "upload-dir-url": dir_url,
            "signature-certificate-list": certificates,
        }
        if private_key:
            options["signature-private-key-file"] = str(private_key)
        return cls(folder, options)

    def upload(self, file: Path, key: str | None = None, **metadata: Any) -> str:
        """Put the content, and an entry where there is a key; returns the digest."""
        return self._call("upload", file=str(file), key=key, metadata=metadata)

    def index(self, key: str, **metadata: Any) -> None:
        """Put an entry alone."""
        self._call("index", key=key, metadata=metadata)

    def select(self, key: str) -> list[dict[str, Any]]:
        """The entries of `key` that it believes, in its order."""
        return self._call("select", key=key)

    def download(self, digest: str, piece: int = 1 << 16) -> bytes:
        """The content, read as its scripts do; it raises where the bytes are wrong."""
        destination = self.folder / "downloaded"
        self._call("download", digest=digest, piece=piece, destination=str(destination))
        return destination.read_bytes()

    def certificates(self) -> int:
        """How many certificates of its list it could load."""
        return self._call("certificates")

    def script(self, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run ``networkcache-upload`` or ``-download`` with this configuration."""
        configuration = self.folder / "slapos.cfg"
        lines = (
            f"{name} = {value.strip()}".replace("\n", "\n ").replace("%", "%%")
            for name, value in self.options.items()
        )
        configuration.write_text("\n".join(["[networkcache]", *lines, ""]))
        return subprocess.run(
            [self.environment / "bin" / name, "-c", configuration, *arguments],
            capture_output=True,
            env=clean(),
            timeout=120,
        )

    def _call(self, call: str, **arguments: Any) -> Any:
        done = subprocess.run(
            [self.environment / "bin/python", HERE / "old_client.py"],
            input=json.dumps({"options": self.options, "call": call, **arguments}),
            capture_output=True,
            text=True,
            env=clean(),
            timeout=120,
        )
        if done.returncode:
            raise RuntimeError(f"the old client broke down:\n{done.stderr}")
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise OldClientError(*answer["error"])
        return answer["result"]


_ENTRY = json.dumps({"sha512": "0" * 128})
POISON = {
    "no-strings": [1, 2],
    "three-members": [_ENTRY, "", ""],
    "not-a-pair": _ENTRY,
    "base64-without-padding": [_ENTRY, "YWI"],
    "base64-of-another-alphabet": [_ENTRY, "é"],
    "entry-not-json": ["{", ""],
    "entry-not-an-object": ["[1, 2]", ""],
    "entry-without-sha512": ["{}", ""],
    "entry-with-number-for-sha512": [json.dumps({"sha512": 1}), ""],
    "entry-with-short-sha512": [json.dumps({"sha512": "00"}), ""],
    "lone-surrogate": ['{"sha512": "\ud800"}', "YWI="],
}
"""What no directory should keep: most of it makes the old client fail for the whole key."""


# -- the old server


@dataclass
class OldServer:
    """The cache server inside `slapos.core`, running; use `old_server`."""

    port: int
    pid: int
    root: Path

    @property
    def cache_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/shacache/cache"

    @property
    def dir_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/shacache/dir"

    @property
    def log(self) -> str:
        """What it has logged, requests included."""
        return (self.root / "log").read_text()


@contextmanager
def old_server(root: Path) -> Iterator[OldServer]:
    """Run the old server with its contents, entries and log in the folder `root`."""
    environment = server_environment()
    root.mkdir(parents=True, exist_ok=True)
    command = [environment / "bin/python", HERE / "old_server.py"]
    with (root / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, environment / "shacache_proxy.py", root],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=clean(),
        )
    try:
        assert process.stdout is not None
        port = process.stdout.readline()
        if not port:
            raise RuntimeError(f"the old server broke down:\n{(root / 'log').read_text()}")
        yield OldServer(int(port), process.pid, root)
    finally:
        process.kill()
        process.communicate()
