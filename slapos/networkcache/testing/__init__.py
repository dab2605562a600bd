"""For tests: a network cache in memory, and the contracts of stores.

`NetworkCache` is the real server over stores in memory. It records what is asked, and
can do what is in `faults`. It needs ``slapos.networkcache[server]``::

    from slapos.networkcache.testing import NetworkCache, faults

    with NetworkCache() as cache:
        cache.plan(faults.cut(100), "GET /shacache", times=1)
        program_under_test(cache.source)
        print(cache.requests)

The contracts are classes of tests that pytest runs. Subclass one in a test module and
say what the store is::

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

from . import faults
from .cache import NetworkCache
from .contents import ContentStoreContract
from .entries import EntryStoreContract

__all__ = ["ContentStoreContract", "EntryStoreContract", "NetworkCache", "faults"]
