"""What a tree needs of the computer it runs on: a value, and the member of the signed
entry that says so.

What a release built on Debian 12 may say, most versions left out::

    {"machine": "x86_64", "bits": 64, "byte_order": "little",
     "kernel": [3, 2, 0], "cpu_level": 1,
     "interpreters": ["/lib64/ld-linux-x86-64.so.2"],
     "libraries": {"libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.34"],
                   "libz.so.1": []},
     "unresolved": ["libodbc.so.2"]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..elf import Abi
from ..errors import InvalidInput

ANY_PYTHON = "abi3"
"""The ABI of extension modules that every CPython 3 can load."""

_NAME_LIMIT = 1000
"""Characters of one name."""
_COUNT_LIMIT = 2000
"""Names in one list; the size of an entry is limited besides."""
_MEMBERS = (
    "machine", "bits", "byte_order", "float_abi", "kernel", "cpu_level", "compiled_for",
    "cpu_flags", "interpreters", "libraries", "pythons", "unresolved",
)  # fmt: skip


def is_cpython(abi: str) -> bool:
    """Whether `ANY_PYTHON` is for it."""
    return abi.startswith("cpython-3")


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Requirements:
    """Empty members ask for nothing.

    `abi` is None where there is no program and no library. `kernel` is the oldest Linux,
    `cpu_level` the level of x86-64 (0: any). Of what was compiled for certain processors,
    `compiled_for`, all that is known is that it runs on one with `cpu_flags`.
    `interpreters` are the loaders that programs name. `libraries` are those of the host,
    with the versions of symbols needed from each; `pythons` are paths with the ABI that
    is needed there. `unresolved` is what the computer that built the tree lacked itself:
    no requirement. `unknown` are members that a newer version wrote.
    """

    abi: Abi | None = None
    kernel: tuple[int, ...] = ()
    cpu_level: int = 0
    compiled_for: tuple[str, ...] = ()
    cpu_flags: tuple[str, ...] = ()
    interpreters: tuple[str, ...] = ()
    libraries: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)
    pythons: Mapping[str, str] = field(default_factory=_nothing)
    unresolved: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def to_members(self) -> dict[str, Any]:
        """The object that is signed, without what is empty; always the same for equals."""
        abi = self.abi
        members = {
            "machine": abi and abi.machine,
            "bits": abi and abi.bits,
            "byte_order": abi and abi.byte_order,
            "float_abi": abi and abi.float_abi,
            "kernel": list(self.kernel),
            "cpu_level": self.cpu_level,
            "compiled_for": sorted(self.compiled_for),
            "cpu_flags": sorted(self.cpu_flags),
            "interpreters": sorted(self.interpreters),
            "libraries": {
                name: sorted(self.libraries[name]) for name in sorted(self.libraries)
            },
            "pythons": dict(sorted(self.pythons.items())),
            "unresolved": sorted(self.unresolved),
        }
        return {name: value for name, value in members.items() if value}

    @classmethod
    def parse(cls, value: object) -> Requirements:
        """Read the object of an entry. Raises `InvalidInput`; members that are not of
        this version are `unknown`."""
        members = _object(value, "requirements")
        libraries = _object(members.get("libraries", {}), "libraries")
        pythons = _object(members.get("pythons", {}), "pythons")
        kernel = _list(members.get("kernel", []), "kernel")

        def names(member: str) -> tuple[str, ...]:
            return _names(members.get(member, []), member)

        return cls(
            abi=_abi(members),
            kernel=tuple(_integer(number, "kernel") for number in kernel),
            cpu_level=_integer(members.get("cpu_level", 0), "cpu_level"),
            compiled_for=names("compiled_for"),
            cpu_flags=names("cpu_flags"),
            interpreters=names("interpreters"),
            libraries=MappingProxyType(
                {
                    _name(library, "libraries"): _names(versions, "libraries")
                    for library, versions in libraries.items()
                }
            ),
            pythons=MappingProxyType(
                {
                    _name(path, "pythons"): _name(abi, "pythons")
                    for path, abi in pythons.items()
                }
            ),
            unresolved=names("unresolved"),
            unknown=_names(sorted({*members} - {*_MEMBERS}), "requirements"),
        )


def _abi(members: Mapping[str, Any]) -> Abi | None:
    if "machine" not in members:
        return None
    bits = _integer(members.get("bits"), "bits")
    byte_order = _name(members.get("byte_order"), "byte_order")
    float_abi = members.get("float_abi")
    if float_abi is not None:
        float_abi = _name(float_abi, "float_abi")
    return Abi(_name(members["machine"], "machine"), bits, byte_order, float_abi)


def _object(value: object, member: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or len(value) > _COUNT_LIMIT:
        raise _unexpected(f"an object of at most {_COUNT_LIMIT} members", member, value)
    return value


def _list(value: object, member: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > _COUNT_LIMIT:
        raise _unexpected(f"a list of at most {_COUNT_LIMIT}", member, value)
    return value


def _names(value: object, member: str) -> tuple[str, ...]:
    return tuple(_name(name, member) for name in _list(value, member))


def _name(value: object, member: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _NAME_LIMIT:
        raise _unexpected(f"a text of at most {_NAME_LIMIT} characters", member, value)
    if not value.isprintable():
        raise _unexpected("printable text", member, value)
    return value


def _integer(value: object, member: str) -> int:
    if type(value) is not int or value < 0:
        raise _unexpected("a whole number", member, value)
    return value


def _unexpected(expected: str, member: str, value: object) -> InvalidInput:
    return InvalidInput(
        f"the requirements of an entry: expected {expected} in {member}, got {value!r:.100}"
    )
