"""Handlers without a broker, and by them what a shard says and refuses."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator, Iterator, List, Tuple

import pytest

from gridloom import Hold, Permanent, Probe, Retry, Shard, Stopped, Worker, slice_of, testing

NAMES = [f"{n}.jpg" for n in range(100)]


def resize(shard: Shard) -> None:
    for name in NAMES:
        if shard.owns(name):
            shard.check()
            shard.rows()
            shard.count("bytes", len(name))
    shard.result({"width": shard.params["width"]})


def test_one_shard() -> None:
    outcome = testing.run(resize, params={"width": 200}, slices=4, slice=1)
    assert outcome.ok and outcome.result == '{"width": 200}'
    assert outcome.rows == sum(slice_of(name, 4) == 1 for name in NAMES)


def test_whole_grid_does_each_record_once() -> None:
    whole = testing.run_all(resize, params={"width": 1}, slices=7).check()
    assert (whole.ok, whole.rows, len(whole.outcomes)) == (True, 100, 7)
    assert whole.counters == {"bytes": sum(map(len, NAMES))}


def test_stop_is_heard_at_a_check() -> None:
    outcome = testing.run(resize, params={}, stop_after_checks=10)
    assert (outcome.kind, outcome.ok) == ("stopped", False)
    assert isinstance(outcome.raised, Stopped) and str(outcome.raised) == "lease lost"


def test_failures_are_told_as_the_ledger_has_them() -> None:
    def fails(shard: Shard) -> None:
        errors: List[BaseException] = [Retry("a", after=2), Permanent("b"), Hold(3, "c"), ValueError(), OSError(2, "no file")]
        raise errors[shard.page]

    found = [testing.run(fails, page=page) for page in range(5)]
    assert [(one.kind, one.after, one.error) for one in found] == [
        ("retry", 2.0, "a"),
        ("permanent", None, "b"),
        ("hold", 3.0, "c"),
        ("retry", None, "ValueError"),
        ("retry", None, "FileNotFoundError: [Errno 2] no file"),
    ]
    async def forgets(shard: Shard) -> Any:
        return Permanent("meant to be raised")

    handlers: List[Any] = [forgets, lambda shard: Permanent("meant to be raised")]
    for handler in handlers:
        assert testing.run(handler).error == "meant to be raised"
    with pytest.raises(AssertionError, match="shard 0/1: permanent: b"):
        testing.run_all(fails, pages=2).outcomes[1].check()


class Group(Exception):
    """As groups are, also before Python 3.11."""

    def __init__(self, *inner: BaseException) -> None:
        super().__init__("errors in a TaskGroup")
        self.exceptions = inner


def test_group_says_what_is_in_it_and_the_first_word_in_it_counts() -> None:
    def fails(shard: Shard) -> None:
        groups = [Group(ValueError("a"), Permanent("b")), Group(Group(Hold(3, "c"))), Group(OSError("d"))]
        raise groups[shard.page]

    found = [testing.run(fails, page=page) for page in range(3)]
    assert [(one.kind, one.after) for one in found] == [("permanent", None), ("hold", 3.0), ("retry", None)]
    assert (found[0].error or "").endswith("Group: errors in a TaskGroup: ValueError: a; b")
    assert (found[2].error or "").endswith("OSError: d")

    def stops(shard: Shard) -> None:
        try:
            shard.check()
        except Stopped as stopped:
            raise Group(stopped)

    assert testing.run(stops, stop_after_checks=0).kind == "stopped"


def test_class_of_somebodys_own_says_nothing_that_ends_the_connection() -> None:
    class Busy(Hold):
        def __init__(self) -> None:
            Exception.__init__(self, "busy")

    class Odd(Permanent):
        kind = "odd"
        after_ms = float("nan")  # type: ignore[assignment]

        @property
        def exceptions(self) -> None:
            raise RuntimeError

    def fails(shard: Shard) -> None:
        raise [Busy(), Odd("x")][shard.page]

    found = [testing.run(fails, page=page) for page in range(2)]
    assert [(one.kind, one.after, one.error) for one in found] == [("hold", 0.0, "busy"), ("retry", None, "x")]


def test_what_is_counted_behind_the_end_comes_too_late() -> None:
    kept: List[Shard] = []

    def counts(shard: Shard) -> None:
        shard.count("bytes", 1)
        kept.append(shard)

    shard = testing.shard()
    counts(shard)
    said = shard._done()
    shard.count("bytes", 1)
    assert said["counters"] == {"bytes": 1}


def test_async_handlers_run_as_well() -> None:
    async def handler(shard: Shard) -> None:
        await asyncio.sleep(0)
        shard.rows(shard.page)

    assert testing.run_all(handler, pages=3).check().rows == 3


def test_probe_is_asked_until_the_end() -> None:
    def pages(probe: Probe) -> Iterator[Tuple[int, int]]:
        assert not isinstance(probe.after, str)
        for first in range((probe.after or 0) + 1, 100, 10):
            yield first, min(first + 9, 99)

    assert testing.probe(pages) == [(n, min(n + 9, 99)) for n in range(1, 100, 10)]
    # One page an answer, and the same comes out.
    assert testing.probe(pages, pages_max=1) == testing.probe(pages)
    assert testing.probe(pages, room=20) == testing.probe(pages)

    async def asynchronous(probe: Probe) -> AsyncIterator[Tuple[str, str]]:
        for first, last in (("a", "b"), ("c", "d")):
            if probe.after is None or first > str(probe.after):
                yield first, last

    assert testing.probe(asynchronous, pages_max=1) == [("a", "b"), ("c", "d")]

    def handler(shard: Shard) -> None:
        assert shard.bounds is not None
        first, last = shard.bounds
        shard.rows(int(last) - int(first) + 1)

    assert testing.run_all(handler, slices=2, pages=pages).check().rows == 198


@pytest.mark.parametrize(
    "pages",
    [
        [(1, 9), (9, 12)],
        [(1, 9), (5, 12)],
        [(5, 4)],
        [("a", "b"), ("b", "c")],
        [("a", "b"), ("c", "a")],
        [(1, 2), ("a", "b")],
        [(1, "a")],
        [(1.5, 2)],
        [(True, 2)],
        [(1, 2**63)],
        [("x" * 257, "y")],
        [1],
        [(1, 2, 3)],
    ],
)
def test_pages_by_which_a_row_would_be_done_twice_are_refused(pages: List[Any]) -> None:
    with pytest.raises(Permanent):
        testing.probe(lambda _: pages)


def test_texts_are_ordered_by_their_database_alone() -> None:
    pages = [("a", "a"), ("B", "b"), ("A", "c")]
    assert testing.probe(lambda _: pages) == pages


def test_page_that_begins_where_the_last_answer_ended_is_refused() -> None:
    with pytest.raises(Permanent, match="unique"):
        testing.probe(lambda probe: [(7, 7), (8, 8)] if probe.after is None else [(7, 9)], pages_max=1)


def test_counting_what_is_no_whole_number_is_an_error_at_once() -> None:
    made = testing.shard()
    with pytest.raises(TypeError):
        made.rows(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        made.rows(-1)
    with pytest.raises(TypeError):
        made.count(b"x")  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        made.result(float("nan"))


def test_time_is_told() -> None:
    made = testing.shard(timeout=60)
    assert made.remaining is not None and 59 < made.remaining <= 60
    assert made.deadline is not None and made.deadline.tzinfo is not None
    assert (testing.shard().remaining, testing.shard().deadline) == (None, None)


def test_params_left_out_are_an_empty_table() -> None:
    assert (testing.shard().params, testing.shard().settings) == ({}, {})
    assert testing.shard(bounds=("a", "b")).bounds == ("a", "b")
    assert testing.shard(slice=3, slices=16, page=2).key == "00000000000000ff-3-2"


def test_wait_that_is_none_is_refused() -> None:
    for seconds in (-1, float("nan")):
        with pytest.raises(ValueError):
            Hold(seconds)
    assert Hold(1e300).after_ms == 30 * 24 * 3_600 * 1_000


def test_what_could_not_work_is_refused_where_it_is_written() -> None:
    worker = Worker()
    with pytest.raises(ValueError, match="a-z"):
        worker.handler("Resize")
        worker.handler("Resize")(resize)
    worker.handler("resize")(resize)
    with pytest.raises(ValueError, match="already"):
        worker.handler("resize")(resize)

    def generates(shard: Shard) -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="yield"):
        worker.handler("generates")(generates)  # type: ignore[type-var]
    worker.pages("lost")(lambda probe: [])
    with pytest.raises(ValueError, match="lost"):
        worker.run()
    with pytest.raises(ValueError, match="without handlers"):
        Worker().run()
    for slots in (0, 10_001):
        with pytest.raises(ValueError, match="slots"):
            Worker(slots=slots)


def test_version_is_the_same_everywhere() -> None:
    from pathlib import Path

    import gridloom
    from gridloom.child import SDK

    here = Path(__file__).parents[1]
    assert f'version = "{gridloom.__version__}"' in (here / "pyproject.toml").read_text()
    assert f'\nversion = "{gridloom.__version__}"' in (here.parents[1] / "Cargo.toml").read_text()
    assert SDK == f"python {gridloom.__version__}"
