"""Entries and contents in one file, for a server that reaches no other.

The file is a plain tar, written and read in one pass, so that a pipe will do::

    networkcache.json        {"format": 1, "created": POSIX seconds, "asked": [...]}
    contents/SHA512          the bytes of a content
    entries/KEY.json         the pairs of a key, oldest put first, as a directory has them;
                             the key quoted as in URLs
    end.json                 {"contents": n, "keys": n}

A content comes before the pairs that name it, and no member twice. A file without its end
is cut: what it had until then was taken, whole, and taking it again does no harm.

    choosing     which keys are asked for
    export       from a server into a file
    importing    from a file into a server, everything verified
"""

FORMAT = 1
HEAD, END = "networkcache.json", "end.json"
CONTENTS, ENTRIES, SUFFIX = "contents", "entries", ".json"
