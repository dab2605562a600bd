"""As a slapos node calls it: the arguments, the variables and the ``buildout.cfg`` of
slapos.core 1.26.1 (`Software._install_from_buildout`, `bootstrapBuildout`,
`launchBuildout`), once with our extension in the profile, once with our command."""

from __future__ import annotations

import json

import pytest
from buildouts import mostly_long
from nodes import Node, Run, entries, make_wheel, part, stored

pytestmark = pytest.mark.buildout

BOOTSTRAP = (
    "import sys; sys.path = {path!r}; import zc.buildout.buildout;"
    " sys.argv[1:1] = {arguments!r}; zc.buildout.buildout.main()"
)


class SlaposNode(Node):
    """A node whose buildout is the folder of a software release."""

    def install(self, profile: str, *options: str, command: bool) -> list[Run]:
        """Bootstrap, then install; `options` are those of ``[networkcache]`` that slapos
        gives on the command line."""
        extends_cache = self.place / "extends-cache"
        extends_cache.mkdir()
        config = self.place / "buildout.cfg"
        config.write_text(
            f"[buildout]\nextends = {profile}\nshared-part-list = \n"
            "build-time-part-list = \n"
        )
        arguments = [
            f"buildout:extends-cache={extends_cache}",
            f"buildout:directory={self.place}",
            "buildout:networkcache-section=networkcache",
            *(f"networkcache:{option}" for option in options),
            *("-N", "-c", str(config)),
        ]
        variables = {"HOME": str(self.place), "PYTHONNOUSERSITE": "true"}
        if command:
            first = self.networkcache(*arguments, "bootstrap", **variables)
            return [first, self.networkcache("-U", *arguments, **variables)]
        code = BOOTSTRAP.format(path=self._path(), arguments=[*arguments, "bootstrap"])
        first = self._run([str(self.python), "-S", "-c", code], variables)
        # The interpreter of its first line, which can be too long for the kernel.
        script = self.place / "bin" / "buildout"
        words = script.read_text().partition("\n")[0].removeprefix("#!").split()
        return [first, self._run([*words, str(script), "-U", *arguments], variables)]

    def _path(self) -> list[str]:
        run = self._run(
            [str(self.python), "-c", "import json, sys; print(json.dumps(sys.path))"], {}
        )
        return json.loads(run.stdout)


@mostly_long
@pytest.mark.parametrize("command", [False, True], ids=["extension", "command"])
def test_all_of_a_run_is_published(site, zc_buildout, command):
    name = f"slapos{'command' if command else 'extension'}{zc_buildout.version}"
    name = name.replace(".", "x")
    origin = site.origin
    wheel = make_wheel(site.folder, name)
    origin.distribute(name, wheel)
    pins = zc_buildout.pins | {name: "1.0"}
    versions = "".join(f"{project} = {pin}\n" for project, pin in pins.items())
    pages = {
        f"/{name}/software.cfg": "[buildout]\nextends = stack/buildout.cfg\n"
        f"parts = tarball eggs\nindex = {origin.index}\n"
        + "extensions = slapos.networkcache\n" * (not command)
        + part("tarball", "fetch", url=f"{origin.url}/{name}.tar.gz")
        + part("eggs", "egg", eggs=name)
        + site.section(),
        f"/{name}/stack/buildout.cfg": "[buildout]\nextends = versions.cfg\n",
        f"/{name}/stack/versions.cfg": f"[versions]\n{versions}",
        f"/{name}.tar.gz": f"tarball of {name}",
    }
    urls = [origin.put(path, body) for path, body in pages.items()]

    how = {"python": zc_buildout.python, "pins": zc_buildout.pins}
    node = SlaposNode(site.folder / "slapos", origin.index, **how)
    if command:
        # Before the profile is read, its section is not known.
        node.configure(*site.options())
    options = site.one.options(site.cache).replace(" = ", "=").splitlines()
    for run in node.install(urls[0], *options, command=command):
        assert run.code == 0, run.said
    assert node.part("tarball") == pages[f"/{name}.tar.gz"].encode()
    assert name in node.eggs
    for url, body in zip(urls, pages.values(), strict=True):
        assert site.entries(url), url
        assert stored(site.cache, body.encode()), url
    assert entries(site.cache, f"pypi:{name}=1.0")
    assert stored(site.cache, wheel.read_bytes())

    origin.forget()
    node = SlaposNode(site.folder / "again", origin.index, **how)
    if command:
        node.configure(*site.options())
    for run in node.install(urls[0], command=command):
        assert run.code == 0, run.said
    assert name in node.eggs
    asked = {request.path for request in origin.requests}
    # An extension comes after the profiles.
    assert asked == (set() if command else {path for path in pages if ".cfg" in path})
