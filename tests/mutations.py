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

import mutations_server
from mutated import Mutation

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path("slapos", "networkcache")

LOW_S = "s <= _CURVE_ORDERS[curve.name] // 2 and "
STEP = "                elements.append(_decode(element))\n            except (ValueError, RecursionError)"
WIRE = "test_protocol test_properties"
LOCAL, SPOOL, INDEX = "test_client_local", "test_spool", "test_pip_index"
FOLDERS = "test_localstore test_spool"
RECORDS = "test_record hook/test_hook_record"
URLS = "test_urls test_properties"
INSTALLED, PACKED = "test_release_golden", "test_release_archive"
RELOCATED, SHARED = "test_relocation", "test_release_shared"
ROOT_DOES, DONE = "test_release_root", "test_releases"

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
    M("wrong bytes of the local store", "download.py", "            received.take(Incoming(0, content.size, content.pieces()))", "            received._file.write(content.read(0, content.size))", LOCAL),
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
    # -- releases
    M("offset in a manifest", "binary/relocation.py", "if span.end > end or data[span.offset : span.end] != move.old(span.length):", "if span.end > end:", INSTALLED),
    M("length in a manifest", "binary/relocation.py", "if span.end > end or data", "if data", INSTALLED),
    M("old name left", "binary/relocation.py", "if span.end <= end and not any(map(span.overlaps, written)):", "if False:", INSTALLED),
    M("a manifest names a file", "binary/relocation.py", "if not unpacked.is_file(name):", "if False:", INSTALLED),
    M("a manifest names a link", "binary/relocation.py", "        if name not in links:", "        if False:", INSTALLED),
    M("link that is not listed", "binary/relocation.py", "elif name not in listed and leaves(name, links, top_of(name), listed):", "elif False:", INSTALLED),
    M("link that is listed", "binary/relocation.py", "if not leads_into(target, move.built):", "if False:", INSTALLED),
    M("dots in a listed link", "binary/prefixes.py", ' and ".." not in target.split("/")', "", INSTALLED),
    M("time of a changed file", "binary/relocation.py", "        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))", "        pass", RELOCATED),
    M("names that buildout compares", "binary/relocation.py", "if _is_plain(name, top, path):", "if False:", RELOCATED),
    M("fewer than signed", "binary/installation.py", "if (unpacked.members, unpacked.size) != (build.files, build.unpacked_size):", "if False:", INSTALLED),
    M("more than signed", "binary/unpacked.py", "if self.members > self._bounds.members or self.size > self._bounds.size:", "if False:", INSTALLED),
    M("size of a manifest", "binary/installation.py", "if len(data) != build.manifest:", "if False:", INSTALLED),
    M("folders of a manifest", "binary/installation.py", "if manifest.prefixes != (build.prefix, *build.shared):", "if False:", INSTALLED),
    M("parts of a manifest", "binary/installation.py", "if set(manifest.parts) != unpacked.parts:", "if False:", INSTALLED),
    M("named twice in a manifest", "binary/manifest.py", "if len(members) != len(pairs):", "if False:", INSTALLED),
    M("overlap in a manifest", "binary/manifest.py", "if span.offset < end:", "if False:", INSTALLED),
    M("true for an offset", "binary/manifest.py", "lambda offset: type(offset) is int", "lambda offset: isinstance(offset, int)", INSTALLED),
    M("true for a length", "binary/manifest.py", "type(each) is kind for each in value", "isinstance(each, kind) for each in value", INSTALLED),
    M("name of a shared part", "binary/shared_parts.py", r"(?!\.{1,2}/)", "", "test_manifest"),
    M("place in the shared folders", "binary/unpacked.py", "if parts[0] == SHARED and not _is_in_place(parts, is_folder):", "if False:", INSTALLED),
    M("hard link out of a tree", "binary/unpacked.py", "if top_of(earlier) != top_of(parts):", "if False:", INSTALLED),
    M("folder named twice", "unpacking/tree.py", "if self._ordered or self._kinds", "if self._kinds", INSTALLED),
    M("folder not named", "unpacking/tree.py", '                if self._ordered:\n                    raise refused(name, "is in', '                if False:\n                    raise refused(name, "is in', INSTALLED),
    M("below what is no folder", "unpacking/tree.py", "elif kind is not _Kind.FOLDER:", "elif False:", INSTALLED),
    M("length of a link", "unpacking/tree.py", "if len(os.fsencode(target)) >= _PATH_LIMIT:", "if False:", INSTALLED),
    M("setuid in a release", "unpacking/tree.py", "if mode & (stat.S_ISUID | stat.S_ISGID):", "if False:", INSTALLED),
    M("memory for Zstandard", "zstandard.py", "_WINDOW_LOG = 27", "_WINDOW_LOG = 28", INSTALLED),
    M("mark in an archive", "binary/installation.py", "if os.path.isdir(path) and not os.path.islink(path):", "if False:", INSTALLED),
    M("left after a refusal", "binary/work_folders.py", "            remove_tree(folder)\n        finally:", "            pass\n        finally:", INSTALLED),
    M("left after a kill", "binary/work_folders.py", "                _remove_unlocked(os.path.join(parent, name))", "                pass", "test_release_interrupted"),
    M("left over of the living", "binary/work_folders.py", "        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "", SHARED),
    M("left over of another user", "binary/work_folders.py", "        lock = open_folder(folder)\n    except OSError as error:", "        lock = open_folder(folder)\n    except FileNotFoundError as error:", SHARED),
    M("mark before the place", "binary/installation.py", "        _write_marks(unpacked, (top,), marks)\n        parts = [", '        stack.callback(lambda: [open(f"{destination.release}/{n}", "xb").write(m) for n, m in marks.items()])\n        parts = [', "test_release_interrupted"),
    M("library that would be missing", "binary/installation.py", "    if missing:", "    if False:", RELOCATED),
    M("digest of a shared part", "binary/installation.py", "if there != self.manifest.parts[self.member]:", "if False:", SHARED),
    M("part that is a link", "binary/installation.py", "is_folder = os.path.isdir(path) and not os.path.islink(path)", "is_folder = os.path.isdir(path)", SHARED),
    M("hard links of a part", "binary/shared_parts.py", "built = first.setdefault((status.st_dev, status.st_ino), name)", "built = name", SHARED),
    M("parts before any is put", "binary/installation.py", "        there = {part.place for part in parts if part.is_there()}\n", "        there: set[str] = set()\n", SHARED),
    M("a shared part is only read", "binary/installation.py", "        _make_read_only(here)\n", "", SHARED),
    M("links of slapos.core", "binary/installation.py", "if name not in below and leaves(name, links, (top,), below):", "if False:", INSTALLED),
    M("top of slapos.core", "binary/installation.py", "        if not os.path.isdir(unpacked.path((top,))):", "        if False:", INSTALLED),
    M("characters of a folder", "binary/prefixes.py", "(/[A-Za-z0-9._+@-]+){2,}", "(/[^/]+){2,}", "test_prefixes"),
    M("normalised folder", "binary/prefixes.py", " or posixpath.normpath(path) != path", "", "test_prefixes"),
    M("longer folder", "binary/prefixes.py", "    if more > 0:", "    if False:", "test_prefixes"),
    M("end of a name", "binary/prefixes.py", "            and _is_whole(data, begin - len(first), end)\n", "", "test_prefixes"),
    M("length before a name", "binary/prefixes.py", "return before == length or (before[-1:] == length[:1] and not any(length[1:]))", "return False", "test_prefixes test_relocation"),
    M("name in the midst of itself", "binary/prefixes.py", "at = data.find(tail, at + 1)", "at = data.find(tail, end)", "test_prefixes"),
    M("numbers of a build", "binary/builds.py", "if type(value) is not int or not 0 < value <= limit:", "if not isinstance(value, int) or not 0 < value <= limit:", "test_release_builds"),
    M("folders of a build", "binary/builds.py", 'for prefix in (members.get("prefix"), *shared):', 'for prefix in (members.get("prefix"),):', "test_release_builds"),
    M("dot files are not packed", "binary/installed.py", 'return name.startswith(".") or name in _CACHES', "return name in _CACHES", PACKED),
    M("caches are not packed", "binary/installed.py", ' or name in _CACHES', "", PACKED),
    M("owner of what is packed", "binary/packing.py", 'owner=incumbent.OWNER if format == "tar.gz" else "",', "owner=incumbent.OWNER,", PACKED),
    M("sorted members", "binary/walking.py", "sorted(found, key=lambda entry: os.fsencode(entry.name))", "list(found)", PACKED),
    M("times of what is packed", "binary/tar_writing.py", "max(0, int(status.st_mtime))", "int(status.st_mtime)", PACKED),
    M("hidden in what is packed", "binary/archive.py", "if hides(data, self._names.prefixes):", "if False:", PACKED),
    M("links that lead out", "binary/naming.py", "if name not in listed and leaves(name, self._links, top_of(name), listed):", "if False:", PACKED),
    M("a file changed in a zip", "binary/naming.py", "        kept = [[span for span in spans if span.end <= end] for spans in kept]\n", "", RELOCATED),
    M("place in a zip", "binary/relocation.py", "end = changeable_end(data)", "end = len(data)", INSTALLED),
    M("name left in a zip", "binary/relocation.py", "if span.end <= end and not any", "if not any", INSTALLED),
    M("zip behind a script", "binary/compressed.py", "    if data[:2] == b\"#!\":\n", "    if False:\n", RELOCATED),
    M("script that is not all text", "binary/relocation.py", 'return "\\0" not in rest.decode()', "return rest.decode() is not None", RELOCATED),
    M("new name with the old one in it", "binary/relocation.py", " and not any(map(span.overlaps, written))", "", RELOCATED),
    M("folder of one name", "binary/prefixes.py", "+){2,}", "+)+", "test_prefixes"),
    M("repeated slashes in a link", "binary/prefixes.py", "is_within(without_filling(target), folder)", "is_within(target, folder)", PACKED),
    M("large file in memory", "binary/walking.py", "if status.st_size < _MAPPED:", "if True:", PACKED),
    M("large file is copied", "binary/compressed.py", "if isinstance(data, bytes):", "if True:", PACKED),
    M("large program in memory", "binary/relocation.py", 'if file.read(2) != b"#!":', "if False:", RELOCATED),
    M("mark at any depth", "binary/installed.py", "    if name.startswith(_OURS):\n", "    if is_home and name.startswith(_OURS):\n", PACKED),
    M("vouched for by others", "binary/packing.py", "if fingerprint not in {signer.fingerprint for signer in signers}:", "if False:", PACKED),
    M("mark of a shared part", "binary/installation.py", "        _write_marks(self.unpacked, name, own)\n", "", SHARED),
    M("secret that buildout wrote", "binary/packing.py", "if self.archived.secret:", "if False:", PACKED),
    M("slashes in a link of a part", "binary/shared_parts.py", "            target = without_filling(target)\n", "            pass\n", SHARED),
    M("part that names its release", "binary/naming.py", "            found[0] = []\n", "", SHARED),
    M("link of a part to its release", "binary/naming.py", "first = int(name[0] == SHARED)", "first = 0", SHARED),
    M("what is counted of a part", "binary/shared_parts.py", "if is_of_the_node(entry.name, is_home=is_home):", 'if entry.name == ".networkcache-installed.json":', SHARED),
    M("home of a part of it", "binary/archive.py", "is_home = is_top or is_release({entry.name for entry in found})", "is_home = is_top", PACKED),
    M("home without a mark", "binary/installed.py", " and not _MARKS.isdisjoint(names)", "", PACKED),
    M("mark of a part of it", "binary/installed.py", " or (name == COMPLETED and not is_top)", "", PACKED),
    M("manifest of a part of it", "binary/installed.py", "return is_top or name != MANIFEST", "return True", PACKED),
    M("passwords at any depth", "binary/installed.py", '    if name == ".netrc":\n        return True\n', "", PACKED),
    M("mark that cannot be read", "binary/installed.py", "        return (_UNKNOWN,)", "        return None", PACKED),
    M("other name of a program", "binary/archive.py", "                self._survey.add(path, data)\n            else:", "                pass\n            else:", RELOCATED),
    M("name inside of another", "binary/naming.py", "kept = _apart(found)", "kept = found", RELOCATED),
    M("packed over a link", "binary/packing.py", "    _check_real(folder, *node.shared_folders)\n", "", PACKED),
    M("header with a password", "binary/archive.py", '    if "extraheader" in text.lower():\n        return True\n', "", PACKED),
    M("user without a password", "binary/archive.py", '(at and ":" in user)', "at", PACKED),
    M("git in a module", "binary/archive.py", "(/modules/.+)?", "", PACKED),
    M("secret of git", "binary/archive.py", r"|[^/]*\.git(/modules/.+)?/config", "", PACKED),
    M("bytecode in a shared part", "binary/shared_parts.py", 'if "__pycache__" in name.split("/"):', 'if "__pycache__" in name.split("/") or name.endswith(".pyc"):', SHARED),
    M("folder that nobody may enter", "binary/work_folders.py", "            _open_up(os.path.join(path, name))", "            pass", SHARED),
    M("left over that stays", "binary/work_folders.py", '    except OSError as error:\n        logger.warning("%s cannot', '    except FileNotFoundError as error:\n        logger.warning("%s cannot', SHARED),
    M("descriptor of a left over", "binary/work_folders.py", "        os.close(lock)\n\n\ndef _beginning", "        pass\n\n\ndef _beginning", SHARED),
    M("descriptor of a work folder", "binary/work_folders.py", "            remove_tree(folder)\n        finally:\n            os.close(lock)", "            remove_tree(folder)\n            os.close(lock)\n        finally:\n            pass", SHARED),
    M("place of an old build", "binary/incumbent.py", 'if destination.release != f"{self.software_root}/{urlmd5(self.software_url)}":', 'if not destination.release.startswith(f"{self.software_root}/"):', "test_release_builds"),
    M("file of a lock", "binary/lock.py", "        return os.path.samestat(os.fstat(file), os.stat(path))", "        return True", "test_release_interrupted"),
    M("lock of a buildout", "binary/building.py", "        pass_fds=(lock,),\n", "", "test_release_interrupted"),
    M("group of the owner", "binary/ownership.py", "own = _Account(owner, account.pw_gid,", "own = _Account(owner, os.stat(folder).st_gid,", ROOT_DOES),
    M("owner without an account", "binary/ownership.py", "except KeyError:", "except OSError:", ROOT_DOES),
    M("shared folder of another user", "binary/ownership.py", "if status.st_uid not in (0, own) or (own", "if (own", ROOT_DOES),
    M("shared folder for others", "binary/ownership.py", " or (own == 0 and status.st_mode & others)", "", ROOT_DOES),
    M("software root for others", "binary/releases.py", "for folder in (node.software_root, *node.shared_folders):", "for folder in node.shared_folders:", ROOT_DOES),
    M("group of a folder", "binary/ownership.py", "(stat.S_IWGRP if status.st_gid else 0)", "0", ROOT_DOES),
    M("group of root", "binary/ownership.py", "(stat.S_IWGRP if status.st_gid else 0)", "stat.S_IWGRP", ROOT_DOES),
    M("folder that is not there", "binary/node.py", "    while not os.path.lexists(folder):\n        folder = os.path.dirname(folder)\n", "", f"{ROOT_DOES} {DONE}"),
    M("link to passwords", "binary/building.py", ", over_links=True", "", ROOT_DOES),
    M("password read as root", "binary/building.py", "        with owner.acting():\n            data = read_small(source, ", "        if True:\n            data = read_small(source, ", ROOT_DOES),
    M("folder over a link", "binary/node.py", "if (real := os.path.realpath(folder)) != folder:", "if (real := os.path.realpath(folder)) is None:", DONE),
    M("build folder that is gone", "binary/releases.py", "        if own:\n", "        if False:\n", DONE),
    M("build folder not complete", "binary/releases.py", " and state_of(folder) is State.COMPLETE", "", DONE),
    M("build folder of another build", "binary/releases.py", "if folder != place and own and state_of", "if folder != place and state_of", DONE),
    M("build folder of what is taken", "binary/releases.py", "            if why_not is None:\n                self._remove_build_folder(url)\n", "            if why_not is None:\n", DONE),
    M("file in the way of a build", "binary/releases.py", "            if error.errno in _FULL:\n                raise\n", "            raise\n", DONE),
    M("full disk", "binary/releases.py", "            if error.errno in _FULL:\n                raise\n", "", DONE),
    M("no room for the first", "binary/releases.py", "        except InvalidConfiguration:\n            raise\n", "        except (InvalidConfiguration, StorageFull):\n            raise\n", DONE),
    M("no room for any", "binary/releases.py", "        if isinstance(why_not, StorageFull):", "        if False:", DONE),
    M("profile that was cut", "binary/building.py", "if software_url(folder) is None:", "if not os.path.exists(profile):", DONE),
    M("half a profile", "binary/building.py", 'new = f"{path}.new"', "new = path", DONE),
    M("nested mark", "binary/installed.py", "TypeError, RecursionError)", "TypeError)", DONE),
    M("huge mark", "binary/walking.py", "file.read(_SMALL)", "file.read()", DONE),
    M("mark that is a link", "binary/walking.py", "(0 if over_links else os.O_NOFOLLOW)", "0", DONE),
    M("mark that is a pipe", "binary/walking.py", "if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):", "if False:", DONE),
    M("not for old programs", "publisher.py", "self.config.publish_legacy and for_old_programs", "self.config.publish_legacy", "test_client_publish"),
    # -- found by fuzzing
    M("no range in capitals", "ranges.py", 'match.groups() == ("", "")', 'match[0] == "bytes=-"', WIRE),
    M("name that is no text", "certificates.py", 'except (ValueError, TypeError):\n        return ""', 'except ValueError:\n        return ""', "test_certificates"),
    *mutations_server.MUTATIONS,
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
