"""What to do next, for each way in which a command can end without success."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import Code, NetworkcacheError, Reason

_AFTER: Mapping[Reason | Code, str] = {
    Reason.NOT_FOUND: "check the URL or the key; networkcache lookup shows what there is,"
    " of a software release networkcache release show",
    Reason.UNKNOWN_SIGNER: "if you trust the signer, add the certificate to"
    " signature-certificate-list",
    Reason.BAD_SIGNATURE: "somebody changed the entry: have it published again",
    Reason.UNKNOWN_FORMAT: "networkcache lookup shows the entries one by one",
    Reason.BELOW_THRESHOLD: "another signer must publish the same, or signature-threshold"
    " be lowered",
    Reason.CONFLICT: "networkcache lookup shows who signed which size; remove the wrong"
    " signer from signature-certificate-list",
    Reason.EXPIRED: "have it published again",
    Reason.CLOCK: "set the clock of this machine right",
    Reason.ROLLBACK: "a source hides what is newer: ask another one",
    Reason.CHECKSUM: "the checksum in the URL asks for another content",
    Reason.WRONG_CONTENT: "nothing of it was kept; tell who runs the source",
    Reason.UNREACHABLE: "try again, or check the URLs in [networkcache]",
    Reason.TOO_SLOW: "try again, or check the URLs in [networkcache]",
    Reason.LEFT_ALONE: "try again, check the URLs in [networkcache], or raise"
    " cache-time-budget",
    Reason.UNFIT_HOST: "networkcache release show tells what each build needs",
    Reason.SECRET_URL: "nothing with a secret in its URL is looked up or published",
    Code.UNAUTHORIZED: "networkcache account request asks for an account; name its files in"
    " shacache-cert-file and shacache-key-file; a server on this computer may run with"
    " --allow-anonymous-upload",
    Code.FORBIDDEN: "ask who runs the server for the right to publish this",
    Code.STORAGE_FULL: "the server's disk is full: tell who runs it",
    Code.QUOTA: "the account's quota is used up: ask who runs the server",
    Code.BUSY: "try again",
}


def advice_for(error: NetworkcacheError) -> str | None:
    """One sentence, where there is one."""
    return _AFTER.get(error.reason) if error.reason is not None else None
