"""Look up, verify and fetch 200 files of 50 KiB: client against client.

Both read from our server, over loopback, and write what they got into files. Each key
holds one pair that the client at hand believes. The list has nine certificates, and the
signer is the fifth: the incumbent tries half of them, as it does on the average. With a
list of one, the least that it can do, it is measured for comparison.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

from incumbents import clean, client_environment

from slapos.networkcache.binding import Request
from slapos.networkcache.certificates import Signer, generate
from slapos.networkcache.client import Client
from slapos.networkcache.config import Config
from slapos.networkcache.entry import Key

from .entries import legacy_pair_for, pair_for, publish
from .rows import Row, take_turns
from .servers import Services, our_server

ROUNDS, FILES, SIZE = 5, 200, 50 << 10
OLD_FETCH = Path(__file__).with_name("old_fetch.py")


def run(folder: Path) -> list[Row]:
    signers = [generate("rsa") for _ in range(9)]
    signer = signers[4]
    old_urls, our_urls = _urls("old"), _urls("ours")
    rows = []
    with our_server(folder / "server") as server:
        for old_url, our_url in zip(old_urls, our_urls, strict=True):
            content = os.urandom(SIZE)
            publish(server, old_url, content, legacy_pair_for(old_url, content, signer))
            publish(server, our_url, content, pair_for(our_url, content, signer))
        for listed, factor in ((signers, 8), ([signer], None)):
            options = options_for(server, listed)
            old, ours = take_turns(
                ROUNDS,
                partial(fetch_as_incumbent, options, old_urls, folder / "fetched"),
                partial(_ours, options, our_urls, folder / "fetched"),
            )
            what = f"fetch {FILES} files of {SIZE >> 10} KiB, certificates: {len(listed)}"
            rows.append(Row(what, old, ours, "s", str(ROUNDS), factor))
    return rows


def _urls(who: str) -> list[str]:
    return [f"http://example.com/{who}/{number}.tar.gz" for number in range(FILES)]


def options_for(services: Services, signers: list[Signer]) -> dict[str, str]:
    """What a client is told: where the cache is, and whom to believe."""
    return {
        "download-cache-url": services.cache_url,
        "download-dir-url": services.dir_url,
        "signature-certificate-list": "".join(
            s.self_signed("signer", time.time()) for s in signers
        ),
    }


def fetch_as_incumbent(
    options: dict[str, str], urls: list[str], destination: Path
) -> float:
    """Seconds that the incumbent takes to look up, verify and fetch all `urls`."""
    empty(destination)
    keys = [str(Key.for_file(url)) for url in urls]
    done = subprocess.run(
        [client_environment() / "bin/python", OLD_FETCH],
        input=json.dumps([options, keys, str(destination)]),
        capture_output=True,
        text=True,
        check=True,
        env=clean(),
    )
    check(destination, len(urls))
    return float(done.stdout)


def _ours(options: dict[str, str], urls: list[str], destination: Path) -> float:
    empty(destination)
    start = time.perf_counter()
    client = Client(Config.parse(options))
    for url in urls:
        request = Request.for_file(url)
        client.fetch(client.look_up(request), str(destination / str(request.key)))
    client.close()
    seconds = time.perf_counter() - start
    check(destination, len(urls))
    return seconds


def empty(destination: Path) -> None:
    """Make it an empty folder."""
    shutil.rmtree(destination, ignore_errors=True)
    destination.mkdir()


def check(destination: Path, count: int) -> None:
    """See that so many files were fetched, each of them whole."""
    sizes = [file.stat().st_size for file in destination.iterdir()]
    if sizes != [SIZE] * count:
        raise RuntimeError(f"{len(sizes)} of {count} files were fetched")
