"""Runs in the environment of `slapos.libnetworkcache` 0.30: one call of its client.

The call comes as JSON on standard input, its result or error goes as JSON to standard
output. `incumbents.OldClient` is the other end.
"""

import json
import sys

from slapos.libnetworkcache import NetworkcacheClient


def upload(client, file, key, metadata):
    with open(file, "rb") as content:
        return client.upload(content, key, **metadata)


def index(client, key, metadata):
    client.index(key, **metadata)


def select(client, key):
    return list(client.select(key))


def download(client, digest, piece, destination):
    response = client.download(digest)
    with open(destination, "wb") as file:
        while True:
            data = response.read(piece)
            if not data:
                break
            file.write(data)


def certificates(client):
    return len(client.signature_certificate_list)


CALLS = {f.__name__: f for f in (upload, index, select, download, certificates)}


def main():
    request = json.load(sys.stdin)
    call = CALLS[request.pop("call")]
    try:
        result = call(NetworkcacheClient(request.pop("options")), **request)
    except Exception as error:
        answer = {"error": [type(error).__name__, str(error), getattr(error, "code", None)]}
    else:
        answer = {"result": result}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
