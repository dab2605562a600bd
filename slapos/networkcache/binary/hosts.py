"""For which hosts a build is, in the words that people have for that; what decides are the
versions of every library, see `compatibility`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .builds import Build
from .incumbent import IncumbentBuild
from .requirements import Requirements


def hosts_of(build: Build | IncumbentBuild) -> str:
    """Of a build of ours what it needs, of slapos.core's the distribution it names."""
    if isinstance(build, IncumbentBuild):
        return f"{' '.join(build.distribution[:2])}, {build.multiarch}"
    return ", ".join(_needs(build.requirements))


def _needs(requirements: Requirements) -> Iterator[str]:
    yield requirements.abi.machine if requirements.abi else "any machine"
    if newest := _newest(requirements.libraries.get("libc.so.6", ())):
        yield f"glibc {newest}"
    if requirements.cpu_level > 1:
        yield f"x86-64-v{requirements.cpu_level}"
    others = len([name for name in requirements.libraries if name != "libc.so.6"])
    if others:
        yield f"{others} more librar{'y' if others == 1 else 'ies'}"


def _newest(versions: Sequence[str]) -> str:
    """Of what is needed of glibc; empty where that is no version of it."""
    numbers = (version.removeprefix("GLIBC_").split(".") for version in versions)
    known = [tuple(map(int, n)) for n in numbers if all(map(str.isdecimal, n))]
    return ".".join(map(str, max(known, default=())))
