"""Runs a handler without a broker: one shard, all shards of a small grid, or a probe.

    from gridloom import testing

    outcome = testing.run(resize, params={"bucket": "b"}, slices=4, slice=1)
    assert outcome.ok and outcome.rows == 3

    whole = testing.run_all(resize, params={"bucket": "b"}, slices=4)
    assert whole.rows == 10
"""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

from .failure import Stopped, failed
from .handlers import is_async
from .pages import Answer
from .shard import Key, Probe, Shard, Tile, outcome

__all__ = ["Outcome", "Whole", "probe", "run", "run_all", "shard"]

#: What one answer to a probe has room for, at a broker as it comes.
ROOM, PAGES_MAX = 786_432, 4_096


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt."""

    #: ``done``, ``retry``, ``permanent``, ``hold`` or ``stopped``.
    kind: str
    rows: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    result: Optional[str] = None
    #: The error as the ledger would have it.
    error: Optional[str] = None
    #: Seconds until the next attempt, where the handler said so.
    after: Optional[float] = None
    #: What the handler raised.
    raised: Optional[BaseException] = field(default=None, compare=False)
    slice: int = 0
    page: int = 0

    @property
    def ok(self) -> bool:
        """Whether the shard would be committed."""
        return self.kind == "done"

    def check(self) -> Outcome:
        """Itself where it is ``ok``; otherwise raises what the handler raised."""
        if not self.ok:
            raise AssertionError(f"shard {self.slice}/{self.page}: {self.kind}: {self.error}") from self.raised
        return self


@dataclass(frozen=True)
class Whole:
    """What became of all shards of a grid."""

    outcomes: List[Outcome]

    @property
    def ok(self) -> bool:
        """Whether each shard would be committed."""
        return all(outcome.ok for outcome in self.outcomes)

    @property
    def rows(self) -> int:
        """Rows of all that succeeded."""
        return sum(outcome.rows for outcome in self.outcomes)

    @property
    def counters(self) -> Dict[str, int]:
        """Counters of all that succeeded."""
        sums: Dict[str, int] = {}
        for one in self.outcomes:
            for name, n in one.counters.items():
                sums[name] = sums.get(name, 0) + n
        return sums

    def check(self) -> Whole:
        """Itself where all are ``ok``; otherwise raises what the first one raised that is not."""
        for one in self.outcomes:
            one.check()
        return self


class _Stopping:
    """Tells a shard to stop when it asks for the n-th time."""

    def __init__(self, shard: Shard, checks: int, why: str) -> None:
        self._shard, self._left, self._why = shard, checks, why

    def look(self) -> None:
        self._left -= 1
        if self._left < 0:
            self._shard._stop(self._why)


class _Watched(Shard):
    """A shard whose checks are counted."""

    __slots__ = ("_watch",)
    _watch: Optional[_Stopping]

    def check(self) -> None:
        if self._watch is not None:
            self._watch.look()
        super().check()


def shard(
    *,
    params: Any = None,
    settings: Any = None,
    slice: int = 0,
    slices: int = 1,
    page: int = 0,
    bounds: Optional[Tuple[Key, Key]] = None,
    offset: Optional[int] = None,
    limit: Optional[int] = None,
    attempt: int = 1,
    fence: int = 1,
    timeout: Optional[float] = None,
    job: str = "test",
    handler: str = "test",
    traceparent: Optional[str] = None,
    stop_after_checks: Optional[int] = None,
    why: str = "lease",
) -> Shard:
    """A shard of a made-up run. ``stop_after_checks``: so many calls of ``check()`` go well, the next one says that it is
    to stop, because of ``why`` (``lease``, ``cancelled``, ``time``, ``stopping``)."""
    said: Dict[str, Any] = {"id": 1, "page": page, "offset": offset, "limit": limit, "traceparent": traceparent}
    if bounds is not None:
        said.update({"from": bounds[0], "to": bounds[1]})
    tile = _tile(params, settings, slice, slices, attempt, fence, timeout, job, handler)
    made = _Watched(tile, said)
    made._watch = None if stop_after_checks is None else _Stopping(made, stop_after_checks, why)
    return made


def run(handler: Callable[[Shard], Any], on: Optional[Shard] = None, **said: Any) -> Outcome:
    """Runs a handler, ``def`` or ``async def``, on a shard: ``on``, or what :func:`shard` makes of the other arguments."""
    given = shard(**said) if on is None else on
    given._begin()
    raised: Optional[BaseException] = None
    try:
        returned = handler(given)
        if inspect.isawaitable(returned):
            returned = asyncio.run(_awaited(returned))
        raised = failed(returned)
    except (Exception, Stopped, asyncio.CancelledError, SystemExit) as error:
        raised = error  # KeyboardInterrupt is for whoever runs the tests
    kind, told = outcome(given, raised)
    after = told.get("after_ms")
    return Outcome(
        kind=told["kind"] if kind == "fail" else kind,
        rows=told.get("rows", 0),
        counters=dict(told.get("counters", {})),
        result=told.get("result"),
        error=told.get("error"),
        after=None if after is None else after / 1_000,
        raised=raised,
        slice=given.slice,
        page=given.page,
    )


def run_all(
    handler: Callable[[Shard], Any],
    *,
    slices: int = 1,
    pages: Union[int, Callable[[Probe], Any]] = 1,
    **said: Any,
) -> Whole:
    """Runs a handler on each shard of a grid, one after the other: so many pages a slice, or those that a probe finds."""
    outcomes = []
    for number in range(slices):
        if callable(pages):
            asked = {name: said[name] for name in ("params", "settings", "job") if name in said}
            found: List[Optional[Tuple[Key, Key]]] = [*probe(pages, slice=number, slices=slices, **asked)]
        else:
            found = [None] * pages
        for page, bounds in enumerate(found):
            outcomes.append(run(handler, slice=number, slices=slices, page=page, bounds=bounds, **said))
    return Whole(outcomes)


def probe(
    pages: Callable[[Probe], Any],
    *,
    params: Any = None,
    settings: Any = None,
    slice: int = 0,
    slices: int = 1,
    job: str = "test",
    room: int = ROOM,
    pages_max: int = PAGES_MAX,
) -> List[Tuple[Key, Key]]:
    """Asks for the pages of a slice until there are no more, as the engine does; what it would refuse is raised."""
    found: List[Tuple[Key, Key]] = []
    after: Optional[Key] = None
    for number in range(1_000_000):
        said = {"id": 1, "page": number, "after": after, "room": room, "pages_max": pages_max}
        asked = Probe(_tile(params, settings, slice, slices, 1, 1, None, job, "test"), said)
        answer = Answer(asked)
        if is_async(pages):
            asyncio.run(answer.fill_async(pages))
        else:
            answer.fill(pages)
        found.extend(answer.pages)
        after = answer.cursor
        if after is None:
            return found
    raise AssertionError("a probe that finds no end: does it heed probe.after?")


async def _awaited(returned: Any) -> Any:
    return await returned


def _tile(
    params: Any,
    settings: Any,
    slice: int,
    slices: int,
    attempt: int,
    fence: int,
    timeout: Optional[float],
    job: str,
    handler: str,
) -> Tile:
    if not 0 <= slice < slices:
        raise ValueError(f"slice {slice} of {slices}: slices are numbered from 0")
    timeout_ms = None if timeout is None else int(timeout * 1_000)
    named = {"run": f"{job}_r_test", "job": job, "handler": handler, "nonce": "00000000000000ff"}
    grid = {"slice": slice, "slices": slices, "attempt": attempt, "fence": fence}
    return Tile({**named, **grid, "params": params, "settings": settings, "timeout_ms": timeout_ms})

