"""Recipes for the tests of the hook, on the path of every node."""

import os
import shutil
import sys

import zc.buildout
import zc.buildout.easy_install
from zc.buildout.download import Download


class Recipe:
    def __init__(self, buildout, name, options):
        self.buildout, self.name, self.options = buildout, name, options
        self.place = os.path.join(buildout["buildout"]["parts-directory"], name)

    def update(self):
        return self.install()


class Fetch(Recipe):
    """Download `url`, or else `alternate-url`, with `md5sum`, to `path` if that is given;
    the outcome is the part."""

    def install(self):
        options = self.options
        download = Download(self.buildout["buildout"], hash_name="hash" in options)
        how = {"md5sum": options.get("md5sum"), "path": options.get("path")}
        if options.get("alternate-url"):
            how["alternate_url"] = options["alternate-url"]
        path, is_temporary = download(options["url"], **how)
        print(f"{self.name}: {path} temporary={is_temporary} {os.stat(path).st_mode:o}")
        shutil.copyfile(path, self.place)
        if is_temporary:
            os.unlink(path)
        return self.place


class Egg(Recipe):
    """Install `eggs`, as zc.recipe.egg does."""

    def install(self):
        buildout = self.buildout["buildout"]
        eggs, develop = buildout["eggs-directory"], buildout["develop-eggs-directory"]
        offline = self.buildout.offline
        zc.buildout.easy_install.install(
            self.options["eggs"].split(),
            None if offline else eggs,
            links=buildout.get("find-links", "").split(),
            index=buildout.get("index"),
            path=[develop, eggs] if offline else [develop],
            newest=self.buildout.newest,
        )
        return ()


class Script(Recipe):
    """Run the Python `script`, which finds the options in `options`, and in `place` the
    path of the part."""

    def install(self):
        names = {"options": dict(self.options), "place": self.place}
        with open(self.options["script"]) as file:
            exec(file.read(), names)
        return self.place if os.path.exists(self.place) else ()


class Fail(Recipe):
    def install(self):
        raise zc.buildout.UserError("this recipe always fails")


class Modules(Recipe):
    """Say which of `modules` are imported, and whether zc.buildout is patched."""

    def install(self):
        loaded = [name for name in self.options["modules"].split() if name in sys.modules]
        patched = Download.download.__module__ != "zc.buildout.download"
        print(f"loaded={loaded} patched={patched}")
        return ()
