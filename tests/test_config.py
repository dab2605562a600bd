"""The options: as published for years, completed, merged, and what is wrong with each."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slapos.networkcache.certificates import CertificateList, generate
from slapos.networkcache.config import (
    OPTIONS,
    PUBLISHER_OPTIONS,
    TLS,
    Config,
    Source,
)
from slapos.networkcache.digest import Digest
from slapos.networkcache.errors import InvalidConfiguration
from slapos.networkcache.precedence import Place, merge
from slapos.networkcache.quantities import parse_duration, parse_size, readable_size

BROKEN = "-----BEGIN CERTIFICATE-----\n  MIIB8DCCAVmgAwI...\n  -----END CERTIFICATE-----"


def published_for_years() -> dict[str, str]:
    """What deployed nodes have in their configuration, but for the names."""
    certificate = (
        generate("ed25519").self_signed("somebody", time.time()).replace("\n", "\n  ")
    )
    return {
        "download-cache-url": "http://download.example.com/",
        "download-binary-dir-url": "http://binary.example.com/dir/",
        "upload-cache-url": "https://upload.example.com/",
        "upload-dir-url": "https://upload.example.com/dir",
        "upload-binary-cache-url": "https://upload.example.com/",
        "upload-binary-dir-url": "https://upload.example.com/bin",
        "shacache-ca-file": "/etc/ca",
        "shacache-cert-file": "/etc/cert",
        "shacache-key-file": "/etc/key",
        "shadir-cert-file": "/etc/dir-cert",
        "shadir-key-file": "/etc/dir-key",
        "signature-private-key-file": "/etc/signature.key",
        "signature-certificate-file": "/etc/signature.cert",
        "binary-cache-url-blacklist": "\n http://a.example.com\n /\n",
        "download-from-binary-cache-url-blacklist": "http://b.example.com/",
        "upload-to-binary-cache-url-blacklist": "http://c.example.com/",
        "signature-certificate-list": f"\n# Somebody\n  {certificate}\n# Else\n  {BROKEN}",
    }


def test_what_was_published_for_years_works_as_it_stands():
    config = Config.parse(published_for_years())
    download = "http://download.example.com"
    binary = "http://binary.example.com/dir"
    assert config.sources == config.binary_sources == (Source(download, binary),)
    assert config.upload.dir_url == "https://upload.example.com/dir"
    assert config.binary_upload.dir_url == "https://upload.example.com/bin"
    assert config.cache_tls == TLS("/etc/ca", "/etc/cert", "/etc/key")
    assert config.dir_tls == TLS("/etc/ca", "/etc/dir-cert", "/etc/dir-key")
    assert config.binary_download_blacklist.match("/local/profile")
    assert config.binary_download_blacklist.match("http://a.example.com.evil/")
    assert config.binary_download_blacklist.match("http://b.example.com/x")
    assert not config.binary_download_blacklist.match("http://c.example.com/x")
    assert config.binary_upload_blacklist.match("http://c.example.com/x")
    assert not config.download_blacklist.match("http://a.example.com/x")
    assert config.unknown == ()
    assert config.notes == (
        "download-dir-url is not set: taken from download-binary-dir-url",
        "download-binary-cache-url is not set: taken from download-cache-url",
        "shadir-ca-file is not set: taken from shacache-ca-file",
    )
    assert config.reads
    assert config.publishes
    listed = CertificateList.parse(config.certificate_list)
    assert [certificate.name for certificate in listed.certificates] == ["somebody"]
    assert ["certificate 2" in problem for problem in listed.problems] == [True]


def test_nothing_configured_does_nothing():
    for options in ({}, {"download-cache-url": "", "upload-cache-url": " \n"}):
        config = Config.parse(options)
        assert config == Config()
        assert not config.reads
        assert not config.publishes
        assert config.notes == ()


@pytest.mark.parametrize("way", ["download", "upload"])
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("given", ["cache", "dir"])
def test_half_a_pair_is_completed_from_the_other_cache(way, binary, given):
    missing = "dir" if given == "cache" else "cache"
    half, whole = ("-binary", "") if binary else ("", "-binary")
    config = Config.parse(
        {
            f"{way}{half}-{given}-url": "http://half",
            f"{way}{whole}-cache-url": "http://cache",
            f"{way}{whole}-dir-url": "http://dir",
        }
    )
    completed = Source("http://half", "http://dir")
    if given == "dir":
        completed = Source("http://cache", "http://half")
    found = {
        ("download", False): config.sources,
        ("download", True): config.binary_sources,
        ("upload", False): (config.upload,),
        ("upload", True): (config.binary_upload,),
    }[way, binary]
    assert found == (completed,)
    (note,) = config.notes
    assert note.startswith(f"{way}{half}-{missing}-url is not set: taken from {way}{whole}")


def test_an_error_names_the_option_that_is_set():
    half = {"download-cache-url": "http://a", "download-binary-dir-url": "nonsense"}
    for options in (half, {"cache-time-budget": "soon"}, {"digest-blacklist": "nonsense"}):
        with pytest.raises(InvalidConfiguration) as caught:
            Config.parse(options)
        assert caught.value.option == list(options)[-1]
        assert str(caught.value).startswith(f"{caught.value.option}: expected ")


def test_a_pair_with_neither_stays_off():
    config = Config.parse(
        {"download-cache-url": "http://a", "download-dir-url": "http://b"}
    )
    assert config.binary_sources == ()
    assert config.notes == ()


def test_half_a_pair_that_nothing_completes_is_left_out_and_named():
    config = Config.parse({"upload-dir-url": "http://a"})
    assert config.upload is None
    assert config.notes == (
        "upload-dir-url is set but upload-cache-url is not: both are left out",
    )


@pytest.mark.parametrize("file", ["ca", "cert", "key"])
@pytest.mark.parametrize(
    ("here", "there"), [("shacache", "shadir"), ("shadir", "shacache")]
)
def test_a_tls_file_is_taken_from_its_twin(file, here, there):
    config = Config.parse({f"{here}-{file}-file": "/a"})
    assert config.cache_tls == config.dir_tls != TLS()
    assert config.notes == (
        f"{there}-{file}-file is not set: taken from {here}-{file}-file",
    )


def test_listed_sources_come_before_the_single_one():
    config = Config.parse(
        {
            "download-cache-url-list": "http://a\n\n  http://b/\n http://surplus/?token=x",
            "download-dir-url-list": "http://c\nhttp://d",
            "download-cache-url": "http://e",
            "download-dir-url": "http://f",
        }
    )
    assert config.sources == (
        Source("http://a", "http://c"),
        Source("http://b", "http://d"),
        Source("http://e", "http://f"),
    )
    assert config.notes == (
        "http://surplus/?token=*** of download-cache-url-list has no counterpart in the"
        " other list: ignored",
    )


def test_a_source_is_not_asked_twice():
    pair = {"download-cache-url": "http://a/", "download-dir-url": "http://b"}
    lists = {f"{option}-list": url for option, url in pair.items()}
    assert len(Config.parse({**pair, **lists}).sources) == 1


def test_defaults():
    config = Config.parse({"download-cache-url": "http://a"})
    assert (config.threshold, config.time_budget) == (1, 10)
    assert not any([config.accept_legacy, config.publish_legacy, config.block_origin])
    assert config.local_store_size == 10 << 30
    assert (config.binary_archive, config.build_prefix_length) == ("tar.zst", None)


def test_every_option_is_read():
    digest = Digest.of(b"x")
    config = Config.parse(
        {
            "digest-blacklist": f"{digest.hex.upper()}\n {Digest.of(b'y')}",
            "signature-legacy": "publish accept",
            "signature-threshold": "2",
            "block-origin": "true",
            "cache-time-budget": "1.5 min",
            "require-checked-origin": "true",
            "entry-expires": "2d",
            "local-store": "/store",
            "local-store-size": "3MiB",
            "binary-cache-archive": "tar.gz",
            "build-prefix-length": "120",
            "upload-to-cache-url-blacklist": "http://x/a b\nhttp://y",
            "download-from-binary-cache-force-url-list": "http://z",
        }
    )
    assert config.digest_blacklist == {digest, Digest.of(b"y")}
    assert config.accept_legacy
    assert config.publish_legacy
    assert config.threshold == 2
    assert config.block_origin
    assert config.time_budget == 90
    assert config.require_checked_origin
    assert config.entry_expires == 2 * 86400
    assert (config.local_store, config.local_store_size) == ("/store", 3 << 20)
    assert (config.binary_archive, config.build_prefix_length) == ("tar.gz", 120)
    assert len(config.upload_blacklist.prefixes) == 2  # one a line
    assert config.binary_force_list.match("http://z/")


def test_the_words_for_nothing_are_understood():
    config = Config.parse({"entry-expires": "none", "build-prefix-length": "off"})
    assert config == Config()
    assert not Config.parse({"signature-legacy": "refuse"}).accept_legacy


URL_EXPECTED = "expected an http or https URL without query and fragment, got"


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("download-cache-url", "ftp://a/", URL_EXPECTED),
        ("download-cache-url", "/local", URL_EXPECTED),
        ("download-cache-url", "http://", URL_EXPECTED),
        ("download-cache-url", "http://a:b/", URL_EXPECTED),
        ("download-cache-url", "http://[", URL_EXPECTED),
        ("download-cache-url", "http://a/#b", URL_EXPECTED),
        ("download-cache-url", "http://a/?b", URL_EXPECTED),
        ("download-cache-url", "http://a/ b", URL_EXPECTED),
        ("signature-threshold", "0", "a whole number of 1 or more, got '0'"),
        ("signature-threshold", "many", "a whole number of 1 or more, got 'many'"),
        ("signature-threshold", "off", "a whole number of 1 or more, got 'off'"),
        ("build-prefix-length", "-1", "a whole number of 1 or more, got '-1'"),
        ("block-origin", "yes", "expected false or true, got 'yes'"),
        ("require-checked-origin", "1", "expected false or true, got '1'"),
        ("binary-cache-archive", "zip", "expected tar.zst or tar.gz, got 'zip'"),
        ("signature-legacy", "refuse accept", "got 'refuse accept'"),
        ("signature-legacy", "sha1", "expected refuse, accept, publish, or accept publish"),
        ("cache-time-budget", "10", "expected a number and one of ms, s, min, h, d"),
        ("cache-time-budget", "10 m", "got '10 m'"),
        ("cache-time-budget", "-1 s", "got '-1 s'"),
        ("cache-time-budget", "١ s", "got '١ s'"),
        ("cache-time-budget", "1e3 s", "got '1e3 s'"),
        ("entry-expires", "0.5 s", "expected a second or more, or none, got '0.5 s'"),
        ("local-store-size", "10 GB", "expected a number and one of KiB, MiB, GiB, TiB"),
        ("local-store-size", "9" * 400 + " TiB", "got '999"),
        ("digest-blacklist", "abc", "expected a SHA-512 as 128 hexadecimal digits"),
    ],
)
def test_a_wrong_value_is_one_clear_sentence(option, value, said):
    options = {"download-dir-url": "http://d", option: value}
    with pytest.raises(InvalidConfiguration) as caught:
        Config.parse(options)
    message = str(caught.value)
    assert message.startswith(f"{option}: ")
    assert said in message
    assert len(message) < 350


def test_a_wrong_value_shows_no_secret():
    with pytest.raises(InvalidConfiguration) as caught:
        Config.parse(
            {"upload-cache-url": "ftp://me:hidden@a", "upload-dir-url": "http://a"}
        )
    assert "hidden" not in str(caught.value)


def test_an_unknown_option_is_named_with_a_guess():
    config = Config.parse({"download-cach-url": "http://a", "zzz": "1"})
    assert config.unknown == ("download-cach-url (did you mean download-cache-url?)", "zzz")


# -- precedence


def test_the_strongest_place_wins():
    places = list(Place)
    merged = merge({place: {"block-origin": place.name} for place in places})
    assert merged.options == {"block-origin": "COMMAND_LINE"}
    assert merged.places == {"block-origin": Place.COMMAND_LINE}
    merged = merge(
        {
            Place.USER_DEFAULTS: {"download-cache-url": "user", "local-store": "user"},
            Place.PROFILE: {"download-cache-url": "profile", "download-dir-url": "profile"},
            Place.CONFIG_FILE: {"download-dir-url": "file"},
        }
    )
    assert merged.options == {
        "download-cache-url": "profile",
        "download-dir-url": "file",
        "local-store": "user",
    }
    assert merged.places["local-store"] is Place.USER_DEFAULTS
    assert merged.notes == ()


@pytest.mark.parametrize("place", [p for p in Place if p is not Place.PROFILE])
@pytest.mark.parametrize("option", sorted(PUBLISHER_OPTIONS))
def test_a_profile_cannot_have_things_sent_elsewhere(place, option):
    profile = dict.fromkeys(PUBLISHER_OPTIONS, "theirs") | {"download-dir-url": "x"}
    merged = merge({Place.PROFILE: profile, place: {option: "ours"}})
    assert merged.options == {option: "ours", "download-dir-url": "x"}
    (note,) = merged.notes
    assert "upload-cache-url" in note
    assert "profile ignored" in note


def test_a_profile_may_configure_a_node_that_says_nothing():
    profile = {"upload-cache-url": "a", "signature-private-key-file": "b"}
    merged = merge({Place.PROFILE: profile, Place.COMMAND_LINE: {"local-store": "c"}})
    assert merged.options == {**profile, "local-store": "c"}


def test_set_to_nothing_is_set():
    profile = {"download-cache-url": "a", "upload-cache-url": "b", "upload-dir-url": "b"}
    merged = merge(
        {
            Place.PROFILE: profile,
            Place.COMMAND_LINE: {"download-cache-url": "", "upload-cache-url": ""},
        }
    )
    assert merged.options == {}


def test_the_publishers_options_are_these():
    assert {
        "signature-private-key-file", "signature-certificate-file", "upload-cache-url",
        "upload-dir-url", "upload-binary-cache-url", "upload-binary-dir-url",
        "shacache-ca-file", "shacache-cert-file", "shacache-key-file", "shadir-ca-file",
        "shadir-cert-file", "shadir-key-file",
    } == PUBLISHER_OPTIONS < OPTIONS  # fmt: skip


# -- the grammar of durations and sizes

NUMBERS = st.decimals(0, 10**9, places=3, allow_nan=False).map(lambda d: format(d, "f"))


@given(
    NUMBERS, st.sampled_from(["", " ", "  "]), st.sampled_from(["ms", "s", "min", "h", "d"])
)
def test_durations(number, space, unit):
    seconds = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}[unit]
    assert parse_duration(f" {number}{space}{unit} ") == float(number) * seconds


@given(NUMBERS, st.sampled_from(["", " "]), st.integers(1, 4))
def test_sizes(number, space, power):
    unit = ["", "KiB", "MiB", "GiB", "TiB"][power]
    assert parse_size(number + space + unit) == int(float(number) * 1024**power)


@given(st.text())
def test_anything_else_is_a_value_error(text):
    for parse in (parse_duration, parse_size):
        said = "expected a number and one of"
        try:
            parse(text)
        except ValueError as error:
            said = str(error)
        assert said.startswith("expected a number and one of")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"),
     (5 << 40, "5120.0 GiB")],
)  # fmt: skip
def test_sizes_for_people(size, text):
    assert readable_size(size) == text
