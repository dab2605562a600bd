"""Check what this node is told about the network cache, and say what to change.

The options are those that networkcache buildout finds before it reads a profile. It
exits with 0 where all is fine, with 1 where something must be changed, and with 3 where
something could not be told.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from .. import layout
from ..configuration import add_assignments, add_config_arguments, read_places
from ..terminal import add_json_argument, escape_output
from . import check_files, check_options, check_releases, check_trust
from .check_options import Value
from .finding import Finding, Mark, code_of

_NOTHING_WRONG = "Nothing needs to be changed."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser, required=False)
    add_json_argument(parser)
    add_assignments(parser)


def run(arguments: argparse.Namespace) -> int:
    from . import probing

    merged = read_places(arguments)
    config, findings = check_options.read(merged.options)
    findings += check_trust.check_list(config)
    findings += check_trust.check_key(config)
    findings += check_files.check_files(config)
    findings += check_releases.check_releases(config, arguments.config)
    findings += probing.probe(config)
    values = check_options.values_of(config, merged, arguments.config)
    if arguments.json:
        plain = {
            "options": [value._asdict() for value in values],
            "findings": [asdict(finding) for finding in findings],
        }
        print(json.dumps(plain))
    else:
        escape_output()
        _print(values, findings)
    return code_of(findings)


def _print(values: Sequence[Value], findings: Sequence[Finding]) -> None:
    if values:
        print(*layout.table(("OPTION", "VALUE", "FROM"), values, ""), "", sep="\n")
    for about in dict.fromkeys(finding.about for finding in findings):
        print(about)
        for finding in findings:
            if finding.about == about:
                _print_finding(finding)
        print()
    print(layout.paragraph(_summary(findings)))


def _print_finding(finding: Finding) -> None:
    indent = " " * 9
    print(layout.paragraph(finding.what, f"  {finding.mark.value:<5}  ", indent))
    if finding.change:
        print(layout.paragraph(finding.change, f"{indent}-> ", f"{indent}   "))


def _summary(findings: Sequence[Finding]) -> str:
    counts = {mark: sum(f.mark is mark for f in findings) for mark in Mark}
    parts = {
        "must be changed": counts[Mark.WRONG],
        "could not be told": counts[Mark.UNKNOWN],
        "should be looked at": counts[Mark.WARN],
    }
    said = [f"{count} {what}" for what, count in parts.items() if count]
    return f"Of {len(findings)} findings, {', '.join(said)}." if said else _NOTHING_WRONG
