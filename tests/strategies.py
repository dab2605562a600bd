"""What hypothesis makes: keys, URLs and their equivalent spellings, JSON, secrets."""

from __future__ import annotations

import string

from hypothesis import settings
from hypothesis import strategies as st

from slapos.networkcache.entry import KEY_LIMIT, Key

# Nothing here is a matter of time, and a machine may be busy.
settings.register_profile("slapos.networkcache", deadline=None)
settings.load_profile("slapos.networkcache")

_KEY_CHARACTERS = "".join(c for c in map(chr, range(33, 127)) if c not in "/?#%\\")
keys = (
    st.text(_KEY_CHARACTERS, min_size=1, max_size=KEY_LIMIT)
    .filter(lambda text: text not in (".", ".."))
    .map(Key.parse)
)

ascii_text = st.text(st.characters(max_codepoint=127), max_size=30)
any_text = st.text(st.characters(), max_size=40)
"""Lone surrogates included."""
printable = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | printable
    | st.sampled_from(["9" * 20, "sha512", "0" * 128]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["format", "key", "sha512", "size", "url", "x"]), inner
        )
    ),
    max_leaves=8,
)

_UNRESERVED = string.ascii_letters + string.digits + "-._~"
_segment = st.text(_UNRESERVED + "!$'()*+,;=:@", max_size=6)
_host = st.from_regex(r"[a-z][a-z0-9-]{0,6}(\.[a-z][a-z0-9]{0,4}){0,2}", fullmatch=True)


@st.composite
def urls(draw: st.DrawFn) -> str:
    """A tidy URL, whose path has no dot segments."""
    scheme = draw(st.sampled_from(["http", "https"]))
    port = draw(st.sampled_from(["", ":8080", ":81"]))
    segments = draw(st.lists(_segment.filter(lambda s: s not in (".", "..")), max_size=4))
    query = draw(st.sampled_from(["", "?", "?x=1", "?x=%2F&y"]))
    return f"{scheme}://{draw(_host)}{port}/{'/'.join(segments)}{query}"


@st.composite
def spellings(draw: st.DrawFn, url: str) -> str:
    """Another spelling of a tidy URL, equivalent by RFC 3986, section 6.2.2."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if ":" not in host:
        default = {"http": ":80", "https": ":443"}[scheme]
        host += draw(st.sampled_from(["", ":", default]))
    dots = draw(st.sampled_from(["", "./", "a/../", "../", "%2e/", "x/./%2E%2e/"]))
    spelled = "".join(
        f"%{ord(c):02{draw(st.sampled_from('xX'))}}"
        if c in _UNRESERVED
        and path[max(0, i - 2) : i].rfind("%") < 0
        and draw(st.booleans())
        else c
        for i, c in enumerate(path)
    )
    if draw(st.booleans()):
        scheme, host = scheme.upper(), host.upper()
    return f"{scheme}://{host}{slash}{dots}{spelled}"


secrets = st.text(_UNRESERVED + "!$'()*+,%:", min_size=1, max_size=12).map(
    lambda text: f"q7{text}q7"
)
"""What may stand in user info or in a query as it is; recognisable at both ends."""

ranges = st.one_of(
    st.tuples(
        st.integers(0, 30).map(str) | st.just(""), st.integers(0, 30).map(str) | st.just("")
    ).map(lambda ends: f"bytes={ends[0]}-{ends[1]}"),
    any_text,
)
