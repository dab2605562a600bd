"""Runs in the environment of `slapos.core` 1.26.1: slapgrid, on the releases of a node.

The path of the node's slapos.cfg and the URLs come as JSON on standard input; what
slapgrid told its master, and its exit code, go as JSON to standard output, its log to
standard error. `old_nodes.OldNode` is the other end.
"""

import argparse
import configparser
import json
import logging
import os
import sys

from slapos.grid.slapgrid import (
    check_missing_files,
    check_missing_parameters,
    create_slapgrid_object,
    merged_options,
)


class Release:
    """A software release as slapgrid knows it from its master; notes what it is told."""

    def __init__(self, url):
        self.url = url
        self.told = []

    def getURI(self):
        return self.url

    def getState(self):
        return "available"

    def building(self):
        self.told.append("building")

    def available(self):
        self.told.append("available")

    def error(self, message, logger):
        self.told.append(f"error: {message}")


class Computer:
    def __init__(self, urls):
        self.releases = [Release(url) for url in urls]

    def getSoftwareReleaseList(self):
        return self.releases


def main():
    # What slapos.core prints belongs to its log.
    answers, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(message)s")
    config = configparser.ConfigParser()
    with open(request["config"]) as file:
        config.read_file(file)
    options = merged_options(argparse.Namespace(), config)
    check_missing_parameters(options)
    check_missing_files(options)
    slapgrid = create_slapgrid_object(options, logging.getLogger("slapgrid"))
    # There is no master at its address: the part of it that slapgrid asks.
    slapgrid.computer = computer = Computer(request["urls"])
    code = slapgrid.processSoftwareReleaseList()
    told = {release.url: release.told for release in computer.releases}
    json.dump({"code": code, "told": told}, answers)
    answers.close()


if __name__ == "__main__":
    main()
