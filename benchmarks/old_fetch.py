"""Runs in the environment of the old client: seconds to look up, verify and fetch."""

import json
import os
import shutil
import sys
import time

from slapos.libnetworkcache import NetworkcacheClient


def fetch(client, key, path):
    entry = next(client.select(key))
    with open(path, "wb") as file:
        shutil.copyfileobj(client.download(entry["sha512"]), file)


if __name__ == "__main__":
    options, keys, folder = json.load(sys.stdin)
    start = time.perf_counter()
    client = NetworkcacheClient(options)
    for key in keys:
        fetch(client, key, os.path.join(folder, key))
    print(time.perf_counter() - start)
