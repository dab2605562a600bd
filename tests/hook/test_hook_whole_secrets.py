"""A whole run with a secret in every kind of place: nothing that we say, send, sign or
keep has any of them in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from nodes import Node, make_isolated_sdist, make_wheel, part
from origin import Origin
from repositories import Repository

from slapos.networkcache.entry import Key
from slapos.networkcache.testing import faults

SECRET = "s3cr3t"
PASSWORD = f"user:{SECRET}"


def with_password(url: str) -> str:
    return url.replace("//", f"//{PASSWORD}@", 1)


@pytest.fixture
def private() -> Iterator[Origin]:
    """A package index and more behind a password."""
    origin = Origin()
    yield origin
    origin.stop()


class Secretive:
    """A profile whose own URL, extended profile, files, index, links, indexes of pip and
    repository are secret, and one file that is not."""

    def __init__(self, site, private: Origin):
        self.site, self.private = site, private
        put = site.origin.put
        self.plain = put("/plain.tar.gz", b"plain" * 99)
        self.md5 = hashlib.md5(b"checked").hexdigest()
        files = {
            "token": put(f"/a.gz?token={SECRET}", b"token"),
            "signed": put(f"/b.gz?x=1&X-Amz-Signature={SECRET}", b"signed"),
            "checked": put(f"/c.gz?API_KEY={SECRET}", b"checked"),
        }
        self._distribute()
        self.page = private.put(f"/links/?sig={SECRET}", self._links(), type="text/html")
        more = put(f"/more.cfg?password={SECRET}", "[more]\nx = 1\n")
        node = site.bare_node()
        node.index = with_password(private.index)
        node.profile(
            part("plain", "fetch", url=self.plain),
            *[
                part(name, "fetch", url=url, **self._sum(name))
                for name, url in files.items()
            ],
            part("eggs", "egg", eggs="secretsdist secretlink"),
            "[git]\nrecipe = slapos.networkcache:gitclone\n"
            f"repository = {self._repository()}\nrevision = {self.revision}\n",
            "[versions]\nsecretsdist = 1.0\nsecretlink = 1.0",
            buildout=f"parts = plain {' '.join(files)} eggs git\nextends = {more}\n"
            f"find-links = {self.page}",
        )
        text = (node.place / "buildout.cfg").read_text()
        self.url = put(f"/software.cfg?access_token={SECRET}", text)

    def _sum(self, name: str) -> dict[str, str]:
        return {"md5sum": self.md5} if name == "checked" else {}

    def _distribute(self) -> None:
        """Two projects on the index, one of them for pip only; the links are relative, so
        that the password is theirs too."""
        folder = self.site.folder
        for file in (
            make_isolated_sdist(folder, "secretsdist", "needed"),
            make_wheel(folder, "needed"),
        ):
            project = file.name.partition("-")[0]
            how = {"password": PASSWORD}
            self.private.put(f"/files/{file.name}", file.read_bytes(), **how)
            page = f'<a href="../../files/{file.name}">{file.name}</a>'
            self.private.put(f"/simple/{project}/", page, type="text/html", **how)

    def _links(self) -> str:
        wheel = make_wheel(self.site.folder, "secretlink")
        path = f"/files/{wheel.name}?private_token={SECRET}"
        url = self.private.put(path, wheel.read_bytes())
        return f'<a href="{url}">{wheel.name}</a>'

    def _repository(self) -> str:
        repository = Repository(self.site.folder / "repository")
        self.revision = repository.commit("file", "text")
        url = repository.serve(self.site.origin, "/private.git", password=PASSWORD)
        return with_password(url)

    def run(self, node: Node, report: Path) -> str:
        """Install it, saying as much as can be said; all that we said."""
        node.index = with_password(self.private.index)
        node.environment["PIP_NO_BUILD_ISOLATION"] = ""
        run = node.networkcache(
            "--networkcache-report", str(report),
            "-vv", "-c", self.url, f"buildout:directory={node.place}",
            PIP_EXTRA_INDEX_URL=node.index, PIP_FIND_LINKS=self.page,
        )  # fmt: skip
        assert run.code == 0, run.said
        assert node.part("token") == b"token"
        assert node.part("checked") == b"checked"
        assert node.eggs == {"secretsdist", "secretlink"}
        assert (node.place / "parts" / "git" / "file").read_text() == "text"
        assert run.ours
        # Buildout says by itself, on standard output, what it downloads.
        ours = ("slapos.networkcache", "urllib3")
        lines = run.stdout.splitlines()
        return "\n".join([run.stderr, *(line for line in lines if line.startswith(ours))])


def sent(cache) -> Iterator[str]:
    """What the server was asked, and what stands there."""
    for request in cache.requests:
        yield unquote(str(request))
        yield json.dumps(dict(request.headers))
        if request.method == "PUT":
            key = Key.parse(unquote(request.path.rpartition("/")[2]))
            for stored in cache.entries.get([key]).get(key, ()):
                yield stored.pair.entry
    for digest in cache.contents:
        yield b"".join(cache.contents.open(digest).pieces()).decode("latin-1")


def kept(node: Node) -> Iterator[str]:
    """Names and bytes of all that stays of us on the node: store, spool and memory."""
    for path in (node.home / ".cache").rglob("*"):
        yield str(path.relative_to(node.home))
        if path.is_file():
            yield path.read_bytes().decode("latin-1")


@pytest.mark.parametrize("down", [False, True], ids=["sent", "kept"])
def test_nothing_secret_leaves_the_run(observed, private, down):
    secretive = Secretive(observed, private)
    node = observed.node(signs=observed.one)
    report = node.root / "report.json"
    if down:
        observed.cache.plan(faults.drop, "POST /shacache")
    said = secretive.run(node, report)
    # The test would see it.
    assert "***" in said
    plain = Key.for_file(secretive.plain)
    assert any(
        secretive.plain in text for text in (kept(node) if down else sent(observed.cache))
    )
    assert bool(observed.cache.entries.get([plain])) != down
    counts = json.loads(report.read_text())
    assert counts["unpublished"]["secret-url"] >= 5

    places = {
        "log": [said],
        "report": [report.read_text()],
        "server": sent(observed.cache),
        "node": kept(node),
    }
    found = [
        (place, text[max(0, text.index(SECRET) - 200) : text.index(SECRET) + 20])
        for place, texts in places.items()
        for text in texts
        if SECRET in text
    ]
    assert found == []
    assert not any("buildout-run" in str(request) for request in observed.cache.requests)
