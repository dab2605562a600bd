"""The programs of the software that `softwares` builds, and what shows that they run."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from isolation import Wrap
from softwares import Release


@dataclass(frozen=True)
class Program:
    """A command, and a piece of what it must print.

    ``{curl}`` in it is the folder of that part, ``{bin}`` that of the scripts, which the
    Python that ran buildout runs.
    """

    command: tuple[str, ...]
    says: str

    @property
    def parts(self) -> set[str]:
        """The names of the parts that it needs, ``bin`` for a script."""
        return {name for word in self.command for name in _FOLDER.findall(word)}

    @property
    def foreign(self) -> bool:
        """Whether something runs it that is not in the tree."""
        return "bin" in self.parts

    def of(self, release: Release) -> Program:
        """The same with the folders of a release filled in."""
        folders = {name: _folder(name, release) for name in self.parts}
        words = (_FOLDER.sub(lambda found: folders[found[1]], w) for w in self.command)
        return replace(self, command=tuple(words))


_FOLDER = re.compile(r"\{([a-z0-9-]+)\}")


def _folder(name: str, release: Release) -> str:
    return str(release.folder / "bin" if name == "bin" else release.part(name))


HANDSHAKE = """\
import ssl
def side(protocol):
    context = ssl.SSLContext(protocol)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("aNULL:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context
to, back = ssl.MemoryBIO(), ssl.MemoryBIO()
server = side(ssl.PROTOCOL_TLS_SERVER).wrap_bio(to, back, server_side=True)
client = side(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(back, to)
for one in [client, server] * 2:
    try:
        one.do_handshake()
    except ssl.SSLWantReadError:
        pass
client.write(b"through TLS")
print(server.read().decode())
"""
CALLBACK = """\
import ctypes
order = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.POINTER(ctypes.c_int)] * 2)
numbers = (ctypes.c_int * 3)(3, 1, 2)
size = ctypes.sizeof(ctypes.c_int)
ctypes.CDLL(None).qsort(numbers, 3, size, order(lambda a, b: a[0] - b[0]))
print(list(numbers))
"""
CURSES = "import curses; curses.setupterm('xterm'); print(curses.tigetnum('colors'))"
EGGS = "import markupsafe._speedups, crcmod._crcfunext; print('compiled')"
SCIPY = "import numpy, scipy.linalg as l; print(l.det(numpy.diag([1.0, 2.0, 3.0])))"
LZMA = "import lzma; print(lzma.decompress(lzma.compress(b'through xz')))"
OWN_FOLDER = "import os, sys; print(os.path.samefile(sys.prefix, '{python3}'))"
SETTINGS = "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"

PROGRAMS = {
    "hello": Program(("{hello}/bin/hello",), "greetings from /"),
    "openssl": Program(("{openssl}/bin/openssl", "version", "-a"), "OPENSSLDIR"),
    "openssl-digest": Program(
        ("{openssl}/bin/openssl", "dgst", "{openssl}/etc/ssl/openssl.cnf"), "SHA256("
    ),
    "openssl-request": Program(
        ("{openssl}/bin/openssl", "req", "-x509", "-newkey", "ec",
         "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=softwares",
         "-keyout", "/dev/null"),
        "BEGIN CERTIFICATE",
    ),
    "openssl-module": Program(
        ("{openssl}/bin/openssl", "list", "-providers", "-provider", "legacy"),
        "OpenSSL Legacy Provider",
    ),
    "openssl-engine": Program(
        ("{openssl}/bin/openssl", "engine", "loader_attic"), "(loader_attic)"
    ),
    "openssl-info": Program(
        ("{openssl}/bin/openssl", "info", "-modulesdir"), "/lib/ossl-modules"
    ),
    "curl": Program(("{curl}/bin/curl", "--version"), "OpenSSL/3"),
    "curl-file": Program(
        ("{curl}/bin/curl", "--silent", "file://{zlib}/include/zlib.h"),
        "zlib.h -- interface",
    ),
    "curl-config": Program(("{curl}/bin/curl-config", "--configure"), "--with-openssl=/"),
    "xmllint": Program(("{libxml2}/bin/xmllint", "--version"), "using libxml version"),
    "xmllint-title": Program(
        ("{libxml2}/bin/xmllint", "--html", "--xpath", "string(//title)",
         "{libxml2}/share/gtk-doc/html/libxml2/index.html"),
        "libxml2 Reference Manual",
    ),
    "xmlcatalog": Program(("{libxml2}/bin/xmlcatalog", "--create"), "<catalog"),
    "xml2-config": Program(("{libxml2}/bin/xml2-config", "--libs"), "-lxml2"),
    "xz": Program(("{xz-utils}/bin/xz", "--info-memory"), "RAM"),
    "tic": Program(("{ncurses}/bin/tic", "-V"), "ncurses 6"),
    "infocmp": Program(("{ncurses}/bin/infocmp", "-1", "xterm"), "colors#8"),
    "tput": Program(("{ncurses}/bin/tput", "-T", "xterm", "longname"), "xterm"),
    "toe": Program(("{ncurses}/bin/toe",), "vt100"),
    "ncurses-config": Program(("{ncurses}/bin/ncursesw6-config", "--libs"), "-lncursesw"),
    "python": Program(("{python3}/bin/python3", "--version"), "Python 3.11"),
    "python-prefix": Program(("{python3}/bin/python3", "-c", OWN_FOLDER), "True"),
    "python-settings": Program(("{python3}/bin/python3", "-c", SETTINGS), "/lib"),
    "python-ssl": Program(("{python3}/bin/python3", "-c", HANDSHAKE), "through TLS"),
    "python-ctypes": Program(("{python3}/bin/python3", "-c", CALLBACK), "[1, 2, 3]"),
    "python-curses": Program(("{python3}/bin/python3", "-c", CURSES), "8"),
    "python-lzma": Program(("{python3}/bin/python3", "-c", LZMA), "through xz"),
    "python-config": Program(("{python3}/bin/python3-config", "--includes"), "python3.11"),
    "pip": Program(("{python3}/bin/pip3", "--version"), "pip 22"),
    "pydoc": Program(("{python3}/bin/pydoc3.11", "zlib"), "adler32"),
    "native": Program(("{native}/bin/show-native",), "True"),
    "eggs": Program(("{bin}/python-with-eggs", "-c", EGGS), "compiled"),
    "scipy": Program(("{bin}/python-with-eggs", "-c", SCIPY), "6.0"),
}  # fmt: skip
"""What shows that all of ``software.cfg`` runs."""
OWN = [name for name, program in PROGRAMS.items() if not program.foreign]
"""Those that are in the tree with all that they need, but for the C library."""
_HOSTS = {"curl", "hello", "libxml2", "ncurses", "openssl", "xz-utils", "zlib"}
OF_HOSTS = [name for name, program in PROGRAMS.items() if program.parts <= _HOSTS]
"""Those that are in ``hosts.cfg`` as well."""


# -- running them


def run(command: Sequence[str], wrap: Wrap = ()) -> str:
    """Run it with hardly a variable; what it said. It must succeed."""
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/bin",
        "LC_ALL": "C",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [*wrap, *command], env=environment, stdin=subprocess.DEVNULL, cwd="/",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
    )  # fmt: skip
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{said}"
    return said


def traced(log: Path) -> Wrap:
    """What runs a command, and its children, and writes every system call that takes a
    path to `log`."""
    return ("strace", "-f", "-qq", "-s", "8192", "-e", "trace=%file", "-o", str(log))


def naming(log: Path, folder: Path) -> list[str]:
    """The system calls of a log in which `folder` is named, in any argument or result,
    with any number of slashes."""
    lines = log.read_text(errors="replace").splitlines()
    return [line for line in lines if str(folder) in re.sub("/+", "/", line)]
