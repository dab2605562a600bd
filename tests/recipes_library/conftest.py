"""The site of the tests of the hook."""

from __future__ import annotations

from hook.conftest import origin, site

__all__ = ["origin", "site"]
