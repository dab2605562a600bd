"""Who configures: the command line, the node's file, the profile, the user's defaults;
and what is signed and sent is never for a profile to say where the node says it."""

from __future__ import annotations

import pytest
from nodes import part

from slapos.networkcache.buildout.places import CommandLine, of_node
from slapos.networkcache.config import Config
from slapos.networkcache.precedence import Place, merge


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of the user's defaults."""
    monkeypatch.setenv("BUILDOUT_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "assigned", "letters", "profile"),
    [
        (["-NUvvc", "x.cfg", "a=b"], {"buildout": {"a": "b"}}, "NUvv", "x.cfg"),
        (["-cx=y.cfg", "s:a=b=c"], {"s": {"a": "b=c"}}, "", "x=y.cfg"),
        (["-qt", "30", "s : a = b", "install", "s:c=d"], {"s": {"a": "b"}}, "q", None),
        (["--version", "s:a="], {"s": {"a": ""}}, "", None),
    ],
)
def test_command_line_is_read_as_buildout_reads_it(words, assigned, letters, profile):
    parsed = CommandLine.parse(words)
    assert (parsed.assignments, parsed.letters) == (assigned, letters)
    assert parsed.config_file == (profile or "buildout.cfg")


def test_places_of_a_node(home):
    (home / "default.cfg").write_text(
        "[buildout]\nextends = more.cfg http://127.0.0.1:1/never.cfg\n"
        "[networkcache]\nsignature-threshold = 2\ndigest-blacklist += b\n"
    )
    (home / "more.cfg").write_text("[networkcache]\ndigest-blacklist = a\nx = more\n")
    file = home / "slapos.cfg"
    file.write_text("[networkcache]\nsignature-threshold = 3\n")
    words = ["networkcache:signature-threshold=4", "networkcache:digest-blacklist+=c"]
    assert of_node(words, str(file)) == {
        Place.USER_DEFAULTS: {
            "digest-blacklist": "a\nb", "x": "more", "signature-threshold": "2",
        },
        Place.CONFIG_FILE: {"signature-threshold": "3"},
        Place.COMMAND_LINE: {"signature-threshold": "4", "digest-blacklist": "a\nb\nc"},
    }  # fmt: skip
    assert of_node(["-U"], None)[Place.USER_DEFAULTS] == {}


def test_section_of_another_name(home):
    (home / "default.cfg").write_text(
        "[buildout]\nnetworkcache-section = nc\n[nc]\na = b\n"
    )
    assert of_node([], None)[Place.USER_DEFAULTS] == {"a": "b"}
    layers = of_node(["networkcache-section=other", "other:c=d"], None)
    assert layers[Place.USER_DEFAULTS] == {}
    assert layers[Place.COMMAND_LINE] == {"c": "d"}


def test_user_defaults_that_do_not_parse(home):
    """Buildout reads them next and says what is wrong."""
    (home / "default.cfg").write_text("nonsense\n")
    assert of_node([], None)[Place.USER_DEFAULTS] == {}


def test_strongest_place_wins():
    layers = {place: {"signature-threshold": str(int(place) + 1)} for place in Place}
    for place in sorted(Place, reverse=True):
        merged = merge(layers)
        assert merged.options["signature-threshold"] == str(int(place) + 1)
        assert merged.places["signature-threshold"] is place
        del layers[place]


@pytest.mark.parametrize(
    "own", [Place.COMMAND_LINE, Place.CONFIG_FILE, Place.USER_DEFAULTS]
)
def test_publisher_comes_from_one_place(own):
    """A profile adds nothing to a publisher that the node names."""
    merged = merge(
        {
            own: {"signature-private-key-file": "/node/key"},
            Place.PROFILE: {
                "upload-cache-url": "http://evil/c",
                "upload-dir-url": "http://evil/d",
                "download-cache-url": "http://near/c",
            },
        }
    )
    assert set(merged.options) == {"signature-private-key-file", "download-cache-url"}
    assert len(merged.notes) == 1
    assert "upload-cache-url, upload-dir-url of the profile ignored" in merged.notes[0]
    assert not Config.parse(merged.options).publishes


# -- in real runs


def fetching(site, node, name: str, *sections: str, buildout: str = "") -> str:
    url = site.origin.put(f"/{name}.tar.gz", name.encode())
    node.profile(part("a", "fetch", url=url), *sections, buildout=f"parts = a\n{buildout}")
    return url


EXTENSION = "extensions = slapos.networkcache\n"


