"""From a template and values to a page. Whatever a value holds, it is text on the page:
escaped, and without what cannot be printed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...printable import readable
from ...protocol import content_url, directory_url
from ...quantities import readable_size, readable_time
from ..http.answers import SERVER, Answer

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing runs, and nothing comes from elsewhere."""
_SAFE = {
    "Server": SERVER,
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PAGE = {
    **_SAFE,
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Vary": "Accept",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_TYPES = {"css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
_ENDS = re.compile(r"(?<=[/=&?_@])(?=[^/])")
STYLE = "style"
"""The path below which the files are that pages name."""


class Page(NamedTuple):
    """A page: the name of its template, what is in it, and its HTTP status."""

    template: str
    values: Mapping[str, Any]
    status: int = 200


def shown(value: object) -> object:
    """A value as it is written in a page, which escapes it besides."""
    if value is None:
        raise TypeError("there is nothing to show")
    return value if isinstance(value, Markup) else readable(value)


def breakable(value: object) -> Markup:
    """Text that may be long, with places where a line of it may end."""
    parts = _ENDS.split(readable(value))
    return Markup("<wbr>").join(parts)


class File(NamedTuple):
    """What a page names: a picture or a style."""

    path: str
    data: bytes
    type: str


def _load(name: str) -> File:
    data = (files(__package__) / "static" / name).read_bytes()
    stem, _, kind = name.rpartition(".")
    digest = hashlib.sha256(data).hexdigest()[:16]
    return File(f"{STYLE}/{stem}-{digest}.{kind}", data, _TYPES[kind])


class Renderer:
    """Makes pages and the files that they name."""

    def __init__(self) -> None:
        loaded = {name: _load(name) for name in ("networkcache.css", "icon.svg")}
        self._files = {file.path: file for file in loaded.values()}
        self._environment = Environment(
            loader=PackageLoader(__package__),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=shown,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(
            size=readable_size,
            time=readable_time,
            number="{:,}".format,
            ago=ago,
            share=share,
            breakable=breakable,
        )
        self._environment.globals.update(
            css=loaded["networkcache.css"].path,
            icon=loaded["icon.svg"].path,
            content_url=content_url,
            directory_url=directory_url,
            version=version("slapos.networkcache"),
        )

    def page(self, page: Page, asked: object) -> Answer:
        """The answer that is `page`; templates read of `asked` what all pages say."""
        template = self._environment.get_template(page.template)
        text = template.render(page.values, asked=asked)
        return Answer(page.status, _PAGE, text.encode())

    def file(self, path: str) -> Answer | None:
        """The answer that is the file at `path`; None where there is none."""
        file = self._files.get(path)
        if file is None:
            return None
        headers = {**_SAFE, "Content-Type": file.type, "Cache-Control": _FOR_EVER}
        return Answer(200, headers, file.data)


_PERIODS = (("day", 86400), ("hour", 3600), ("minute", 60))


def ago(seconds: float) -> str:
    """How long something has lasted."""
    for name, length in _PERIODS:
        if (number := int(seconds // length)) > 0:
            return f"{number:,} {name}{'s' * (number > 1)}"
    return "less than a minute"


def share(part: int, whole: int) -> float:
    """`part` in per cent of `whole`."""
    return 100 * part / whole if whole else 0.0
