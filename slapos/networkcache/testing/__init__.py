"""For tests: the contracts of stores, as classes of tests that pytest runs.

Subclass a contract in a test module and say what the store is::

    from slapos.networkcache.testing import ContentStoreContract

    class TestMyContents(ContentStoreContract):
        @pytest.fixture
        def store(self, tmp_path):
            with closing(MyContents(tmp_path)) as store:
                yield store

A store is empty when a test gets it. Calling
``pytest.register_assert_rewrite("slapos.networkcache.testing")`` in ``conftest.py``
shows the values of a failed assertion. Nothing here imports pytest.
"""

from __future__ import annotations

from .contents import ContentStoreContract
from .entries import EntryStoreContract

__all__ = ["ContentStoreContract", "EntryStoreContract"]
