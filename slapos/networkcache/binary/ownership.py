"""What is done to the folder of another user is done as that user."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import InvalidConfiguration

T = TypeVar("T")

SAFE_UMASK = 0o027
"""Of what is made in a software root, as slapgrid makes it: others may not read it."""


@dataclass(frozen=True)
class _Account:
    """A user and groups to act as, and where that one is at home."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


@dataclass(frozen=True)
class Owner:
    """By whom the work in a folder is done: another `account`, None for who this is, and
    with which `umask`, None for the one there is."""

    account: _Account | None = None
    umask: int | None = None

    @classmethod
    def of(cls, folder: str, umask: int | None) -> Owner:
        """The owner of `folder`, if that is somebody else, and this is root.

        Raises `InvalidConfiguration` where that is no account of this computer.
        """
        owner = os.stat(folder).st_uid
        if os.geteuid() != 0 or owner == 0:
            return cls(None, umask)
        try:
            account = pwd.getpwuid(owner)
        except KeyError:
            raise InvalidConfiguration(
                f"{folder} belongs to user {owner}, and there is no such account: give it"
                " to the one who is to own the releases"
            ) from None
        groups = os.getgrouplist(account.pw_name, account.pw_gid)
        own = _Account(owner, account.pw_gid, tuple(groups), account.pw_dir)
        return cls(own, umask)

    def check(self, folder: str) -> None:
        """Raise `InvalidConfiguration` where root would work in a folder in which somebody
        else can put links in its way."""
        try:
            status = os.stat(folder)
        except FileNotFoundError:
            return
        if os.geteuid() != 0:
            return
        own = 0 if self.account is None else self.account.uid
        others = stat.S_IWOTH | (stat.S_IWGRP if status.st_gid else 0)
        if status.st_uid not in (0, own) or (own == 0 and status.st_mode & others):
            raise InvalidConfiguration(
                f"others than the owner of software_root may write in {folder}: give it to"
                " that one, and to nobody else"
            )

    @property
    def home(self) -> str:
        return self.account.home if self.account is not None else os.path.expanduser("~")

    @property
    def process_options(self) -> dict[str, Any]:
        """What `subprocess` takes for a process that is the owner's."""
        how: dict[str, Any] = {} if self.umask is None else {"umask": self.umask}
        if self.account is not None:
            how["user"], how["group"] = self.account.uid, self.account.gid
            how["extra_groups"] = self.account.groups
        return how

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Be the owner in all that is done with files, for as long as this lasts. It holds
        for the whole process."""
        with ExitStack() as stack:
            if self.umask is not None:
                stack.callback(os.umask, os.umask(self.umask))
            if self.account is not None:
                stack.callback(os.setgroups, os.getgroups())
                stack.callback(os.setegid, os.getegid())
                os.setgroups(self.account.groups)
                os.setegid(self.account.gid)
                stack.callback(os.seteuid, os.geteuid())
                os.seteuid(self.account.uid)
            yield

    @contextmanager
    def holding(self, manager: AbstractContextManager[T]) -> Iterator[T]:
        """Enter and leave `manager` as the owner; what comes in between is done as
        before."""
        held = ExitStack()
        with self.acting():
            value = held.enter_context(manager)
        try:
            yield value
        finally:
            with self.acting():
                held.close()
