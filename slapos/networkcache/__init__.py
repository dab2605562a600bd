"""A network cache for zc.buildout: signed entries in SHADIR, contents in SHACACHE.

A **content** is bytes, named by their digest. An **entry** is a signed statement that a
**key** means a digest. A **signer** holds a signing key; a **certificate** is how the
public half is handed out. An **origin** is where a URL really points, a **source** a
network cache that is asked. A **reason** says why something was not believed, not
found, not done.

The map, from the rules to those who ask for them:

========================  ==========================================================
`errors`                  every error, and the closed lists of reasons and codes
`digest`, `key`           the name of a content; what an entry is put under
`entry`                   the signed record, its exact bytes
`urls`                    normalised URLs, prefixes, secrets
`certificates`            signing keys and certificates
`binding`                 what an entry is about
`trust`, `weighing`       who is believed; what many words together are worth
`protocol`, `ranges`      the wire, shared by both ends; a part of a content
`config`                  every option of ``[networkcache]``
`precedence`              which of several places an option is taken from
`quantities`              the grammar of durations and sizes
`criteria`                choosing among believed entries, as the commands do
`members`                 what an entry of each kind says beside its content
`record`                  the record of a run: which keys it used
`printable`               text from outside, as it may stand in a log
`elf`, `links`            what a program asks of its computer; where a path leads
------------------------  ----------------------------------------------------------
`configfile`, `seen`      a node's ``slapos.cfg``; the memory against roll-back
`localstore`, `spool`     contents of the node; what could not be sent yet
`private_folder`          a folder of this user's own
`bounded_folder`          so many bytes and not more: the least used give way
`transport`               the only door to the network, on the client side
`storage`                 contents and entries at rest
`host`                    the only module that looks at this computer
------------------------  ----------------------------------------------------------
`client`, `outcome`       look up, and all that was learned
`foreseen`, `holding`     many keys at once; which sources hold a content
`download`, `prefetch`    fetch; fetch ahead of who asks
`publisher`, `uploader`   sign, and send; send what needs no signature
`outbox`                  publish in the background
`unpacking`               all that is in an archive, or nothing of it
`zstandard`               the library for what is compressed so
`binary`                  a built tree, its archive, and who can run it
`libnetworkcache`         the module of that name for its programs, over these
`server`                  the web application, and the processes that run it
------------------------  ----------------------------------------------------------
`buildout`                the hook in zc.buildout
`recipes`                 recipes for zc.buildout: download, unpack, check out, install
`cli`                     the commands
`testing`                 a network cache in memory, and the contracts of stores
========================  ==========================================================

The rules are functions of values: no file, no socket, no clock. A module imports its
own layer or a lower one.

The names below are what programs use::

    from slapos.networkcache import Client, Config, Request

    with Client(Config.parse(section)) as client:
        outcome = client.look_up(Request.for_file("https://example.com/a-1.0.tar.gz"))
        client.fetch(outcome, "a-1.0.tar.gz")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .binding import Request
    from .client import Client
    from .config import Config, Source
    from .digest import Digest, Digests
    from .entry import Entry, Pair
    from .errors import NetworkcacheError, Reason
    from .key import Key
    from .outcome import Outcome
    from .publisher import Publisher
    from .trust import Policy
    from .weighing import TrustedEntry

_HOME = {
    "Client": "client",
    "Config": "config",
    "Digest": "digest",
    "Digests": "digest",
    "Entry": "entry",
    "Key": "key",
    "NetworkcacheError": "errors",
    "Outcome": "outcome",
    "Pair": "entry",
    "Policy": "trust",
    "Publisher": "publisher",
    "Reason": "errors",
    "Request": "binding",
    "Source": "config",
    "TrustedEntry": "weighing",
}

__all__ = [
    "Client",
    "Config",
    "Digest",
    "Digests",
    "Entry",
    "Key",
    "NetworkcacheError",
    "Outcome",
    "Pair",
    "Policy",
    "Publisher",
    "Reason",
    "Request",
    "Source",
    "TrustedEntry",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is asked for: an extension that zc.buildout only
    loads must not import an HTTP library."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
