"""The thinnest layer: the hook in zc.buildout, and the one place of forgiveness.

- `extension` is what ``extensions = slapos.networkcache`` loads;
- `places` reads the options of a run from the places where a buildout keeps them;
- `hook` puts the seams in place: `downloads`, `indexes`, `build_requirements` (with
  `pip_index` and `pip_settings`), `opener` and `lifecycle`;
- `seams` puts replacements in place, and `answers` is what those who read them get;
- `pages` says when an index page comes from the cache;
- `watching` watches a fetch from its origin, to tell whether it may be published;
- `session` is what all of a run shares, the place where a failure of the cache is
  forgiven for one, and `run` is the run: cache, then origin;
- `ahead` asks for all at once, by the record of an earlier run, or by what `expected`
  reads in the profile; `blocked` says what no cache has of it, where no origin is asked;
- `giving` is what a run publishes, with the files in `outgoing`, `usage` what its record
  says, and `earlier` what came before the extension did;
- `blocked` says what is missing where no origin may be asked;
- `ending` publishes what is left; `report` counts, and says what came from where.

Nothing here imports the client before the first fetch: an extension that is only loaded
must cost nothing.
"""

SCRIPT = "NETWORKCACHE_BIN_BUILDOUT"
"""Names, to the child that buildout starts after an upgrade, the script it stands for."""
