"""What a profile says that a run will fetch, as far as it can be told from its text."""

from __future__ import annotations

import pytest

from slapos.networkcache.binding import Request
from slapos.networkcache.buildout.expected import Profile, Way, read_profile, to_install
from slapos.networkcache.key import Key
from slapos.networkcache.urls import Checksum

URL = "http://origin.test/a-1.0.tar.gz"
OTHER = "http://mirror.test/a-1.0.tar.gz"
SUMS = {"md5": "ab" * 16, "sha256": "ab" * 32, "sha512": "ab" * 64}
OPTIONS = {f"{algorithm}sum": value.upper() for algorithm, value in SUMS.items()}
REPOSITORY = "https://git.test/hello.git"
REVISION = "ab" * 20


def read(**sections: dict[str, str]) -> Profile:
    """Of a profile all of whose sections but ``[versions]`` are parts."""
    parts = " ".join(name for name in sections if name not in ("versions", "macro"))
    return read_profile({"buildout": {"parts": parts}, **sections})


def cmmi(**options: str) -> dict[str, str]:
    return {"recipe": "slapos.recipe.cmmi", **options}


def ours(recipe: str, **options: str) -> dict[str, str]:
    return {"recipe": f"slapos.networkcache:{recipe}", **options}


def ways(*urls: str, **checksums: str) -> tuple[Way, ...]:
    """Those to what is at one of `urls`."""
    sums = [Checksum(algorithm, checksums[algorithm]) for algorithm in checksums]
    return tuple(Way(url, Request.for_file(url, *sums)) for url in urls)


def test_an_empty_profile():
    assert read_profile({}) == read_profile({"buildout": {"parts": ""}}) == Profile()


def test_every_url_is_named():
    profile = read(a=cmmi(url=URL, patches=OTHER), b={"somewhere": "https://b.test/x"})
    assert profile.urls == (URL, OTHER, "https://b.test/x")


@pytest.mark.parametrize(
    "text", ["/local", "file:///local", f"{URL} {OTHER}", f"{URL}\n", "git@x:y", "${x:y}/z"]
)
def test_what_is_no_single_remote_url(text):
    found = read(a=cmmi(url=text)).urls
    assert found == ((URL,) if text == f"{URL}\n" else ())


def test_options_of_buildout_are_not_fetched():
    """Nor does an index have a file under its URL."""
    assert read_profile({"buildout": {"index": "http://index.test/"}}) == Profile()


# -- what parts are certain to fetch


def test_what_a_known_recipe_fetches():
    profile = read(
        a=cmmi(url=URL),
        b={"recipe": "slapos.recipe.build:download", "url": OTHER},
        c={"recipe": "unknown.recipe", "url": URL},
        d=cmmi(other=URL),
        e=ours("release", url="https://a.test/software.cfg"),
    )
    assert profile.fetched == {"a": ways(URL), "b": ways(OTHER)}


def test_a_section_that_is_no_part():
    """A part may refer to it; or none does."""
    profile = read_profile({"buildout": {"parts": "b"}, "a": cmmi(url=URL), "b": {}})
    assert profile.urls == (URL,)
    assert profile.fetched == {}


def test_an_alternate_url_will_do():
    profile = read(a=cmmi(**{"url": URL, "alternate-url": OTHER}))
    assert profile.fetched == {"a": ways(URL, OTHER)}
    assert profile.urls == (URL, OTHER)


@pytest.mark.parametrize("alternate", ["/local", "${unknown:option}"])
def test_an_alternate_that_may_be_here(alternate):
    profile = read(a=cmmi(**{"url": URL, "alternate-url": alternate}))
    assert profile.fetched == {}


def test_checksums():
    """Those that the recipe knows; and what is none is left to it."""
    profile = read(
        a=ours("download", url=URL, **OPTIONS),
        b=cmmi(url=URL, **OPTIONS),
        c=ours("download-unpacked", url=f"{URL}#md5={SUMS['md5']}", sha512sum="x"),
    )
    requests = {part: way.request for part, (way,) in profile.fetched.items()}
    assert {part: dict(requests[part].checksums) for part in requests} == {
        "a": SUMS,
        "b": {"md5": SUMS["md5"]},
        "c": {"md5": SUMS["md5"]},
    }
    assert {request.key for request in requests.values()} == {Key.for_file(URL)}


@pytest.mark.parametrize("url", ["http://[x/a", "http://a.test:port/a"])
def test_what_is_no_url(url):
    assert read(a=cmmi(url=url)) == Profile()


# -- revisions


def test_a_full_revision():
    """It is a bundle, whether it is of a part or of what a part may refer to."""
    clone = ours("gitclone", repository=REPOSITORY, revision=REVISION.upper())
    sections = {"a": clone, "b": {**clone, "revision": "12" * 20}}
    profile = read_profile({"buildout": {"parts": "a"}, **sections})
    bundle = Request.for_bundle(REPOSITORY, REVISION)
    assert profile.fetched == {"a": (Way(REPOSITORY, bundle),)}
    assert profile.bundles == (bundle.key, Key.for_bundle(REPOSITORY, "12" * 20))
    assert set(profile.bundles) < set(profile.keys)


