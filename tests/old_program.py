"""A program written for `slapos.libnetworkcache`: what changes is the module's name.

``old_program.py MODULE CALL`` makes one of the calls below with the arguments on standard
input, as JSON, and prints what came of it: `result`, or `error` as the name of its class
and what it can be caught as, and the `log`.
"""

import importlib
import io
import json
import logging
import os
import sys
from urllib.error import HTTPError


def write(module, form, key, contents):
    """Upload contents under one key; the last member tells which is which."""
    client = make(module, form)
    digests = []
    for number, content in enumerate(contents):
        members = {"url": "http://example.com/a b", "list": [1, "é"], "number": number}
        digests.append(client.upload(io.BytesIO(content.encode()), key, **members))
    return digests


def read(module, form, key):
    """Everything that can be read of a key."""
    client = make(module, form)
    names = ("sha512", "url", "list", "number")
    entries = [{n: e.get(n) for n in names} for e in client.select(key)]
    first = next(iter(client.select(key, {"number": 0})))
    body = client.download(first["sha512"])
    pieces = [body.read(3), body.read(), body.read()]
    body.close()
    return {
        "entries": entries,
        "contents": [client.download(e["sha512"]).read().decode() for e in entries],
        "pieces": [piece.decode() for piece in pieces],
        "wanted": len(list(client.select(key, {"number": 1, "list": [1, "é"]}))),
        "lacking": len(list(client.select(key, {"nowhere": None}, ["nowhere"]))),
        "required": len(list(client.select(key, required_key_list=["url", "number"]))),
        "pairs": sorted(map(shape, client.select_generic(key))),
        "verified": sorted(
            {
                client.verifySignatureInCertificateList(*pair)
                for pair in client.select_generic(key, filter=False)
            }
        ),
        "filtered": [
            e["number"]
            for e in module.NetworkcacheFilter(["number>=1", "number<<9"])(entries)
        ],
    }


def shape(pair):
    return [type(pair).__name__, *(type(member).__name__ for member in pair)]


def only_upload(module, form, content):
    return make(module, form).upload_generic(io.BytesIO(content.encode()))


def upload_from_pipe(module, form, content):
    read_end, write_end = os.pipe()
    os.write(write_end, content.encode())
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        return make(module, form).upload(pipe)


def upload_without_members(module, form, key):
    make(module, form).upload(io.BytesIO(b"x"), key)


def index(module, form, key, content):
    client = make(module, form)
    client.index(key, sha512=client.upload(io.BytesIO(content.encode())), number=7)
    return [entry["number"] for entry in client.select(key)]


def construct(module, form):
    client = make(module, form)
    return len(client.signature_certificate_list)


def select(module, form, key):
    return [entry["sha512"] for entry in make(module, form).select(key)]


def select_generic(module, form, key):
    return list(make(module, form).select_generic(key))


def download(module, form, digest):
    return make(module, form).download(digest).read().decode()


def forgive(module, form, key):
    """What goes wrong inside ``with`` is logged."""
    with make(module, form) as client:
        client.download(next(client.select(key))["sha512"])
    with client:
        raise module.NetworkcacheException("50% of it is not there")
    with client:
        raise ValueError("a")
    return "went on"


def announce(module, form, key):
    client = make(module, form)
    return [bool(client.tryDownload(key)), bool(client.tryUpload(key))]


def carry(module, form, folder):
    """A folder goes in and comes out."""
    client = make(module, form)
    os.makedirs(os.path.join(folder, "from", "tree", "inner"))
    with open(os.path.join(folder, "from", "tree", "inner", "file"), "w") as file:
        file.write("in the tree")
    with client.archive(os.path.join(folder, "from", "tree")) as archive:
        digest = client.upload(archive)
    os.mkdir(os.path.join(folder, "to"))
    client.extract(os.path.join(folder, "to", "tree"), client.download(digest))
    with open(os.path.join(folder, "to", "tree", "inner", "file")) as file:
        return sorted(os.listdir(os.path.join(folder, "to"))), file.read()


def make(module, form):
    """A client, in one of the forms of its constructor."""
    arguments, named = form
    if arguments and arguments[0] == "FILE":
        with open(arguments[1]) as file:
            return module.NetworkcacheClient(file, *arguments[2:], **named)
    return module.NetworkcacheClient(*arguments, **named)


class Log(logging.Handler):
    def __init__(self):
        logging.Handler.__init__(self)
        self.lines = []

    def emit(self, record):
        self.lines.append([record.levelname, record.getMessage()])


def main():
    module = importlib.import_module(sys.argv[1])
    log = Log()
    module.logger.addHandler(log)
    try:
        answer = {"result": globals()[sys.argv[2]](module, **json.load(sys.stdin))}
    except Exception as error:
        caught = [
            cls.__name__
            for cls in (HTTPError, OSError, module.NetworkcacheException, TypeError)
            if isinstance(error, cls)
        ]
        code = getattr(error, "code", None)
        answer = {"error": [type(error).__name__, caught, code], "message": str(error)}
    answer["log"] = log.lines
    answer["logger"] = [module.logger.name, module.logger.level]
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
