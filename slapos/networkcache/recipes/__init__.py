"""Recipes for zc.buildout: a few options each around what is above.

- `download` is ``slapos.networkcache:download``, a file;
- `unpacked` is ``slapos.networkcache:download-unpacked``, what is in an archive;
- `gitclone` is ``slapos.networkcache:gitclone``, a checkout;
- `release` is ``slapos.networkcache:release``, a software release;
- `server` is ``slapos.networkcache:server``, a network cache of one's own;
- `part` is what they share: where a part is put, and that it gets there at once;
- `options` reads options, `fetching` gets a file with checksums of any kind;
- `git` is the only module that runs git, `checkout` brings a revision from a bundle or
  from its origin.

None of them opens a connection: files come through `zc.buildout.download`, where the hook
puts the network cache before the origin; git fetches by itself. Without a hook, or a
network cache, they work all the same.
"""