@pytest.mark.parametrize(
    ("recipe", "repository", "revision"),
    [
        ("slapos.networkcache:gitclone", REPOSITORY, "v1"),
        ("slapos.networkcache:gitclone", REPOSITORY, ""),
        ("slapos.networkcache:gitclone", "ssh://git.test/hello.git", REVISION),
        ("slapos.networkcache:gitclone", "git@git.test:hello.git", REVISION),
        ("slapos.networkcache:gitclone", "https://git.test/${x:y}", REVISION),
        ("slapos.recipe.build:gitclone", REPOSITORY, REVISION),
    ],
)
def test_what_has_no_bundle(recipe, repository, revision):
    options = {"recipe": recipe, "repository": repository, "revision": revision}
    profile = read(a=options)
    assert (profile.bundles, profile.fetched) == ((), {})


FETCHED = {"a": ways(URL), "b": ways(OTHER)}


@pytest.mark.parametrize(
    ("installed", "named", "left"),
    [([], [], "ab"), (["a", "c"], [], "b"), ([], ["b", "c"], "b"), (["b"], ["b"], "")],
)
def test_what_is_to_be_installed(installed, named, left):
    assert list(to_install(FETCHED, installed, named)) == [FETCHED[part] for part in left]


# -- text


def test_references():
    profile = read(
        a=cmmi(url="${b:base}/${:name}-${versions:A}.tar.gz", name="a"),
        b={"base": "${b:scheme}://origin.test", "scheme": "http"},
        versions={"A": "1.0"},
    )
    assert profile.urls[0] == URL
    assert profile.fetched == {"a": ways(URL)}


def test_references_of_the_buildout_section():
    sections = {
        "buildout": {"parts": "${buildout:more}", "more": "a", "mirror": "http://m.test"},
        "a": {"recipe": "${x:recipe}", "url": "${buildout:mirror}/a"},
        "x": {"recipe": "slapos.recipe.cmmi"},
    }
    assert read_profile(sections).fetched == {"a": ways("http://m.test/a")}


def test_references_that_lead_nowhere():
    """They may be made by recipes; they may run in a circle."""
    profile = read(
        a=cmmi(url="http://a.test/${b:location}"),
        b={"c": "http://${b:d}", "d": "x${b:c}"},
    )
    assert profile == Profile()


def test_macros():
    """What a section says itself goes first, then the last macro; macros may have some."""
    profile = read(
        macro={"<": "deeper", "url": "http://origin.test/${:name}-1.0.tar.gz"},
        deeper=cmmi(url="http://nobody.test/", md5sum=SUMS["md5"]),
        a={"<": "macro", "name": "a"},
        b={"<": "macro", "name": "b", "url": OTHER},
    )
    assert profile.fetched == {
        "deeper": ways("http://nobody.test/", md5=SUMS["md5"]),
        "a": ways(URL, md5=SUMS["md5"]),
        "b": ways(OTHER, md5=SUMS["md5"]),
    }


def test_macros_in_a_circle():
    profile = read(a={"<": "b", "url": URL}, b={"<": "a missing"})
    assert profile.urls == (URL,)


# -- versions


def test_pins():
    versions = {"A": "1.0", "b": "2.0.dev1+x", "c": ">= 1", "d": "", "e": "${x:y}"}
    assert read(versions=versions).pins == {"A": "1.0", "b": "2.0.dev1+x"}
    sections = {"buildout": {"versions": "mine"}, "mine": {"A": "2"}, "versions": versions}
    assert read_profile(sections).pins == {"A": "2"}


def test_keys():
    """Of all that is certain; and of what is only likely, by each spelling."""
    secret = "https://user:password@git.test/hello.git"
    profile = read(
        a=cmmi(url=URL),
        b=cmmi(url=f"{URL}?token=secret"),
        c=ours("gitclone", repository=secret, revision=REVISION),
    )
    assert list(profile.keys) == [Key.for_file(URL)]
    index = "https://index.test/simple"
    profile = Profile(pins={"Some_Name": "1.0"})
    assert list(profile.guesses(index)) == [
        Key.for_page(f"{index}/some-name/"),
        Key.for_distribution("Some-Name", "1.0"),
        Key.for_distribution("some-name", "1.0"),
    ]


@pytest.mark.parametrize("index", ["", "/local", "https://user:password@index.test/"])
def test_pages_that_are_not_looked_up(index):
    profile = Profile(pins={"name": "1.0"})
    assert list(profile.guesses(index)) == [Key.for_distribution("name", "1.0")]


def test_references_that_lead_to_each_other():
    """Nothing is read for ever; buildout will say what is wrong."""
    text = {f"x{n}": "${:x0} ${:x1} ${:x2} ${:x3} ${:x4} ${:x5}" for n in range(6)}
    profile = read_profile({"buildout": {"parts": "a"}, "a": {"url": URL, **text}})
    assert profile.urls == (URL,)
