"""Normalised URLs, prefixes, checksums in fragments, distributions, secrets."""

from __future__ import annotations

import sys

import pytest
from zc.buildout._package_index import distros_for_url

from slapos.networkcache.urls import (
    SECRET_PARAMETERS,
    Checksum,
    Prefixes,
    basename,
    checksum_in,
    distribution_in,
    has_secret,
    is_remote,
    normalise,
    normalised_name,
    redact,
    safe_name,
    split,
    without_fragment,
)

THIS = f"cp{sys.version_info.major}{sys.version_info.minor}"
"""The tag of this Python: buildout passes by the wheels of others."""


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("HTTP://Example.COM", "http://example.com/"),
        ("http://example.com:80/", "http://example.com/"),
        ("http://example.com:/", "http://example.com/"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("https://example.com:80/a", "https://example.com:80/a"),
        ("http://example.com:8080", "http://example.com:8080/"),
        ("http://a/%7Euser/%41%2f%zz", "http://a/~user/A%2F%25zz"),
        ("http://ex%61mple.com/", "http://example.com/"),
        ("http://a/b/./c/../d/..", "http://a/b/"),
        ("http://a/../../b", "http://a/b"),
        ("http://a/b/%2E%2E/c", "http://a/c"),
        ("http://a//b", "http://a//b"),
        ("http://a?x=%7e", "http://a/?x=~"),
        ("http://a/?", "http://a/?"),
        ("http://[FE80::1]:80/", "http://[fe80::1]/"),
        ("http://U:P@A/", "http://U:P@a/"),
        ("/Local/../Path", "/Local/../Path"),
        ("profile.cfg", "profile.cfg"),
        ("http://a:b/C", "http://a:b/C"),
        ("http://[a/C", "http://[a/C"),
    ],
)
def test_normalise(url: str, normal: str) -> None:
    assert normalise(url) == normal
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    ("prefix", "url"),
    [
        ("http://a", "http://a.example.com/x"),
        ("http://a", "http://a/"),
        ("http://a", "http://a:8080/"),
        ("http://a:8", "http://a:8080/"),
        ("HTTP://A.example.com:80", "http://a.example.com/x"),
        ("http://a.example.com/~me", "http://a.example.com/%7Eme/x"),
        ("http://a/b/", "http://a/c/../b/x"),
        ("http://a/b", "http://a/bcd"),
        ("http:", "http://a/"),
        ("https://", "https://a/"),
        ("/", "/any/local/path"),
        ("/opt/", "/opt/x"),
        ("http://a/?t=", "http://a?t=1"),
    ],
)
def test_a_prefix_matches(prefix: str, url: str) -> None:
    prefixes = Prefixes.parse(["", f"  {prefix} ", "http://never/"])
    assert prefixes.match(url)


@pytest.mark.parametrize(
    ("prefix", "url"),
    [
        ("http://a/", "http://a.example.com/x"),
        ("http://a", "https://a/"),
        ("http://a:8080", "http://a/"),
        ("/", "http://a/"),
        ("/", "profile.cfg"),
        ("/opt", "/OPT/x"),
        ("/opt/a", "/opt/b/../a"),
        ("http://a/b", "http://a/b/../c"),
        ("http://a/%2F", "http://a//"),
        ("http://a/B", "http://a/b"),
    ],
)
def test_a_prefix_does_not_match(prefix: str, url: str) -> None:
    assert Prefixes.parse([prefix]).match(url) is None


def test_without_prefixes_nothing_matches() -> None:
    assert Prefixes.parse(["", " "]).match("http://a/") is None
    both = Prefixes.parse(["/a"]) + Prefixes.parse(["/b"])
    assert (both.match("/a"), both.match("/b"), both.match("/c")) == ("/a", "/b", None)


