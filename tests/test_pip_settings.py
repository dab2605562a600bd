"""Where pip looks for build requirements, as it says itself, and what it is told to do
instead."""

from __future__ import annotations

import os
import subprocess

import pytest

from slapos.networkcache.buildout.pip_settings import PipSettings, read_pip_settings

INDEX = "https://index.test/simple/"
MORE = "https://more.test/simple"
DEFAULT = "https://default.test/simple/"


def instead(url: str) -> str | None:
    return url.replace("https://", "http://here/")


@pytest.fixture(autouse=True)
def no_configuration(tmp_path, monkeypatch) -> None:
    """Of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith("PIP_") or name.lower() == "no_proxy":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)


def listed(text: str, tmp_path, **environment: str) -> PipSettings:
    """What the pip that is here says of a file of configuration."""
    config = tmp_path / "pip.conf"
    config.write_text(text)
    os.environ.update({"PIP_CONFIG_FILE": str(config), **environment})
    try:
        return read_pip_settings([])
    finally:
        for name in ("PIP_CONFIG_FILE", *environment):
            del os.environ[name]


def test_nothing_configured():
    settings = PipSettings.parse("")
    assert settings == PipSettings()
    assert settings.environment(DEFAULT, instead) == {
        "PIP_INDEX_URL": instead(DEFAULT),
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "PIP_DEFAULT_TIMEOUT": "600",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def test_what_pip_prints(tmp_path):
    settings = listed(
        f"[global]\nindex-url = {INDEX}\ncert = /etc/it's.pem\nproxy = http://proxy.test\n"
        f"client-cert = /client.pem\ntrusted-host =\n  a.test\n  b.test:8000\n"
        f"[install]\nextra-index-url =\n  {MORE}\n  {INDEX}\n"
        "find-links = /local https://links.test/\n"
        "[download]\nindex-url = https://another.test/\n",
        tmp_path,
    )
    assert settings.index == INDEX
    assert settings.extra == (MORE, INDEX)
    assert settings.links == ("/local", "https://links.test/")
    assert settings.proxy == "http://proxy.test"
    assert settings.cert == "/etc/it's.pem"
    assert settings.client_cert == "/client.pem"
    assert settings.trusted == {"a.test", "b.test:8000"}


def test_the_order_of_pip(tmp_path):
    """What is said of one command counts for more than of all, and the environment for
    most."""
    text = f"[install]\nindex-url = {MORE}\nproxy = one\n[global]\nindex-url = {INDEX}\n"
    settings = listed(text, tmp_path, PIP_PROXY="two")
    assert (settings.index, settings.proxy) == (MORE, "two")


def test_a_pip_that_does_not_answer(monkeypatch, tmp_path):
    broken = tmp_path / "pip.conf"
    broken.write_text("no configuration")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(broken))
    with pytest.raises(subprocess.CalledProcessError):
        read_pip_settings([])


def test_the_pip_on_the_path_of_buildout(tmp_path):
    """It may be an egg."""
    package = tmp_path / "pip"
    package.mkdir()
    (package / "__init__.py").write_text("")
    line = "global.index-url='https://egg.test/'"
    (package / "__main__.py").write_text(f"print({line!r})")
    assert read_pip_settings([str(tmp_path)]).index == "https://egg.test/"


def test_everything_remote_is_replaced():
    settings = PipSettings(INDEX, (MORE, "/local"), ("/links", "https://links.test/"))
    variables = settings.environment(DEFAULT, instead)
    assert variables["PIP_INDEX_URL"] == instead(INDEX)
    assert variables["PIP_EXTRA_INDEX_URL"] == f"{instead(MORE)} /local"
    assert variables["PIP_FIND_LINKS"] == "/links http://here/links.test/"
    assert "PIP_NO_INDEX" not in variables
    assert "PIP_CONFIG_FILE" not in variables


def test_an_index_that_must_not_be_asked():
    variables = PipSettings(INDEX, (MORE,)).environment(DEFAULT, lambda url: None)
    assert variables["PIP_NO_INDEX"] == "1"
    assert variables["PIP_EXTRA_INDEX_URL"] == ""
    assert "PIP_INDEX_URL" not in variables


def test_further_indexes_of_buildout():
    variables = PipSettings(extra=(MORE,)).environment(DEFAULT, instead, (INDEX, "/local"))
    assert variables["PIP_EXTRA_INDEX_URL"] == f"{instead(MORE)} {instead(INDEX)} /local"


@pytest.mark.parametrize("option", ["extra-index-url", "find-links"])
def test_a_list_of_which_nothing_may_be_asked(option):
    """An empty variable would leave it to the files of pip."""
    text = f"global.{option}='{MORE}'\nglobal.timeout='60'\nglobal.index-url='/local'"
    variables = PipSettings.parse(text).environment(DEFAULT, lambda url: None)
    assert variables["PIP_CONFIG_FILE"] == os.devnull
    assert variables[f"PIP_{option.upper().replace('-', '_')}"] == ""
    assert (variables["PIP_TIMEOUT"], variables["PIP_INDEX_URL"]) == ("60", "/local")


def test_a_configured_proxy_is_kept_from_our_index():
    """pip has no way to unset an option of its files; all the others must stay."""
    text = "global.proxy='http://proxy.test'\nglobal.timeout='60'\nglobal.index-url='/x'"
    variables = PipSettings.parse(text).environment(DEFAULT, instead)
    assert variables["PIP_CONFIG_FILE"] == os.devnull
    assert variables["PIP_PROXY"] == ""
    assert variables["PIP_TIMEOUT"] == "60"
    assert variables["PIP_INDEX_URL"] == "/x"


@pytest.mark.parametrize(
    ("before", "after"),
    [("", "127.0.0.1"), ("a.test,.b.test", "a.test,.b.test,127.0.0.1"), ("*", "*")],
)
def test_no_proxy_is_added_to(monkeypatch, before, after):
    monkeypatch.setenv("NO_PROXY", before)
    variables = PipSettings().environment(DEFAULT, instead)
    assert variables["NO_PROXY"] == variables["no_proxy"] == after


def test_both_no_proxy(monkeypatch):
    """Where both are set, all that read them read the one in lower case."""
    monkeypatch.setenv("NO_PROXY", "upper.test")
    monkeypatch.setenv("no_proxy", "lower.test")
    variables = PipSettings().environment(DEFAULT, instead)
    assert variables["NO_PROXY"] == variables["no_proxy"] == "lower.test,127.0.0.1"


@pytest.mark.parametrize(
    ("url", "needed"),
    [
        (INDEX, False),
        ("https://user:password@index.test/simple/", True),
        ("https://index.test/simple/?token=abc", True),
        ("https://trusted.test/simple/", True),
        ("https://port.test:8000/simple/", True),
        ("https://known.test/simple/", True),
    ],
)
def test_what_needs_credentials(tmp_path, url, needed):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine known.test login user password secret\n")
    netrc.chmod(0o600)
    trusted = frozenset({"trusted.test", "port.test:8000"})
    assert PipSettings(trusted=trusted).needs_credentials(url) == needed


def test_a_client_certificate_is_a_credential():
    assert PipSettings(client_cert="/client.pem").needs_credentials(INDEX)
