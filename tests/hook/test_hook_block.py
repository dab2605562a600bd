"""Where origins are blocked, one error names all that no cache has, before anything is
built; and nothing else."""

from __future__ import annotations

import hashlib
import urllib.request

import pytest
from nodes import Node, Run, part

BLOCK = "block-origin = true"


DEAD = "download-cache-url = http://127.0.0.1:1/c\ndownload-dir-url = http://127.0.0.1:1/d"


def ours(recipe: str, name: str, **options: str) -> str:
    lines = "".join(f"{o.replace('_', '-')} = {v}\n" for o, v in options.items())
    return f"[{name}]\nrecipe = slapos.networkcache:{recipe}\n{lines}"


def download(name: str, url: str, **options: str) -> str:
    """A part that is known to fetch its URL."""
    return ours("download", name, url=url, **options)


def wants(node: Node, *parts: str, buildout: str = "", also: str = "") -> Node:
    """A profile with these parts, after one that says that something is built."""
    said = node.write("say.py", "print('something is built')")
    names = [text[1 : text.index("]")] for text in parts]
    node.profile(
        part("first", "script", script=str(said)),
        *parts,
        also,
        buildout=f"parts = first {' '.join(names)}\n{buildout}",
    )
    return node


def published(site, *bodies: bytes) -> list[str]:
    """Files that the cache has; their URLs, and nothing was asked of the origin."""
    urls = [site.origin.put(f"/{body.decode()}.tar.gz", body) for body in bodies]
    parts = [download(f"a{number}", url) for number, url in enumerate(urls)]
    run = wants(site.node(signs=site.one), *parts).networkcache()
    assert run.code == 0, run.said
    site.origin.forget()
    return urls


def error(run: Run) -> list[str]:
    """The lines of buildout's error."""
    text = run.said.partition("\nError: ")[2].partition("\nslapos.networkcache:")[0]
    return text.splitlines()


def test_one_error_names_all(site):
    """Each once; and nothing is built."""
    (there,) = published(site, b"there")
    missing = [f"{site.origin.url}/missing{number}.tar.gz" for number in range(2)]
    node = wants(
        site.node(BLOCK),
        download("a", missing[0]),
        download("b", there),
        download("c", missing[1]),
        download("d", missing[0]),
    )
    run = node.networkcache()
    assert run.code == 1
    assert error(run) == [
        "with block-origin = true no origin is asked, and no network cache has",
        *(f"  {url} (not-found)" for url in missing),
    ]
    assert "something is built" not in run.stdout
    assert site.origin.requests == []
    assert run.reports("from their origin: 0 files, 0 B in 0.0 s, 2 not asked"), run.report


def test_extension(site):
    """What the profile says counts, too."""
    missing = f"{site.origin.url}/missing-extension.tar.gz"
    node = wants(
        site.bare_node(),
        download("a", missing),
        buildout="extensions = slapos.networkcache",
        also=site.section(BLOCK),
    )
    run = node.buildout()
    assert run.code == 1
    assert error(run)[1:] == [f"  {missing} (not-found)"]
    assert "something is built" not in run.stdout


def test_each_with_its_reason(site):
    (unbelieved, listed) = published(site, b"unbelieved", b"listed")
    secret = f"{site.origin.url}/secret.tar.gz?token=s3cr3t"
    node = wants(
        site.node(
            BLOCK, f"download-from-cache-url-blacklist = {listed}", believes=[site.two]
        ),
        download("a", unbelieved),
        download("b", listed),
        download("c", secret),
    )
    run = node.networkcache()
    assert error(run)[1:] == [
        f"  {unbelieved} (unknown-signer)",
        f"  {listed} (blacklisted-url)",
        f"  {site.origin.url}/secret.tar.gz?token=*** (secret-url)",
    ]


def test_parts_that_are_installed(site):
    """They are not fetched again."""
    urls = [site.origin.put(f"/installed{number}", b"installed") for number in range(2)]
    parts = [download(f"a{number}", url) for number, url in enumerate(urls)]
    node = wants(site.node(), *parts)
    assert node.networkcache().code == 0
    node.configure(*site.options(BLOCK, believes=[site.two]))
    run = node.networkcache()
    assert run.code == 0, run.said
    missing = f"{site.origin.url}/missing-installed.tar.gz"
    run = wants(node, *parts, download("b", missing)).networkcache()
    assert error(run)[1:] == [f"  {missing} (not-found)"]


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize("fragment", ["", f"#md5={hashlib.md5(b'downloaded').hexdigest()}"])
def test_what_is_in_the_download_cache(site, hashed, fragment):
    """Recipes name its files in two ways; which one is theirs to know."""
    url = f"{site.origin.url}/downloaded%20.tar.gz{fragment}"
    name = hashlib.md5(url.encode()).hexdigest() if hashed else "downloaded%20.tar.gz"
    folder = site.folder / "downloads"
    folder.mkdir()
    (folder / name).write_bytes(b"downloaded")
    node = wants(
        site.node(BLOCK), download("a", url), buildout=f"download-cache = {folder}"
    )
    run = node.networkcache()
    assert "something is built" in run.stdout
    assert run.code == (0 if hashed else 1), run.said


