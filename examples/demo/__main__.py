"""One node publishes a buildout to a network cache, another one builds from it.

    make demo

or ``python examples/demo [FOLDER]`` in an environment that has
``slapos.networkcache[server]``. Everything is kept in the folder, ``.demo`` if none is
given, which is made anew each time; read the logs there. Nothing is left running.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack
from pathlib import Path

import evidence
from nodes import Node
from origin import archive, origin
from processes import Failed, end_in_order, run, script, server

EXAMPLES = Path(__file__).resolve().parent.parent
MARK = "made-by-the-demo"
"""A file that says that a folder may be emptied."""


class Demo:
    """The story; each method is a step that is told to who looks on."""

    def __init__(self, folder: Path, until: ExitStack):
        self.folder = folder
        self.until = until
        self._step = 0

    def play(self) -> None:
        """All of it, from the server's start to the table."""
        self.start_server()
        closing = self.start_origin()
        one = self.node("node one", "publisher.cfg.in")
        self.make_key(one)
        profile = self.write_profile()
        self.publish(one, profile)
        files = evidence.published(one, self.origin, self.server)
        self.tell("the origin is stopped")
        closing.close()
        two = self.node("node two")
        self.rebuild(two, profile)
        self.tamper(files)
        three = self.node("node three")
        self.refuse(three, profile)
        self.until.close()
        self.show([one, two, three], files)

    # -- the parts of a network cache

    def start_server(self) -> None:
        self.access_log = self.folder / "access.log"
        self.root = self.folder / "server"
        self.tell("a server of a network cache")
        self.server = self.until.enter_context(
            server(self.root, self.access_log, self.folder / "server.log")
        )
        self.detail(f"{self.server}, its log is {self.shown(self.access_log)}")

    def start_origin(self) -> ExitStack:
        self.tell("an origin, with a profile and the source of a C program")
        served = self.folder / "origin"
        served.mkdir()
        archive(EXAMPLES / "src" / "hello-1.0", served / "hello-1.0.tar.gz")
        closing = self.until.enter_context(ExitStack())
        self.origin = closing.enter_context(origin(served, self.folder / "origin.log"))
        md5 = hashlib.md5((served / "hello-1.0.tar.gz").read_bytes(), usedforsecurity=False)
        self.fill(
            "component/hello/buildout.cfg.in",
            served / "component" / "hello" / "buildout.cfg",
            ORIGIN=self.origin,
            MD5=md5.hexdigest(),
        )
        self.detail(f"{self.origin}, its log is {self.shown(self.folder / 'origin.log')}")
        return closing

    def make_key(self, one: Node) -> None:
        self.tell("a key to sign with: generate-signature-key slapos.cfg")
        log = self.folder / "generate-signature-key.log"
        if run([script("generate-signature-key"), str(one.slapos_cfg)], log):
            raise Failed(f"no key was made: see {log}")
        self.certificate = (one.folder / "signature.cert").read_text().strip()
        self.configure(one, "publisher.cfg.in")
        self.detail("its certificate is what every node and the profile list")

    def write_profile(self) -> Path:
        profiles = self.folder / "profiles"
        shutil.copytree(EXAMPLES / "stack", profiles / "stack")
        profile = profiles / "software" / "hello" / "software.cfg"
        self.fill(
            "software/hello/software.cfg.in",
            profile,
            ORIGIN=self.origin,
            CERTIFICATE=self.certificate,
        )
        return profile

    def node(self, name: str, template: str = "slapos.cfg.in") -> Node:
        node = Node(name, self.folder / name.replace(" ", "-"))
        self.configure(node, template)
        return node

    def configure(self, node: Node, template: str) -> None:
        self.fill(
            f"node/{template}",
            node.slapos_cfg,
            COMPUTER=node.folder.name,
            FOLDER=str(node.folder),
            SERVER=self.server,
            CERTIFICATE=getattr(self, "certificate", ""),
        )

    # -- what happens

    def publish(self, one: Node, profile: Path) -> None:
        self.tell("node one builds from origin and package index, and publishes")
        self.build(one, profile)

    def rebuild(self, two: Node, profile: Path) -> None:
        self.tell("node two has nothing, may ask nobody else, and builds the same")
        self.detail("its command line ends in networkcache:block-origin=true")
        self.build(two, profile, "networkcache:block-origin=true")
        if two.urls or evidence.asked_elsewhere(two, self.origin):
            raise Failed(f"not all is from the network cache: see {two.folder}/*.log")
        self.detail("neither it nor pip has asked an index for anything")

    def build(self, node: Node, profile: Path, *options: str) -> None:
        node.build(profile, *options)
        if node.code:
            tail = "\n".join(node.log.read_text(errors="replace").splitlines()[-15:])
            raise Failed(f"{node.name} cannot build; {node.log} ends with\n{tail}")
        for line in node.said(": "):
            if line.startswith(("from ", "published")):
                self.detail(line)
        said = subprocess.run([node.program()], capture_output=True, text=True, check=True)
        self.detail(f"the program says: {said.stdout.strip()}")
        self.detail(f"log: {self.shown(node.log)}")

    def tamper(self, files: list[evidence.Published]) -> None:
        self.tell("somebody changes hello-1.0.tar.gz on the server")
        (file,) = (file for file in files if file.url.endswith("/hello-1.0.tar.gz"))
        (path,) = self.root.rglob(file.sha512)
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.chmod(0o600)
        path.write_bytes(content)
        self.detail(f"one bit of {self.shown(path):.40}…")

    def refuse(self, three: Node, profile: Path) -> None:
        self.tell("node three refuses it")
        three.build(profile)
        reasons = three.said("do not have the digest")
        if three.code == 0 or three.program().exists() or not reasons:
            raise Failed(f"node three built from a changed archive: see {three.log}")
        self.detail(reasons[-1])
        self.detail("from then on it leaves that server alone")
        self.detail("and with its origin gone, it builds nothing rather than that")
        self.detail(f"log: {self.shown(three.log)}")

    def show(self, nodes: list[Node], files: list[evidence.Published]) -> None:
        log = evidence.AccessLog(self.access_log)
        table = list(evidence.rows(log, nodes, files, self.origin))
        print(
            "\nWhat came from where, as the access log of the server has it, and what else"
            " was asked:\n"
        )
        for line in evidence.draw(table):
            print(line)
        print(f"\nNothing is left running. All logs are in {self.folder}.")

    # -- telling and writing

    def tell(self, what: str) -> None:
        self._step += 1
        print(f"{self._step:2}. {what}", flush=True)

    def detail(self, what: str) -> None:
        print(f"      {what}", flush=True)

    def shown(self, path: Path) -> str:
        return str(path.relative_to(self.folder))

    def fill(self, template: str, path: Path, **values: str) -> None:
        """Write `template` to `path` with ``@NAME@`` replaced; a value of several lines
        is indented as its first one."""

        def value(match: re.Match[str]) -> str:
            return textwrap.indent(values[match[2]], match[1])

        text = (EXAMPLES / template).read_text()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(re.sub(r"(?m)((?:^ +)?)@([A-Z0-9]+)@", value, text))


def make_folder(folder: Path) -> None:
    """An empty folder; one that the demo did not make is left as it is."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / MARK).exists():
            raise Failed(
                f"{folder} is not empty, and not from an earlier demo: name another"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, nargs="?", default=Path(".demo"))
    folder = parser.parse_args().folder.resolve()
    begin = time.monotonic()
    end_in_order()
    try:
        with ExitStack() as until:
            make_folder(folder)
            print(f"A network cache, from one node to another. Logs are in {folder}\n")
            Demo(folder, until).play()
    except Failed as failure:
        print(f"\nThe demo failed: {failure}", file=sys.stderr)
        return 1
    print(f"It took {time.monotonic() - begin:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
