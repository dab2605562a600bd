"""What a server knows of itself, and the plots that are made of it."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from itertools import pairwise
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slapos.networkcache.digest import Digest
from slapos.networkcache.key import Key
from slapos.networkcache.server.monitoring.overview import (
    Check,
    Outgoing,
    Share,
    Span,
    UpstreamState,
)
from slapos.networkcache.server.monitoring.samples import BYTES, CONTENTS, KEPT, sample
from slapos.networkcache.server.monitoring.statistics import Cached, Statistics
from slapos.networkcache.server.pages import plots
from slapos.networkcache.storage.database import Database
from slapos.networkcache.storage.disk import Space
from slapos.networkcache.storage.schema import content_number
from slapos.networkcache.testing.running import in_threads

HOUR, DAY = 3600, 86400


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "entries.sqlite")
    yield database
    database.close()


@pytest.fixture
def statistics(database, tmp_path):
    return Statistics(database, tmp_path, ["near", "far"])


def insert(database, table, **columns):
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"
    database.change(lambda c: c.execute(statement, tuple(columns.values())))


def content(database, data, account="", *, fetched=0, used=0):
    digest = Digest.of(data)
    insert(
        database, "content", digest=digest.raw, number=content_number(digest.raw),
        size=len(data), account=account, fetched=fetched, stored=0, used=used,
    )  # fmt: skip


def entry(database, key, text, *, account="", put=0, hidden=0):
    insert(
        database, "entry", key=key, account=account, hidden=hidden, size=len(text),
        entry=text, signature="", put=put,
    )  # fmt: skip


def counted(database, hour, **counts):
    for name, value in counts.items():
        insert(database, "traffic", hour=hour, name=name.replace("_", "-"), value=value)


# -- the state of now


def test_shares_of_accounts_and_what_was_fetched(database, statistics):
    content(database, b"12345", "small", used=70)
    content(database, b"x" * 1000, "large", used=60)
    content(database, b"y" * 10, "large", used=50)
    content(database, b"z" * 300, "large", fetched=1, used=40)
    content(database, b"w" * 200, "", fetched=1, used=30)
    entry(database, "a", "123", account="small")
    entry(database, "b", "12", account="only entries")
    overview = statistics.overview()
    assert list(overview.shares) == [
        Share("large", 2, 1010, 0, 0),
        Share("small", 1, 5, 1, 3),
        Share("only entries", 0, 0, 1, 2),
    ]
    assert overview.fetched == Share("", 2, 500)
    assert overview.total == Share("", 5, 1515, 2, 5)
    assert overview.least_used == 30


def test_what_was_put_may_be_older_than_what_was_fetched(database, statistics):
    content(database, b"put", used=10)
    content(database, b"fetched", fetched=1, used=20)
    assert statistics.overview().least_used == 10


def test_a_new_server_has_nothing(statistics, tmp_path):
    overview = statistics.overview()
    assert overview.total == Share("")
    assert overview.least_used is None
    assert overview.check is None
    assert overview.outgoing == Outgoing(0, None, 0)
    assert [u.state for u in overview.upstreams] == ["well", "well"]
    assert isinstance(overview.disk, Space)
    assert 0 < overview.disk.free <= overview.disk.total


def test_upstreams_are_those_of_the_options(database, statistics):
    rows = {"state": "dead", "since": 5, "until": 9, "pause": 4, "error": "it timed out"}
    insert(database, "upstream", name="far", **rows)
    insert(database, "upstream", name="an earlier one", **rows)
    assert statistics.overview().upstreams == [
        UpstreamState(1, "near"),
        UpstreamState(2, "far", "dead", 5, 9, "it timed out"),
    ]


def test_what_waits_to_go_upstream(database, statistics):
    for since, tries in ((10, 0), (20, 3), (30, 1)):
        insert(
            database, "outgoing", key="k", entry="", signature="", since=since, tries=tries
        )
    assert statistics.overview().outgoing == Outgoing(3, 10, 2)


def test_counts_by_their_label(database, statistics):
    for name, value in (("refused:quota", 2), ("refused:busy", 3), ("content-hits", 4)):
        insert(database, "counter", name=name, value=value)
    overview = statistics.overview()
    assert overview.labelled("refused") == {"busy": 3, "quota": 2}
    assert overview.count("content-hits") == 4
    assert overview.count("content-misses") == 0


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        ({"bad_count": 0, "missing_count": 0, "orphans": 9}, 0),
        ({"bad_count": 2, "missing_count": 1, "repaired": 0}, 3),
        ({"bad_count": 2, "missing_count": 1, "repaired": 3}, 0),
    ],
)
def test_what_is_still_wrong_after_a_check(database, statistics, found, wrong):
    insert(database, "inspection", began=1, ended=2, found=json.dumps({}))
    insert(database, "inspection", began=3, ended=4, found=json.dumps(found))
    check = statistics.overview().check
    assert check == Check(3, 4, found)
    assert check.wrong == wrong


# -- over time


def test_the_last_48_hours(database, statistics):
    now = int(time.time()) // HOUR
    counted(database, now, content_hits=1)
    counted(database, now - 47, content_hits=47)
    counted(database, now - 48, content_hits=48)
    spans = statistics.hours()
    assert len(spans) == 48
    assert [(b.start - a.start) for a, b in pairwise(spans)] == [HOUR] * 47
    assert [span.of("content-hits") for span in spans] == [47, *[0] * 46, 1]


def test_the_last_90_days(database, statistics):
    today = int(time.time()) // DAY * 24
    counted(database, today - 49, content_hits=1, held_bytes=100)
    counted(database, today - 26, content_hits=2, held_bytes=900)
    counted(database, today - 25, content_hits=3, held_bytes=500)
    counted(database, today - 90 * 24, content_hits=1000)
    spans = statistics.days()
    assert len(spans) == 90
    assert spans[-1].start == today * HOUR
    assert [span.of("content-hits") for span in spans] == [*[0] * 86, 1, 5, 0, 0]
    # The space of a day is that of its end, and stays where nobody looked.
    assert [span.of(BYTES) for span in spans] == [*[0] * 86, 100, 500, 500, 500]


def test_a_sample_of_the_space(database):
    now = 5000 * HOUR
    insert(database, "traffic", hour=5000 - KEPT, name="content-hits", value=1)
    insert(database, "traffic", hour=5000 - KEPT - 1, name="content-hits", value=1)
    for data in (b"1", b"22"):
        content(database, data)
        database.change(lambda c: sample(c, now))
    assert database.rows("SELECT * FROM traffic ORDER BY hour, name") == [
        (5000 - KEPT, "content-hits", 1),
        (5000, BYTES, 3),
        (5000, CONTENTS, 2),
    ]


# -- what it costs


def test_nothing_goes_through_all_contents_or_pairs(database, statistics, monkeypatch):
    asked = []
    rows = Database.rows

    def noted(self, statement, parameters=()):
        asked.append((statement, parameters))
        return rows(self, statement, parameters)

    monkeypatch.setattr(Database, "rows", noted)
    for question in ("overview", "hours", "days", "recent", "checks", "quotas"):
        getattr(statistics, question)()
    statistics.use_of(Key("k"))
    plans = [
        step
        for statement, parameters in asked
        for *_, step in rows(database, f"EXPLAIN QUERY PLAN {statement}", parameters)
    ]
    over = [step for step in plans if re.search(r"\b(content|entry)\b", step)]
    assert Counter(over) == {
        "SEARCH content USING COVERING INDEX content_used (fetched=?)": 2,
        "SCAN entry": 1,  # of those put last: from its end, as far as the limit
    }
    assert not [step for step in plans if "ORDER BY" in step]


def test_the_newest_are_first(database, statistics):
    for number in range(100):
        entry(database, f"key-{number}", "{}", put=7)
    found = statistics.recent()
    assert [(r.key.text, r.put) for r in found[:2]] == [("key-99", 7), ("key-98", 7)]
    assert len(found) == 60


def test_many_who_ask_at_once_cost_one_answer():
    begun, asked = Event(), []

    def ask():
        asked.append(begun.wait(0.2))
        return len(asked)

    cached = Cached(ask, 60)
    in_threads(16, lambda number: cached())
    assert cached() == 1
    assert len(asked) == 1


def test_what_was_remembered_is_asked_anew_after_a_while():
    numbers = iter(range(10))
    cached = Cached(lambda: next(numbers), 0)
    first = cached()
    time.sleep(0.001)
    assert cached() > first


# -- plots

SERIES = [plots.Series("One", "one"), plots.Series("Two", "two")]
NUMBERS = st.integers(0, 1 << 60)


def spans_of(values, seconds=HOUR):
    return [
        Span(number * seconds, {"one": one, "two": two})
        for number, (one, two) in enumerate(values)
    ]


@settings(deadline=None)
@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), max_size=90),
    st.sampled_from([plots.COUNTS, plots.BYTES]),
    st.sampled_from([HOUR, DAY]),
)
def test_bars_are_as_high_as_their_numbers(values, scale, seconds):
    drawn = plots.plot("Title", spans_of(values, seconds), SERIES, scale)
    highest = max(map(sum, values), default=0)
    area = plots.BOTTOM - plots.TOP
    bars = iter(drawn.bars)
    lines = [line.place for line in drawn.across]
    assert 1 <= len(lines) <= 5
    assert lines == sorted(lines, reverse=True)
    assert all(plots.TOP <= place < plots.BOTTOM for place in lines)
    assert len({line.text for line in drawn.across}) == len(lines)
    # What is drawn highest reaches at least the line below the uppermost one.
    reached = min((bar.y for bar in drawn.bars), default=plots.BOTTOM)
    assert reached >= plots.TOP
    assert not highest or reached <= max(lines[-2:])
    for numbers in values:
        for series, number in enumerate(numbers):
            if number:
                bar = next(bars)
                assert bar.series == series
                assert plots.LEFT <= bar.x <= bar.x + bar.width <= plots.RIGHT
                share = number / highest * (plots.BOTTOM - reached)
                assert bar.height == pytest.approx(share, abs=0.011 * 3)
                assert bar.height <= area
    assert next(bars, None) is None
    rows = [row for row in values[::-1] if any(row)]
    assert [list(row.numbers) for row in drawn.rows] == [
        [scale.words(number) for number in row] for row in rows
    ]


def test_lines_across_have_round_numbers():
    def lines(highest, scale):
        spans = spans_of([(highest, 0)])
        return [line.text for line in plots.plot("", spans, SERIES, scale).across]

    assert lines(0, plots.COUNTS) == ["1"]
    assert lines(3, plots.COUNTS) == ["1", "2", "3"]
    assert lines(1332, plots.COUNTS) == ["500", "1,000", "1,500"]
    assert lines(700, plots.BYTES) == ["200 B", "400 B", "600 B", "800 B"]
    assert lines(1536 << 20, plots.BYTES) == ["0.5 GiB", "1 GiB", "1.5 GiB"]
    assert lines(3 << 40, plots.BYTES) == ["1 TiB", "2 TiB", "3 TiB"]


def test_a_plot_says_what_it_shows():
    hours = plots.plot("", spans_of([(1, 0), (5, 4), (2, 0)]), SERIES, plots.COUNTS)
    assert hours.summary == "Bars for each hour; the highest is 9, 1970-01-01 01:00."
    assert next(row.when for row in hours.rows) == "1970-01-01 02:00"
    days = plots.plot("", spans_of([(0, 0)] * 20, DAY), SERIES, plots.COUNTS)
    assert days.summary == "Nothing yet."
    assert [label.text for label in days.along] == ["1 Jan", "15 Jan"]