@pytest.mark.parametrize(
    ("fragment", "checksum"),
    [
        ("md5=" + "0aF" * 10 + "00", Checksum("md5", "0af" * 10 + "00")),
        ("sha256=" + "1" * 64, Checksum("sha256", "1" * 64)),
        ("egg=x&sha1=" + "1" * 40 + "&y=z", Checksum("sha1", "1" * 40)),
        ("md5=12&sha256=" + "1" * 64, Checksum("sha256", "1" * 64)),
        ("md5=" + "1" * 31, None),
        ("xmd5=" + "1" * 32, None),
        ("md5=" + "1" * 32 + "\n", None),
        ("sha3=" + "1" * 64, None),
        ("", None),
    ],
)
def test_checksum_in(fragment: str, checksum: Checksum | None) -> None:
    assert checksum_in(f"http://a/x?md5={'2' * 32}#{fragment}") == checksum


FILES = [
    "zc.buildout-3.0.1-py2.py3-none-any.whl",
    "zc_buildout-6.0.1-py3-none-any.whl",
    f"foo-1.0-1-{THIS}-{THIS}-manylinux_2_17_x86_64.whl",
    "slapos.cookbook-1.0.300-py3.11.egg",
    "foo_bar-1.0_1-py3.11-linux-x86_64.egg",
    f"torch-2.0.0+cu118-{THIS}-{THIS}-linux_x86_64.whl",
    "pytz-2023.3.post1-py2.py3-none-any.whl",
    "lxml-4.9.3.tar.gz",
    "zope.interface-5.5.2.tar.gz",
    "backports.ssl_match_hostname-3.7.0.1.tar.gz",
    "python-dateutil-2.8.2.tar.gz",
    "slapos.recipe.cmmi-0.23.tar.gz",
    "slapos-toolbox-0.136.tar.gz",
    "PyYAML-6.0.1.zip",
    "setuptools-44.1.1.zip",
    "foo-1.0.dev20230101.tar.gz",
    "foo-1.0rc1.tar.bz2",
    "python-ldap-3.4.3.tgz",
    "backports.functools-lru-cache-1.6.4.tar.gz",
    "numpy-1.24+local.1.tar.gz",
    "plone.recipe.command-1.1+nxd001.tar.gz",
    "inotify_simple-1.1.1+slapos.tar.gz",
    "x264-snapshot-20201231.tar.gz",
    "foo-1.0.post1-py3-none-any.whl",
    "pysqlite3-binary-0.5.0.tar.gz",
    "collective.recipe.template-2.0-py2.7.egg",
    "foo-1.0.dev0_r1234-py2.7.egg",
    "py-1!2.0.tar.gz",
]


@pytest.mark.parametrize("file", FILES)
def test_a_distribution_is_named_as_buildout_names_it(file: str) -> None:
    url = f"https://example.com/x/{file}"
    named = distribution_in(f"{url}?x=1#sha256=00")
    assert named is not None
    assert named.basename == file
    names = {(found.project_name, found.version) for found in distros_for_url(url)}
    assert names == {(named.name, named.version)}


@pytest.mark.parametrize(
    ("project", "safe", "normalised"),
    [
        ("zc.buildout", "zc.buildout", "zc-buildout"),
        ("Foo__Bar-.baz", "Foo-Bar-.baz", "foo-bar-baz"),
        ("a b", "a-b", "a b"),
    ],
)
def test_the_two_ways_to_write_the_name_of_a_project(
    project: str, safe: str, normalised: str
) -> None:
    assert (safe_name(project), normalised_name(project)) == (safe, normalised)


@pytest.mark.parametrize(
    ("file", "name", "version"),
    [
        # setuptools knows no project whose name begins with a digit, nor tar.xz.
        ("3to2-1.1.1.zip", "3to2", "1.1.1"),
        ("python-2.7.18.tar.xz", "python", "2.7.18"),
        # Wheels of another platform, which setuptools leaves out.
        ("MarkupSafe-2.1.3-cp311-cp311-win_amd64.whl", "MarkupSafe", "2.1.3"),
        ("foo%5Fbar-1.0.tar.gz", "foo-bar", "1.0"),
    ],
)
def test_distributions_that_buildout_does_not_name(
    file: str, name: str, version: str
) -> None:
    assert distribution_in(f"http://a/{file}")[:2] == (name, version)  # type: ignore[index]