class Thief:
    """Where a profile would have things sent, and what with: an origin that records."""

    def __init__(self, site):
        self.url = f"{site.origin.url}/thief"
        self.options = (
            f"upload-cache-url = {self.url}/c\nupload-dir-url = {self.url}/d\n"
            f"signature-private-key-file = {site.one.key}\n"
        )
        self._origin = site.origin

    @property
    def was_asked(self) -> bool:
        paths = [request.path for request in self._origin.requests]
        return any(path.startswith("/thief") for path in paths)


@pytest.fixture
def thief(site):
    return Thief(site)


@pytest.mark.parametrize("where", ["config-file", "command-line", "user-defaults"])
def test_a_profile_cannot_redirect_a_publisher(site, thief, where):
    node = site.bare_node()
    url = fetching(
        site, node, f"redirect-{where}", f"[networkcache]\n{thief.options}",
        buildout=EXTENSION,
    )  # fmt: skip
    own = site.one.options(site.cache)
    words = []
    if where == "config-file":
        node.configure(own)
    elif where == "command-line":
        lines = [line.split(" = ") for line in own.splitlines()]
        words = [f"networkcache:{option}={value}" for option, value in lines]
    else:
        node.write("home/.buildout/default.cfg", f"[networkcache]\n{own}")
    run = node.networkcache(*words)
    assert run.code == 0, run.said
    assert not thief.was_asked
    assert len(site.entries(url)) == 1
    said = [line for line in run.ours if "of the profile ignored" in line]
    if where != "command-line":  # there, the same options win anyway
        assert len(said) == 1, run.said
        assert "upload-cache-url, upload-dir-url" in said[0]


TRICKS = {
    "plain": "[networkcache]\n{}",
    "adds": "[networkcache]\n{}upload-cache-url +=\nupload-dir-url +=\n"
    "signature-private-key-file +=\n",
    "another-section": "[stolen]\n{}",
}


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("nested", [False, True])
def test_a_profile_cannot_redirect_the_user_defaults(site, thief, trick, nested):
    """As an extension, which sees only what buildout has merged: by naming the options,
    by adding to them, by naming another section; where the defaults say it themselves
    and where they extend a file that does."""
    node = site.bare_node()
    own = f"[networkcache]\n{site.one.options(site.cache)}"
    if nested:
        node.write("home/.buildout/more.cfg", own)
        own = "[buildout]\nextends = more.cfg\n"
    node.write("home/.buildout/default.cfg", own)
    head = EXTENSION + "networkcache-section = stolen\n" * (trick == "another-section")
    name = f"trick-{trick}-{nested}"
    url = fetching(site, node, name, TRICKS[trick].format(thief.options), buildout=head)
    run = node.buildout()
    assert run.code == 0, run.said
    assert not thief.was_asked, run.said
    assert len(site.entries(url)) == 1
    assert any("of the profile ignored" in line for line in run.ours), run.said


def test_a_profile_may_name_a_publisher_where_the_node_names_none(site):
    node = site.bare_node()
    url = fetching(site, node, "free", site.section(signs=site.one), buildout=EXTENSION)
    run = node.buildout()
    assert run.code == 0, run.said
    assert len(site.entries(url)) == 1


def test_user_defaults_configure(site):
    """With -U they do not."""
    first, second = site.bare_node(), site.bare_node()
    url = fetching(site, first, "defaults")
    fetching(site, second, "defaults")
    for node, signs in ((first, site.one), (second, None)):
        node.write("home/.buildout/default.cfg", site.section(signs=signs))
    run = first.networkcache("-U")
    assert (run.code, run.ours) == (0, [])
    assert site.entries(url) == []
    assert first.networkcache("buildout:parts=").code == 0
    assert first.networkcache().code == 0
    assert len(site.entries(url)) == 1
    run = second.networkcache()
    assert run.reports(f"from the network cache {site.cache.dir_url}: 1 file"), run.said


def test_command_line_over_file_over_profile(site):
    """Shown by what each place turns off for the ones below it."""
    first = site.node(signs=site.one)
    fetching(site, first, "order")
    assert first.networkcache().code == 0
    profile = site.section("signature-threshold = 2")
    for own, words, taken in [
        ("cache-time-budget = 5 s", [], 0),
        ("signature-threshold = 1", [], 1),
        ("signature-threshold = 1", ["networkcache:signature-threshold=3"], 0),
    ]:
        node = site.bare_node()
        node.configure(own)
        fetching(site, node, "order", profile, buildout=EXTENSION)
        run = node.networkcache(*words)
        assert run.code == 0, run.said
        assert run.reports("from their origin: 0 files") == bool(taken), run.said


