"""Runs in the environment of the old client: milliseconds to verify one entry."""

import json
import sys
import time

from slapos.libnetworkcache import NetworkcacheClient

if __name__ == "__main__":
    certificates, entry, signature, times = json.load(sys.stdin)
    client = NetworkcacheClient({"signature-certificate-list": certificates})
    start = time.perf_counter()
    for _ in range(times):
        assert client.verifySignatureInCertificateList(entry, signature)
    print((time.perf_counter() - start) / times * 1000)
