"""What root does in the folders of others: as they, or not at all."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from packed import URL, put

from slapos.networkcache.binary.building import _passwords
from slapos.networkcache.binary.node import Node
from slapos.networkcache.binary.ownership import Owner
from slapos.networkcache.binary.releases import Releases
from slapos.networkcache.config import Config
from slapos.networkcache.errors import InvalidConfiguration

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")

NOBODY = 65534
OTHER = 1
"""Another one: daemon."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that others may enter."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def owned(path: Path, owner: int, mode: int = 0o755, group: int = 0) -> Path:
    """A folder of that user and group."""
    path.mkdir()
    path.chmod(mode)
    os.chown(path, owner, group)
    return path


# -- as whom


def test_the_owner_has_the_groups_of_the_account(folder: Path) -> None:
    """And not that of the folder, which may be root's."""
    owner = Owner.of(str(owned(folder / "root", NOBODY)), None)
    group = pwd.getpwuid(NOBODY).pw_gid
    with owner.acting():
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (NOBODY, group, [group])
    said = subprocess.run(
        ["sh", "-c", "id -ru; id -rg; id -G"],
        capture_output=True, text=True, **owner.process_options,
    )  # fmt: skip
    assert said.stdout.split() == [str(NOBODY), str(group), str(group)]
    assert (os.geteuid(), os.getegid()) == (0, 0)


def test_an_owner_without_an_account(folder: Path) -> None:
    root = owned(folder / "root", 54321)
    with pytest.raises(InvalidConfiguration, match="no such account") as refused:
        Releases(Node(str(root), Config()))
    assert f"{root} belongs to user 54321" in str(refused.value)


# -- folders


@pytest.mark.parametrize(("mode", "group"), [(0o777, 0), (0o1777, 0), (0o775, OTHER)])
def test_a_software_root_in_which_others_may_put_links(
    folder: Path, mode: int, group: int
) -> None:
    root = owned(folder / "root", 0, mode, group)
    with pytest.raises(InvalidConfiguration) as refused:
        Releases(Node(str(root), Config()))
    assert f"may write in {root}: give it to that one" in str(refused.value)


def test_the_group_of_root_may_write(folder: Path) -> None:
    """In that group are those who may do as root does."""
    root, parts = (owned(folder / name, 0, 0o775) for name in ("root", "parts"))
    Releases(Node(str(root), Config(), shared_folders=(str(parts),)))


@pytest.mark.parametrize(
    ("root", "parts", "mode"),
    [
        (0, NOBODY, 0o755),
        (0, 0, 0o777),
        (0, 0, 0o1777),
        (NOBODY, OTHER, 0o755),
        (NOBODY, OTHER, 0o777),
    ],
)
def test_a_folder_in_which_others_may_put_links(
    folder: Path, root: int, parts: int, mode: int
) -> None:
    node = Node(
        str(owned(folder / "root", root)),
        Config(),
        shared_folders=(str(owned(folder / "parts", parts, mode)),),
    )
    with pytest.raises(InvalidConfiguration) as refused:
        Releases(node)
    assert str(refused.value).endswith(
        f"may write in {folder}/parts: give it to that one, and to nobody else"
    )


@pytest.mark.parametrize(
    ("root", "parts"), [(0, 0), (NOBODY, NOBODY), (NOBODY, 0), (0, None), (NOBODY, None)]
)
def test_a_folder_of_the_same_owner_or_of_root(
    folder: Path, root: int, parts: int | None
) -> None:
    """Or one that is not there yet."""
    if parts is not None:
        owned(folder / "parts", parts)
    place = str(owned(folder / "root", root))
    Releases(Node(place, Config(), shared_folders=(str(folder / "parts"),)))


def test_a_folder_that_the_owner_cannot_make(folder: Path) -> None:
    """Shared parts go to the first one that may be written, or made."""
    root = owned(folder / "root", NOBODY)
    owned(folder / "of root", 0)
    not_there = [str(folder / "of root/x/parts"), str(root / "x/parts")]
    node = Node(str(root), Config(), shared_folders=tuple(not_there))
    with Owner.of(str(root), None).acting():
        assert node.destination(URL).shared == not_there[1]
        closed = replace(node, shared_folders=(not_there[0],))
        assert closed.destination(URL).shared is None
    assert node.destination(URL).shared == not_there[0]  # root may


# -- passwords


@pytest.fixture
def owner(folder: Path) -> Owner:
    """One who is at home in the folder ``home``; ``release`` is where a build is."""
    owned(folder / "home", NOBODY)
    found = Owner.of(str(owned(folder / "release", NOBODY)), None)
    assert found.account is not None
    return replace(found, account=replace(found.account, home=str(folder / "home")))


def test_the_passwords_of_the_owner_are_there_while_it_builds(
    folder: Path, owner: Owner
) -> None:
    os.chown(put(folder / "home/.netrc", "machine example.com", 0o600), NOBODY, NOBODY)
    there = folder / "release/.netrc"
    with _passwords(str(folder / "release"), owner):
        assert there.read_text() == "machine example.com"
        status = there.stat()
        assert (status.st_uid, status.st_mode & 0o777) == (NOBODY, 0o600)
    assert not there.exists()


def test_passwords_may_be_a_link_to_what_the_owner_may_read(
    folder: Path, owner: Owner
) -> None:
    """Some keep all such files in one folder."""
    os.chown(put(folder / "home/dot/netrc", "machine", 0o600), NOBODY, NOBODY)
    (folder / "home/.netrc").symlink_to("dot/netrc")
    there = folder / "release/.netrc"
    with _passwords(str(folder / "release"), owner):
        assert there.read_text() == "machine"
        assert not there.is_symlink()
    assert os.listdir(folder / "release") == []


@pytest.mark.parametrize("how", ["file", "link", "hard link"])
def test_a_secret_of_root_is_not_read_for_the_owner(
    folder: Path, owner: Owner, how: str
) -> None:
    secret = put(folder / "secret", "of root", 0o600)
    passwords = folder / "home/.netrc"
    if how == "file":
        secret.rename(passwords)
    elif how == "link":
        passwords.symlink_to(secret)
    else:
        os.link(secret, passwords)
    with _passwords(str(folder / "release"), owner):
        assert os.listdir(folder / "release") == []
