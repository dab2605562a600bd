"""``/metrics``: the numbers of a server in Prometheus' text format.

They are those of the database, the same whichever worker answers, and what a worker
counted is there after `tally.EVERY` seconds.

==========================================  ==============================================
``networkcache_contents_served_total``      by `result`: hit, filled (an upstream gave it
                                            meanwhile), miss
``networkcache_keys_looked_up_total``       by `result`: hit, miss; keys of batches, too
``networkcache_uploads_total``              by `kind`: content, entry
``networkcache_sent_bytes_total``           bodies of answers
``networkcache_received_bytes_total``       bodies of requests
``networkcache_filled_bytes_total``         from upstreams
``networkcache_refused_total``              by `code`: the codes of ``Networkcache-Error``
``networkcache_upstream_requests_total``    by `upstream`, the number of it from 1
``networkcache_upstream_failures_total``    those that gave nothing
``networkcache_upstream_state``             by `upstream` and `state`: 1 for its state
``networkcache_outgoing_entries``           that are to go on upstream, ``_failed`` those
                                            that were tried in vain
``networkcache_contents``, ``_entries``     what is kept, and ``_bytes`` of each
``networkcache_fetched_contents``           of these, what upstreams gave, and ``_bytes``
``networkcache_promised_bytes``             to transfers on their way
``networkcache_account_bytes``              by `account`: contents and entries; only for who
                                            asks on this computer, or with ``--show-names``
``networkcache_oldest_use_age_seconds``     since the content that was asked for longest ago
                                            was last used
``networkcache_disk_free_bytes``            of the disk, and ``_total_bytes``
``networkcache_check_end_seconds``          when the last check ended, POSIX time
``networkcache_check_found``                by `what`: what it counted
==========================================  ==============================================
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ..accounts.nearby import ShowsNames
from ..http.answers import TEXT, Answer
from ..threads import Threads
from .overview import Check, Overview
from .statistics import Statistics

_HEADERS = {**TEXT, "Content-Type": CONTENT_TYPE_PLAIN_0_0_4}


class Metrics:
    """Answers ``/metrics``."""

    def __init__(self, statistics: Statistics, threads: Threads, names: ShowsNames):
        self._statistics = statistics
        self._threads = threads
        self._names = names

    def methods(self, name: str | None) -> tuple[str, ...]:
        return ("GET", "HEAD")

    async def answer(self, request: web.BaseRequest, name: str | None) -> Answer:
        overview = await self._threads.read(self._statistics.overview)
        families = [*_families(overview, time.time())]
        if self._names(request):
            families.append(_by_account(overview))
        return Answer(200, _HEADERS, _text(families))


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]):
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _text(families: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Collected(families))
    return generate_latest(registry)


def _families(overview: Overview, now: float) -> Iterator[Metric]:
    yield from _traffic(overview)
    yield from _upstreams(overview)
    yield from _kept(overview, now)
    if overview.check is not None:
        yield from _check(overview.check)


def _traffic(overview: Overview) -> Iterator[Metric]:
    count = overview.count
    yield _counter(
        "contents_served",
        "Contents that were asked for",
        "result",
        {
            "hit": count("content-hits"),
            "filled": count("content-filled"),
            "miss": count("content-misses"),
        },
    )
    yield _counter(
        "keys_looked_up",
        "Keys that were asked for",
        "result",
        {"hit": count("entry-hits"), "miss": count("entry-misses")},
    )
    yield _counter(
        "uploads",
        "Contents and entries that were put",
        "kind",
        {"content": count("content-uploads"), "entry": count("entry-uploads")},
    )
    for way, what in (
        ("sent", "Bytes of bodies of answers"),
        ("received", "Bytes of bodies of requests"),
        ("filled", "Bytes that upstreams gave"),
    ):
        yield CounterMetricFamily(_name(f"{way}_bytes"), what, value=count(f"bytes-{way}"))
    refused = overview.labelled("refused")
    yield _counter("refused", "Requests that were refused", "code", refused)


def _upstreams(overview: Overview) -> Iterator[Metric]:
    for counts, name, what in (
        ("upstream-asked", "upstream_requests", "Requests to an upstream"),
        ("upstream-failed", "upstream_failures", "Requests that gave nothing"),
    ):
        yield _counter(name, what, "upstream", overview.labelled(counts))
    state = GaugeMetricFamily(
        _name("upstream_state"), "The state it is in", labels=("upstream", "state")
    )
    for upstream in overview.upstreams:
        state.add_metric((str(upstream.number), upstream.state), 1)
    yield state
    yield _gauge("outgoing_entries", "To go on upstream", overview.outgoing.pairs)
    yield _gauge(
        "outgoing_entries_failed", "Of these, tried in vain", overview.outgoing.failed
    )


def _kept(overview: Overview, now: float) -> Iterator[Metric]:
    total, fetched = overview.total, overview.fetched
    yield _gauge("contents", "Contents that are kept", total.contents)
    yield _gauge("contents_bytes", "Bytes of these", total.content_bytes)
    yield _gauge("entries", "Signed entries that are kept", total.pairs)
    yield _gauge("entries_bytes", "Bytes of these", total.pair_bytes)
    yield _gauge("fetched_contents", "Contents that upstreams gave", fetched.contents)
    yield _gauge("fetched_contents_bytes", "Bytes of these", fetched.content_bytes)
    yield _gauge("promised_bytes", "To transfers on their way", overview.promised)
    if overview.least_used is not None:
        yield _gauge(
            "oldest_use_age_seconds",
            "Since the content that was asked for longest ago was last used",
            max(0.0, now - overview.least_used),
        )
    yield _gauge("disk_free_bytes", "Of the disk, free", overview.disk.free)
    yield _gauge("disk_total_bytes", "Of the disk", overview.disk.total)


def _check(check: Check) -> Iterator[Metric]:
    yield _gauge("check_end_seconds", "When the last check ended", check.ended)
    found = GaugeMetricFamily(
        _name("check_found"), "What the last check counted", labels=("what",)
    )
    for what, number in sorted(check.numbers.items()):
        found.add_metric((what,), number)
    yield found


def _by_account(overview: Overview) -> Metric:
    family = GaugeMetricFamily(
        _name("account_bytes"), "Contents and entries that it put", labels=("account",)
    )
    for share in overview.shares:
        family.add_metric((share.account,), share.bytes)
    return family


def _counter(name: str, what: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(_name(name), what, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(_name(name), what, value=value)


def _name(name: str) -> str:
    return f"networkcache_{name}"