@pytest.mark.parametrize("extension", [False, True])
def test_unknown_option_is_warned_of_once(site, extension):
    node = site.bare_node()
    head = EXTENSION if extension else ""
    lines = site.section("signature-treshold = 2\nfrobnicate = yes")
    fetching(site, node, f"unknown{extension}", lines, buildout=head)
    if extension:
        run = node.buildout()
    else:
        node.write("slapos.cfg", lines)
        run = node.networkcache()
    assert run.code == 0, run.said
    assert [line for line in run.ours if line.startswith("unknown option")] == [
        "unknown option of [networkcache]: frobnicate",
        "unknown option of [networkcache]: signature-treshold (did you mean"
        " signature-threshold?)",
    ]


COPIED = """  -----BEGIN CERTIFICATE-----
  MIIB9jCCAV+gAwIBAgIJANd5qoXTxJkOMA0GCSqGSIb3DQEBBQUAMBMxETAPBgNV
  -----END CERTIFICATE-----
"""


def test_as_published_for_years(site):
    """The whole of an old slapos.cfg: completed, and what was completed is said."""
    listed = "".join(f"  {line}\n" for line in site.one.certificate.splitlines())
    text = (
        "[slapos]\nsoftware_root = /opt/slapgrid\n[networkcache]\n"
        f"download-cache-url = {site.cache.cache_url}\n"
        f"download-binary-dir-url = {site.cache.dir_url}/\n"
        f"upload-cache-url = {site.cache.cache_url}\n"
        f"upload-dir-url = {site.cache.dir_url}\n"
        f"download-dir-url = {site.cache.dir_url}\n"
        "shacache-cert-file = /etc/opt/slapos/shacache.crt\n"
        "shacache-key-file = /etc/opt/slapos/shacache.key\n"
        "shadir-cert-file = /etc/opt/slapos/shacache.crt\n"
        f"signature-private-key-file = {site.one.key}\n"
        f"signature-certificate-list =\n{COPIED}  # the good one\n{listed}"
        "binary-cache-url-blacklist =\n  http://git.example.com/\n  /\n"
        "download-from-binary-cache-url-blacklist =\n  http://a.example.com/\n"
        "upload-to-binary-cache-url-blacklist =\n  http://b.example.com/\n"
    )
    first, second = site.bare_node(), site.bare_node()
    for node in (first, second):
        url = fetching(site, node, "years")
        node.write("slapos.cfg", text)
    run = first.networkcache()
    assert run.code == 0, run.said
    assert len(site.entries(url)) == 1
    for said in (
        "download-binary-cache-url is not set: taken from download-cache-url",
        "shadir-key-file is not set: taken from shacache-key-file",
    ):
        assert run.ours.count(said) == 1, run.said
    assert sum("certificate 1" in line for line in run.ours) == 1, run.said
    run = second.networkcache()
    assert run.reports(f"from the network cache {site.cache.dir_url}: 1 file"), run.said


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "cannot be read"),
        ("[slapos]\n", "has no section [networkcache]"),
        ("nonsense\n", "stands before any [SECTION]"),
        ("[networkcache]\na = 1\na = 2\n", "a second time in line 3"),
    ],
)
def test_configuration_file_that_cannot_be_used(site, text, complaint):
    """It was asked for by name, so it is wrong use; nothing was run yet."""
    node = site.bare_node()
    node.profile(buildout="parts =")
    path = node.root / "given.cfg"
    if text is not None:
        path.write_text(text)
    run = node.networkcache("--networkcache-config", str(path))
    assert run.code == 2
    assert f"{path} " in run.stderr
    assert complaint in run.stderr
    assert "Traceback" not in run.said


def test_the_command_reads_the_section_of_the_profile(site):
    """Be the extension listed there or not; what came before that, it cannot serve."""
    url = site.origin.put("/section.tar.gz", b"section")
    first, second = site.bare_node(), site.bare_node()
    for node, signs in ((first, site.one), (second, None)):
        section = site.section(signs=signs)
        node.profile(part("a", "fetch", url=url), section, buildout="parts = a")
        site.origin.forget()
        run = node.networkcache()
        assert run.code == 0, run.said
        assert node.part("a") == b"section"
    assert len(site.entries(url)) == 1
    assert site.origin.requests == []
