"""Whether a computer can run a tree: what it lacks of what the files need, told before a
byte is downloaded. What counts is what the files say, never the name of a distribution."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from ..elf import Abi
from ..host import Host
from .requirements import ANY_PYTHON, Requirements, is_cpython


class Look(Protocol):
    """`host.look_at_host`, or the same for another root."""

    def __call__(
        self,
        libraries: Iterable[str] = (),
        interpreters: Iterable[str] = (),
        pythons: Iterable[str] = (),
        *,
        abi: Abi | None = None,
    ) -> Host: ...


def host_for(requirements: Requirements, look: Look) -> Host:
    """A computer, as far as `unmet` asks about it."""
    return look(
        requirements.libraries,
        requirements.interpreters,
        requirements.pythons,
        abi=requirements.abi,
    )


def unmet(requirements: Requirements, host: Host) -> list[str]:
    """What a computer lacks, a sentence each; nothing where the tree runs on it.

    `host` is what `host_for` gave for the same requirements.
    """
    if requirements.unknown:
        return [
            "it needs what this version cannot judge, a newer one may:"
            f" {', '.join(requirements.unknown)}"
        ]
    abi = requirements.abi
    if abi is not None and not _runs(abi, host.abi):
        return [f"it was built for {abi}, and this is {host.abi}"]
    return [
        *_unmet_by_kernel(requirements, host),
        *_unmet_by_processor(requirements, host),
        *_unmet_by_loaders(requirements, host),
        *_unmet_by_libraries(requirements, host),
        *_unmet_by_pythons(requirements, host),
    ]


def _runs(abi: Abi, own: Abi) -> bool:
    """Whether the processor can; what else it takes is asked for besides."""
    return abi.fits(own) or (abi.machine, own.machine) == ("i386", "x86_64")


def _unmet_by_kernel(requirements: Requirements, host: Host) -> Iterator[str]:
    if requirements.kernel > host.kernel:
        needed, here = (".".join(map(str, v)) for v in (requirements.kernel, host.kernel))
        yield f"it needs Linux {needed}, and this is {here}"


def _unmet_by_processor(requirements: Requirements, host: Host) -> Iterator[str]:
    if requirements.cpu_level > host.cpu_level:
        yield (
            f"it needs a processor of level x86-64-v{requirements.cpu_level},"
            f" and this one has x86-64-v{host.cpu_level}"
        )
    if lacking := sorted(set(requirements.cpu_flags) - host.cpu_flags):
        yield (
            f"it was compiled for the processor {' and '.join(requirements.compiled_for)},"
            f" and this one lacks {', '.join(lacking)}"
        )


def _unmet_by_loaders(requirements: Requirements, host: Host) -> Iterator[str]:
    for path in requirements.interpreters:
        if path not in host.interpreters:
            yield f"the interpreter {path} is not here"


def _unmet_by_libraries(requirements: Requirements, host: Host) -> Iterator[str]:
    for name, versions in requirements.libraries.items():
        defined = host.libraries.get(name)
        if defined is None:
            yield f"the library {name} is not here"
        elif lacking := sorted(set(versions) - defined, key=_by_number):
            yield f"{name} here lacks {', '.join(lacking)}"


def _unmet_by_pythons(requirements: Requirements, host: Host) -> Iterator[str]:
    for path, abi in requirements.pythons.items():
        here = host.pythons.get(path)
        if here is None:
            yield f"the Python {path} ({abi}) is not here"
        elif here != abi and not (abi == ANY_PYTHON and is_cpython(here)):
            yield f"the Python {path} here is {here}, and it needs {abi}"


def _by_number(version: str) -> list[tuple[int, str]]:
    """For sorting: GLIBC_2.4 comes before GLIBC_2.34."""
    parts = re.split(r"([0-9]+)", version)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
