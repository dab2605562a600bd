"""The thinnest layer: the hook in zc.buildout, and the one place of forgiveness.

- `extension` is what ``extensions = slapos.networkcache`` loads;
- `places` reads the options of a run from the places where a buildout keeps them;
- `hook` patches the two methods through which zc.buildout fetches files;
- `watching` watches a fetch from its origin, to tell whether it may be published;
- `run` is one run: cache, then origin, then publish; a failure of the cache is
  forgiven in `run.Run.forgiven` and nowhere else;
- `report` counts, and says at the end what came from where.

Nothing here imports the client before the first fetch: an extension that is only loaded
must cost nothing.
"""
