"""Takes out one check after the other, and names the test that sees it.

``python tests/mutations.py [NAME ...]`` copies what the tests need to a temporary
folder, breaks one thing there, runs the tests of its row until the first fails, and
prints a table. It fails where a mutation survives, or no longer applies, and where the
tests fail without any.
"""

# ruff: noqa: E501 - one line, one mutation
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path("slapos", "networkcache")
VALUES = "test_golden test_trust test_binding test_entry test_digest test_certificates"


class Mutation(NamedTuple):
    """In `file` of the package, the one place of `old` becomes `new`; `tests` are names
    of test files, and must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str = VALUES


LOW_S = "s <= _CURVE_ORDERS[curve.name] // 2 and "
STEP = "                elements.append(_decode(element))\n            except (ValueError, RecursionError)"
WIRE = "test_protocol test_properties"
LOCAL, SPOOL, INDEX = "test_client_local", "test_spool", "test_pip_index"
FOLDERS = "test_localstore test_spool"
RECORDS = "test_record hook/test_hook_record"
URLS = "test_urls test_properties"

M = Mutation
NOTHING = ("class NetworkcacheError(", "class NetworkcacheError(")
MUTATIONS = [
    # -- who signed
    M("signature", "certificates.py", "            return False\n        return True", "            return True\n        return True"),
    M("signer named", "trust.py", "if c.fingerprint == entry.signer", "if True"),
    M("low s", "certificates.py", LOW_S, ""),
    M("RSA of 2048 bits", "certificates.py", "RSA_BITS = 2048", "RSA_BITS = 1024"),
    M("legacy accept", "trust.py", "if strength is Strength.LEGACY and self.accept_legacy:", "if strength is Strength.LEGACY:"),
    M("no format", "trust.py", "if entry.legacy and not self.accept_legacy:", "if False:"),
    M("canonical base64", "entry.py", "if signature is None or base64.b64encode(signature).decode() != self.signature:", "if signature is None:"),
    M("comment in a list", "certificates.py", '_COMMENT.sub("", text)', "text"),
    M("version of a certificate", "certificates.py", "x509.InvalidVersion, ", ""),
    # -- what it says
    M("duplicate member", "entry.py", "if len(members) != len(pairs):", "if False:"),
    M("true for 1", "entry.py", "if type(value) is not int or value < 0:", "if not isinstance(value, int) or value < 0:"),
    M("beyond 2**53", "entry.py", "abs(int(text)) > 1 << 53", "False"),
    M("NaN", "entry.py", ", parse_constant=_constant", ""),
    M("ASCII", "entry.py", "if not text.isascii():", "if False:"),
    M("depth", "entry.py", "if nested_deeper(members):", "if False:"),
    M("levels of depth", "entry.py", "return levels == 0 or", "return levels < 0 or"),
    M("unknown format", "entry.py", "            _check_format(members)\n", ""),
    M("required members", "entry.py", '_REQUIRED = ("key", "size", "created")', "_REQUIRED = ()"),
    M("length of a pair", "entry.py", "if size > PAIR_LIMIT:", "if False:"),
    # -- what it is about
    M("key", "binding.py", "if not entry.legacy and entry.key != request.key.text:", "if False:"),
    M("url", "binding.py", "if wanted is not None and value != wanted:", "if False:"),
    M("url makes the key", "binding.py", "if request.key.suffix != suffix:", "if False:"),
    M("mandatory member", "binding.py", '    if value is None:\n        raise _mismatch(f"it does not say', '    if value is None:\n        return ""\n        raise _mismatch(f"it does not say'),
    M("basename", "binding.py", '    if file != basename(request.url):\n        raise _mismatch(f"its basename is {file}")\n    if any', "    if any"),
    M("hash of the file", "binding.py", "if not request.agrees(entry):", "if False:"),
    M("url without a hash", "binding.py", "elif url != request.url:", "elif False:"),
    M("url of a distribution", "binding.py", '        _makes_key(request, f"{named.name}={named.version}", "url")\n', ""),
    M("requirement", "binding.py", "    if request.requirement is not None and _project(requirement)", "    if False and _project(requirement)"),
    M("end of a page", "binding.py", "if entry.expires is None:", "if False:"),
    M("30 days", "binding.py", "if entry.expires - (entry.created or 0) > LIFETIME_LIMIT:", "if False:"),
    M("unknown kind", "binding.py", "elif entry.legacy or not request.any_kind:", "elif False:"),
    M("legacy release", "binding.py", '    if "url" in entry.members:\n        raise', '    if False:\n        raise'),
    M("legacy url first", "binding.py", '    if "url" in entry.members:\n        _file(', '    if False:\n        _file('),
    # -- when, and with whom
    M("expiry", "trust.py", "if entry.expires is not None and now > entry.expires:", "if False:"),
    M("clock", "trust.py", "entry.created > now + CLOCK_TOLERANCE", "False"),
    M("blacklist", "trust.py", "if digest in self.blacklist:", "if False:"),
    M("checked origin", "trust.py", "if self.require_checked_origin and", "if False and"),
    M("threshold", "weighing.py", "if len(self.vouchings) < threshold:", "if False:"),
    M("one key, one vote", "weighing.py", "newest[vouching.certificate.fingerprint] =", "newest[str(id(vouching))] ="),
    M("same statement", "weighing.py", "groups[vouching.statement]", 'groups[""]'),
    M("age of the threshold", "weighing.py", "vouchings[min(threshold, len(vouchings)) - 1]", "vouchings[0]"),
    M("conflict", "weighing.py", "if candidate.digest in conflicting:", "if False:"),
    M("checksum", "weighing.py", "if agrees is False:", "if False:"),
    M("checksum picks first", "weighing.py", "return request.agrees(self.entry) is True, _age", "return False, _age"),
    M("rollback", "weighing.py", "and _age(self.created) < newest_believed", "and False"),
    M("checksum excuses rollback", "weighing.py", "            and not agrees\n", ""),
    M("seal", "weighing.py", "if self.seal is not _seal:", "if False:"),
    # -- contents
    M("digest", "digest.py", "if self._hash.hexdigest() != self.digest.hex:", "if False:"),
    M("size: too short", "digest.py", "if self.size is not None and self.count != self.size:", "if False:"),
    M("size: too long", "digest.py", "if self.limit is not None and self.count > self.limit:", "if False:"),
    # -- the wire
    M("huge number", "protocol.py", "parse_int=lambda _: 0, ", "", WIRE),
    M("poison nested deep", "protocol.py", STEP, STEP.replace(", RecursionError", ""), WIRE),
    M("not asked for", "protocol.py", "if text in keys and isinstance(pairs, list)", "if isinstance(pairs, list)", WIRE),
    M("batch of 1000", "protocol.py", "if len(values) > BATCH_LIMIT:", "if False:", WIRE),
    M("range beyond the end", "ranges.py", "if start >= size or start >= stop:", "if False:", WIRE),
    M("quoting", "protocol.py", "safe=':=+.-_~!@,'", "safe=':=+.-_~!@,;%&'", WIRE),
    # -- URLs
    M("user info", "urls.py", "return _USER_INFO.search(url) is not None or any(", "return any(", URLS),
    M("secret parameter", "urls.py", "    return name in SECRET_PARAMETERS or", "    return", URLS),
    M("redact user info", "urls.py", '_USER_INFO_IN_TEXT.sub("://***@", text)', "text", URLS),
    M("redact parameter", "urls.py", "if parameter.start() >= done and _is_secret_parameter(parameter[1]):", "if False:", URLS),
    M("dot segments", "urls.py", "_remove_dot_segments(_tidy_escapes(parts.path))", "_tidy_escapes(parts.path)", URLS),
    M("default port", "urls.py", "if port is not None and port != _DEFAULT_PORTS.get(scheme):", "if port is not None:", URLS),
    M("escapes of a host", "urls.py", '_tidy_escapes(parts.hostname or "").lower()', '(parts.hostname or "").lower()', URLS),
    M("lone per cent sign", "urls.py", 'return "%25"', 'return "%"', URLS),
    M("bare host as a prefix", "urls.py", 'return normalised.removesuffix("/")', "return normalised", URLS),
    # -- what is kept on the node
    M("wrong bytes of the local store", "download.py", "            partial.take(Incoming(0, content.size, content.pieces()))", "            partial._file.write(content.read(0, content.size))", LOCAL),
    M("a folder of another user", "private_folder.py", "if status.st_uid != os.geteuid():", "if False:", FOLDERS),
    M("a folder that is a link", "private_folder.py", "    if stat.S_ISLNK(status.st_mode):", "    if False:", FOLDERS),
    M("a folder for others", "private_folder.py", "_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH", "_OTHERS_WRITE = 0", FOLDERS),
    # -- the record of a run
    M("keys of a record", "record.py", 'value["used"][:KEYS_LIMIT]', 'value["used"]', RECORDS),
    M("half of the local store", "buildout/ahead.py", "if self._left < 0:", "if False:", RECORDS),
    M("size of a record", "buildout/ahead.py", "trusted.size > RECORD_LIMIT", "False", RECORDS),
    # -- what is published
    M("checksum before signing", "outbox.py", "if wrong := check.mismatch():", "if False and (wrong := check.mismatch()):", "test_outbox"),
    M("a field of the user's own", "buildout/watching.py", "fields.keys() <= _EVERYBODYS", "True", "hook/test_hook_urllib hook/test_hook_secrets"),
    M("a secret in an entry", "publisher.py", "if any(has_secret(value) for value in", "if False and any(has_secret(value) for value in", "test_client_publish"),
    # -- pages, and the index for pip
    M("the version that is linked", "buildout/pages.py", "(suits and suits(cached.page))", "suits", "hook/test_hook_pages"),
    M("token of the index", "buildout/pip_index.py", "if not secrets.compare_digest(token.encode(), self._token.encode()):", "if False:", INDEX),
    M("host of the index", "buildout/pip_index.py", 'if self.headers.get("Host") == self.index.host:', "if True:", INDEX),
    # -- archives
    M("setuid in an archive", "unpacking/tree.py", "if mode & (stat.S_ISUID | stat.S_ISGID):", "if False:", "test_unpacking"),
]  # fmt: skip


def first_failure(mutation: Mutation, copy: Path) -> str | None:
    """The first test that fails in `copy` with the mutation, which is undone after."""
    path = copy / PACKAGE / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        return f"DOES NOT APPLY: {text.count(mutation.old)} places in {mutation.file}"
    path.write_text(text.replace(mutation.old, mutation.new))
    tests = [f"tests/{name}.py" for name in mutation.tests.split()]
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "--hypothesis-seed=0"]
    try:
        run = subprocess.run(
            [*command, *tests],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
        )
    finally:
        path.write_text(text)
    failed = [
        line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))
    ]
    return failed[0].split(" - ")[0].partition("tests/")[2] if failed else None


def main(names: list[str]) -> int:
    chosen = [mutation for mutation in MUTATIONS if not names or mutation.name in names]
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in ("slapos", "tests"):
            shutil.copytree(
                ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        for file in ("setup.cfg", "setup.py"):
            shutil.copy(ROOT / file, copy / file)
        for tests in dict.fromkeys(mutation.tests for mutation in chosen):
            if failure := first_failure(M("none", "errors.py", *NOTHING, tests), copy):
                print(f"without any mutation: {failure}")
                return 1
        for mutation in chosen:
            failure = first_failure(mutation, copy)
            if failure is None or failure.startswith("DOES NOT"):
                survived += 1
            print(f"{mutation.name:28} {failure or 'SURVIVED'}", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} mutations were seen")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
