"""One GiB up and down with our client: the most memory that either end ever held."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from slapos.networkcache.certificates import generate

from .processes import PeakWatch, peak_memory
from .rows import Row
from .servers import our_server
from .upload import change, gibibyte

ROUNDS = 3
URL = "http://example.com/gibibyte"


def run(folder: Path) -> list[Row]:
    file = gibibyte(folder)
    peaks: dict[str, list[float]] = {"up": [], "down": []}
    with our_server(folder / "server") as server:
        options = _options(folder, server.cache_url, server.dir_url)
        for _ in range(ROUNDS):
            change(file)
            peaks["up"].append(_transfer("up", file, options))
            fetched = folder / "fetched"
            peaks["down"].append(_transfer("down", fetched, options))
            if fetched.stat().st_size != file.stat().st_size:
                raise RuntimeError("what came down is not what went up")
        servers = peak_memory(server.pid)
    count = str(ROUNDS)
    return [
        Row("1 GiB up and down: server memory", None, servers, "MiB", count, limit=96),
        *(
            Row(f"1 GiB {way}: client memory", None, median(p), "MiB", count, limit=96)
            for way, p in peaks.items()
        ),
    ]


def _options(folder: Path, cache_url: str, dir_url: str) -> str:
    signer = generate("rsa")
    key = folder / "signature.key"
    key.touch(0o600)
    key.write_bytes(signer.private_pem())
    return json.dumps(
        {
            "download-cache-url": cache_url,
            "download-dir-url": dir_url,
            "upload-cache-url": cache_url,
            "upload-dir-url": dir_url,
            "signature-private-key-file": str(key),
            "signature-certificate-list": signer.self_signed("signer", time.time()),
        }
    )


def _transfer(way: str, file: Path, options: str) -> float:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.transfer", way, URL, file],
        stdin=subprocess.PIPE,
        text=True,
    )
    watch = PeakWatch(process.pid)
    process.communicate(options)
    if process.returncode:
        raise RuntimeError(f"{way} failed")
    return watch.end()