def test_offline(site):
    """Nothing is fetched anyway: no part fails for what it would fetch."""
    missing = f"{site.origin.url}/missing-offline.tar.gz"
    run = wants(site.node(BLOCK), download("a", missing)).networkcache("-o")
    assert "something is built" in run.stdout
    assert "in offline mode" in error(run)[0]


def test_a_part_that_is_shared(site):
    """Another buildout has left it."""
    body = b"shared"
    url = site.origin.put("/shared.tar.gz", body)
    folder = site.folder / "shared"
    folder.mkdir()
    md5sum = hashlib.md5(body).hexdigest()
    shared = download("a", url, md5sum=md5sum, shared="true")
    for options in ("", BLOCK):
        node = wants(site.node(options), shared, buildout=f"shared-part-list =\n  {folder}")
        run = node.networkcache()
        assert run.code == 0, run.said
    assert len(site.origin.requests) == 1


def test_only_the_parts_to_install(site):
    missing = f"{site.origin.url}/missing-part.tar.gz"
    node = wants(site.node(BLOCK), download("a", missing))
    run = node.networkcache("install", "first")
    assert run.code == 0, run.said
    run = node.networkcache("install", "first", "a")
    assert error(run)[1:] == [f"  {missing} (not-found)"]


def test_an_alternate_url_will_do(site):
    (there,) = published(site, b"alternate")
    missing = [f"{site.origin.url}/missing-{name}.tar.gz" for name in ("one", "other")]
    node = wants(site.node(BLOCK), download("a", missing[0], alternate_url=there))
    run = node.networkcache()
    assert run.code == 0, run.said
    node = wants(site.node(BLOCK), download("a", missing[0], alternate_url=missing[1]))
    run = node.networkcache()
    assert error(run)[1:] == [f"  {url} (not-found)" for url in missing]


def test_a_content_by_its_name(site):
    """It needs no entry."""
    body = b"by its name"
    urllib.request.urlopen(site.cache.cache_url, body).close()
    sha512 = hashlib.sha512(body).hexdigest()
    url = f"{site.origin.url}/never-published.tar.gz"
    node = wants(site.node(BLOCK), download("a", url, sha512sum=sha512))
    run = node.networkcache()
    assert run.code == 0, run.said
    assert (node.place / "parts" / "a" / "a").read_bytes() == body


@pytest.mark.parametrize("why", ["not-found", "left-alone"])
def test_a_content_that_nobody_has(site, why):
    url = f"{site.origin.url}/never-there.tar.gz"
    sha512 = hashlib.sha512(f"nobody has {why}".encode()).hexdigest()
    node = wants(site.node(BLOCK), download("a", url, sha512sum=sha512))
    if why == "left-alone":  # since it did not answer
        node.configure(DEAD, BLOCK)
    run = node.networkcache()
    assert error(run)[1:] == [f"  {url} ({why})"]
    assert "something is built" not in run.stdout


def test_a_content_that_is_here(site):
    """An earlier run has left it in the local store."""
    body = b"is-here"
    (url,) = published(site, body)
    sha512 = hashlib.sha512(body).hexdigest()
    node = wants(site.node(), download("a", url, sha512sum=sha512))
    assert node.networkcache().code == 0
    node.configure(DEAD, BLOCK)
    run = wants(node, download("b", url, sha512sum=sha512)).networkcache()
    assert run.code == 0, run.said
    assert (node.place / "parts" / "b" / "b").read_bytes() == body


def test_a_revision(site):
    """Its bundle is what is looked for."""
    repository = f"{site.origin.url}/missing.git"
    clone = ours("gitclone", "a", repository=repository, revision="ab" * 20)
    run = wants(site.node(BLOCK), clone).networkcache()
    assert error(run)[1:] == [f"  {repository} (not-found)"]
    assert "something is built" not in run.stdout
    assert site.origin.requests == []


def test_commands_that_install_nothing(site):
    missing = f"{site.origin.url}/missing-query.tar.gz"
    node = wants(site.node(BLOCK), download("a", missing))
    run = node.networkcache("query", "a:url")
    assert (run.code, run.stdout.splitlines()[-1]) == (0, missing)
