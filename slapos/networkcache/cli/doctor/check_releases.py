"""Whether this node can have releases, and others can use those that it publishes."""

from __future__ import annotations

from collections.abc import Iterator

from ...binary.incumbent import ROOT
from ...binary.node import Node
from ...config import Config
from ...configfile import read_sections
from ...errors import InvalidConfiguration
from .finding import Finding, Mark


def check_releases(config: Config, config_file: str | None) -> Iterator[Finding]:
    """What a node with a binary cache says of its folders, and of archives; one whose
    file has no section ``[slapos]`` may have no releases."""
    if config.binary_force_list.prefixes and not config.binary_sources:
        yield Finding(
            Mark.WRONG,
            "releases",
            "no source has what is in download-from-binary-cache-force-url-list",
            "set download-binary-cache-url and download-binary-dir-url",
        )
    sections = read_sections(config_file) if config_file is not None else {}
    if "slapos" not in sections or not (config.binary_sources or config.binary_upload):
        return
    try:
        node = Node.of(sections, config)
    except InvalidConfiguration as error:
        change = f"change section [slapos] of {config_file}, or make that folder"
        yield Finding(Mark.WRONG, "releases", str(error), change)
        return
    yield Finding(Mark.OK, "releases", f"they are in {node.software_root}")
    if config.binary_upload is not None and config.binary_archive == "tar.gz":
        yield from _for_old_nodes(node)


def _for_old_nodes(node: Node) -> Iterator[Finding]:
    """What is packed for slapos.core must be such that it is taken."""
    lacks = []
    if node.software_root != ROOT:
        lacks.append(f"a software_root of {ROOT}")
    if not node.config.publish_legacy:
        lacks.append("signature-legacy = publish")
    if lacks:
        yield Finding(
            Mark.WARN,
            "releases",
            "nodes of slapos.core take no release from here, though binary-cache-archive ="
            f" tar.gz: they need {' and '.join(lacks)}",
            "set that, too, or binary-cache-archive = tar.zst",
        )
