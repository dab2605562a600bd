"""Verify one entry with a list of nine certificates, its signer last.

Our entries name their signer, so one certificate is tried; with an entry that does not,
all nine are. The incumbent always tries all, and knows RSA with SHA-1 only.
"""

from __future__ import annotations

import json
import subprocess
import time
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from incumbents import clean, client_environment

from slapos.networkcache.binding import Request
from slapos.networkcache.certificates import CertificateList, PrivateKey, Signer
from slapos.networkcache.trust import Policy

from .entries import legacy_pair_for, pair_for
from .rows import Row, take_turns

ROUNDS, OLD_TIMES, OUR_TIMES = 7, 20, 500
URL = "http://example.com/hello-1.0.tar.gz"
CONTENT = b"hello"
OLD_LOOP = Path(__file__).with_name("old_verify.py")


def run(_: Path) -> list[Row]:
    rsa_signers = [Signer(_rsa()) for _ in range(9)]
    ed25519_signers = [Signer(ed25519.Ed25519PrivateKey.generate()) for _ in range(9)]
    old, *ours = take_turns(
        ROUNDS,
        partial(_old, rsa_signers),
        *(
            partial(_ours, signers, named)
            for signers in (rsa_signers, ed25519_signers)
            for named in (True, False)
        ),
    )
    count = f"{ROUNDS} x {OLD_TIMES} / {OUR_TIMES}"
    cases = (
        ("RSA-2048, signer named", 100),
        ("RSA-2048, signer not named", 100),
        ("Ed25519, signer named", 50),
        ("Ed25519, signer not named", 50),
    )
    return [
        Row(f"verify, 9 certificates: {what}", old, time, "ms", count, factor)
        for (what, factor), time in zip(cases, ours, strict=True)
    ]


def _rsa() -> PrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _list(signers: list[Signer]) -> str:
    return "".join(
        signer.self_signed(f"signer {n}", time.time()) for n, signer in enumerate(signers)
    )


def _old(signers: list[Signer]) -> float:
    entry, signature = legacy_pair_for(URL, CONTENT, signers[-1])
    question = [_list(signers), entry, signature, OLD_TIMES]
    done = subprocess.run(
        [client_environment() / "bin/python", OLD_LOOP],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=True,
        env=clean(),
    )
    return float(done.stdout)


def _ours(signers: list[Signer], named: bool) -> float:
    policy = Policy(CertificateList.parse(_list(signers)).certificates)
    pair = pair_for(URL, CONTENT, signers[-1], named=named)
    request = Request.for_file(URL)
    start = time.perf_counter()
    for _ in range(OUR_TIMES):
        policy.examine(pair, request, time.time())
    return (time.perf_counter() - start) / OUR_TIMES * 1000
