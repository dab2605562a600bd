"""What a signed entry says of a build of a release, beside its content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInput, NotBelieved, Reason
from .compatibility import Look, host_for, unmet
from .destination import Destination
from .manifest import MANIFEST_LIMIT
from .prefixes import check_prefix
from .requirements import Requirements

_FORMATS = ("tar.zst", "tar.gz")


@dataclass(frozen=True)
class Build:
    """What was built, and what it takes to install it.

    `prefix` is the folder that it was built for, `shared` those of its shared parts;
    `files` counts the members of the archive, whose format is `archive`; `unpacked_size`
    and `manifest` are bytes.
    """

    software_url: str
    software_root: str
    prefix: str
    shared: tuple[str, ...]
    files: int
    unpacked_size: int
    manifest: int
    archive: str
    requirements: Requirements

    def members(self) -> dict[str, Any]:
        """What is signed of it; see `incumbent` for what older programs need besides."""
        return {
            "software_url": self.software_url,
            "software_root": self.software_root,
            "prefix": self.prefix,
            "shared": list(self.shared),
            "files": self.files,
            "unpacked_size": self.unpacked_size,
            "manifest": self.manifest,
            "archive": self.archive,
            "requirements": self.requirements.to_members(),
        }

    @classmethod
    def parse(cls, members: Mapping[str, Any]) -> Build:
        """Read the members of a believed entry of format 1.

        Raises `NotBelieved`: ``unfit-prefix`` where a folder in it cannot be one, and
        ``bad-entry``.
        """
        try:
            shared = members.get("shared")
            if not isinstance(shared, list):
                raise InvalidInput("expected a list of folders as shared")
            for prefix in (members.get("prefix"), *shared):
                check_prefix(prefix if isinstance(prefix, str) else "")
            if members.get("archive") not in _FORMATS:
                raise InvalidInput(f"expected {' or '.join(_FORMATS)} as archive")
            return cls(
                str(members["software_url"]),
                str(members.get("software_root", "")),
                members["prefix"],
                tuple(shared),
                _count(members, "files"),
                _count(members, "unpacked_size"),
                _count(members, "manifest", MANIFEST_LIMIT),
                members["archive"],
                Requirements.parse(members.get("requirements")),
            )
        except InvalidInput as error:
            raise NotBelieved(
                Reason.BAD_ENTRY, f"what it says of the release is damaged: {error}"
            ) from None

    def unfit(self, destination: Destination, look: Look) -> list[NotBelieved]:
        """Why it cannot be used there, on the computer that is looked at."""
        host = host_for(self.requirements, look)
        lacking = unmet(self.requirements, host)
        found = [NotBelieved(Reason.UNFIT_HOST, sentence) for sentence in lacking]
        try:
            destination.moves(self.prefix, self.shared)
        except NotBelieved as refusal:
            found.append(refusal)
        return found


def _count(members: Mapping[str, Any], name: str, limit: int = 1 << 53) -> int:
    value = members.get(name)
    if type(value) is not int or not 0 < value <= limit:
        raise InvalidInput(f"expected a whole number of 1 to {limit} as {name}")
    return value