@pytest.mark.parametrize(
    "file",
    [
        "",
        "foo.tar.gz",
        "foo-1.0.txt",
        "foo-1.0.tar.gz.asc",
        "foo-bar.whl",
        "-1.0.whl",
        "1.0.whl",
        "foo-1%20x-py3.whl",
        "foo-.tar.gz",
        "foo-1.0.whl%0A",
    ],
)
def test_what_names_no_distribution(file: str) -> None:
    assert distribution_in(f"http://a/{file}") is None


def test_the_last_segment() -> None:
    assert basename("http://a/b/c%20d?x=/y#/z") == "c d"
    assert basename("http://a/b/..%2Fc") == "c"
    assert basename("http://a") == basename("http://[a/x") == ""
    assert without_fragment("http://a/#b#c") == "http://a/"


def test_what_is_fetched_from_elsewhere() -> None:
    assert is_remote("http://a/")
    assert is_remote("ftp://a/")
    for local in ("/a", "a.cfg", "file:///a", "FILE:///a", "C:/a"):
        assert not is_remote(local)


@pytest.mark.parametrize(
    "name", [*sorted(SECRET_PARAMETERS), "X-Amz-Signature", "x-goog-a"]
)
def test_a_parameter_that_is_a_secret(name: str) -> None:
    for spelling in (name, name.upper(), f"%{ord(name[0]):02x}{name[1:]}"):
        for url in (f"http://a/?{spelling}=s3cret", f"http://a/x?b=c&{spelling}=s3cret#f"):
            assert has_secret(url)
            assert "s3cret" not in redact(f"cannot fetch {url}: refused")
            assert "***" in redact(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:s3cret@a/",
        "http://s3cret@a",
        "ftp://u:s3@cret@a/x",
        "http://u:s3'cret@a/",
        'http://u:s3"cret@a/',
        "http://u:s3\\cret@a/",
        "http://web/http://u:s3cret@a/",
        "http://a/?next=http://u:s3cret@b/",
        "git+https://u:s3cret@a/b.git",
        "http://a/?token=s3'cret",
        'http://a/?token=s3"cret&x=1',
        "http://a/;token=s3cret",
        "http://a/?x=1;key=s3cret",
        "http://a/?a?token=s3cret",
        "http://a/;b/=?token=s3cret",
        "http://a/?token=s3?token=cret",
    ],
)
def test_a_secret_is_seen_and_not_shown(url: str) -> None:
    assert has_secret(url)
    for text in (url, f"'{url}'", f"<{url}>", f"see {url}, {url}."):
        assert "cret" not in redact(text)
        assert "s3" not in redact(text)


def test_user_info_with_a_line_end_is_a_secret() -> None:
    assert has_secret("http://user:pa\nss@a/")


@pytest.mark.parametrize(
    "url",
    [
        "http://a/b@c",
        "http://a/?q=b@c",
        "http://a/?keys=1&tokens=2",
        "http://a/key=1",
        "/local/p@th",
        "http://a/#@",
    ],
)
def test_what_is_no_secret(url: str) -> None:
    assert not has_secret(url)
    assert redact(f"cannot fetch {url!r}, {url}.") == f"cannot fetch {url!r}, {url}."


def test_redacting_takes_what_may_belong_to_a_secret() -> None:
    text = "GET 'http://u:p@a/?token=abc', ('https://b/?x=1&Sig=d'). http://c/?key=1&y=2#f"
    assert redact(text) == (
        "GET 'http://***@a/?token=*** ('https://b/?x=1&Sig=*** http://c/?key=***&y=2#f"
    )


def test_what_cannot_be_split() -> None:
    assert split("http://a:1/b") is not None
    for url in ("http://a:b/", "http://a:70000/", "http://[a/"):
        assert split(url) is None
