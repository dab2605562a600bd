"""A buildout that was recorded on one server is built where nothing of it can be reached:
what its run used goes there in a file."""

from __future__ import annotations

from nodes import Node, Publisher, make_sdist, make_wheel, part, reads
from wire import ours, pairs, post, put

from slapos.networkcache.cli import main

BODY = b"a source archive" * 1000


def test_a_recorded_run_is_built_across_an_air_gap(make_server, tmp_path, origin):
    near, far = make_server(), make_server()
    one = Publisher(tmp_path)
    nodes = [Node(tmp_path / f"node{number}", origin.index) for number in range(2)]
    first, second = nodes
    first.configure(reads(near, one), one.options(near))
    second.configure(reads(far, one), "block-origin = true")
    url = origin.put("/source", BODY)
    assert put(near, "another", ours("another", post(near, BODY))).status == 201
    origin.distribute("gapped", make_wheel(tmp_path, "gapped"))
    origin.distribute("sourced", make_sdist(tmp_path, "sourced"))
    written = first.profile(
        part("file", "fetch", url=url),
        part("egg", "egg", eggs="gapped\n  sourced"),
        "[versions]\ngapped = 1.0\nsourced = 1.0",
        buildout="parts = file egg",
    )
    profile = origin.put("/software.cfg", written.read_text())

    def build(node):
        return node.networkcache("-c", profile, f"buildout:directory={node.place}")

    done = build(first)
    assert done.code == 0, done.said

    gap, pem = str(tmp_path / "gap.tar"), tmp_path / "one.pem"
    pem.write_text(one.certificate)
    from_near = ["--root", str(near.root), "--run", profile]
    assert main(["server", "export", gap, *from_near]) == 0
    origin.stop()
    near.stop()
    into_far = ["--root", str(far.root), "--signer-certificate", str(pem)]
    assert main(["server", "import", gap, *into_far]) == 0

    done = build(second)
    assert done.code == 0, done.said
    assert second.part("file") == BODY
    assert {"gapped", "sourced"} <= second.eggs
    assert done.reports(f"from the network cache {far.dir_url}: ")
    assert pairs(far, "another") == []
