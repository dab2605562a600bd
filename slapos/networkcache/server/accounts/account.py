"""An account, as a value: whether it may put a pair."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ...certificates import Certificate, Strength
from ...entry import Key, Pair
from ...errors import Code, InvalidEntry, Refusal
from .rights import Right, check


@dataclass(frozen=True)
class Account:
    """Who uploads.

    `rights` are what it may publish, None for everything; `quota` is the bytes that it
    may keep, None for no limit; where it has `signers`, its pairs are signed by one of
    them.
    """

    name: str
    rights: tuple[Right, ...] | None = None
    quota: int | None = None
    signers: tuple[Certificate, ...] = ()

    def check_pair(self, key: Key, pair: Pair) -> None:
        """Raise `Refusal` (``forbidden``) unless it may put `pair`, whose entry is a JSON
        object, under `key`."""
        try:
            if self.rights is not None:
                check(self.rights, key, json.loads(pair.entry))
            if self.signers:
                _check_signature(pair, self.signers)
        except Refusal as refusal:
            raise Refusal(refusal.code, f"account {self.name}: {refusal}") from None


ANONYMOUS = Account("")
"""All who upload without an account, where that is allowed."""


def _check_signature(pair: Pair, signers: tuple[Certificate, ...]) -> None:
    """That ties a pair to the account; whether it is believed, each node decides. So a
    signature of older programs will do as well."""
    try:
        signature = pair.signature_bytes()
    except InvalidEntry as error:
        raise Refusal(Code.BAD_ENTRY, str(error)) from None
    data = pair.entry.encode()
    for signer in signers:
        strength = signer.verify(signature, data) or signer.verify_legacy(signature, data)
        if strength in (Strength.STRONG, Strength.LEGACY):
            return
    raise Refusal(
        Code.FORBIDDEN,
        "the pair is signed by none of the signers that were named for it when it was"
        " added: sign with one of those",
    )
