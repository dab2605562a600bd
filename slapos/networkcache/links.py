"""Where a path leads: symbolic links followed, whoever knows them. Nothing has to be
there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

Name = tuple[str, ...]
"""The parts of the name of a member, below the folder that is unpacked to."""

_LIMIT = 40
"""Links that are followed for one path, as many as the kernel does."""


def followed(path: str, target_of: Callable[[str], str | None]) -> str | None:
    """The absolute `path` without links, ``..`` and repeated slashes.

    `target_of` tells what stands in the link of that absolute path, None where there is
    no link. What leads out at the top stays there, as in a changed root. None where
    there are more links than anybody follows.
    """
    names = _names(path)
    there: list[str] = []
    links = 0
    while names:
        name = names.pop()
        if name == "..":
            del there[-1:]
            continue
        there.append(name)
        target = target_of("/" + "/".join(there))
        if target is None:
            continue
        links += 1
        if links > _LIMIT:
            return None
        del there[0 if target.startswith("/") else -1 :]
        names += _names(target)
    return "/" + "/".join(there)


def _names(path: str) -> list[str]:
    """Those on the way, the next one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def leaves(
    link: Name,
    links: Mapping[Name, str],
    top: Name = (),
    known: Collection[Name] = frozenset(),
) -> bool:
    """Whether `link` leads out of the folder `top`, as the system would follow it, through
    the other `links`; what is not there counts as a folder, since it may become one.

    A link that is `known` to lead elsewhere is not followed: whoever vouches for that one
    has vouched for what is behind it, but not for what is above that.
    """
    if links[link].startswith("/"):
        return True
    place = list(link[:-1])
    ahead = links[link].split("/")[::-1]
    hops = 1
    while ahead:
        step = ahead.pop()
        if step in ("", "."):
            continue
        if step == "..":
            if len(place) <= len(top):
                return True
            place.pop()
            continue
        place.append(step)
        if tuple(place) in known:
            return ".." in ahead
        target = links.get(tuple(place))
        if target is not None:
            if target.startswith("/"):
                return True
            place.pop()
            ahead += target.split("/")[::-1]
            hops += 1
            if hops > _LIMIT:  # a loop leads nowhere, but not all programs know
                return ".." in ahead
    return False
