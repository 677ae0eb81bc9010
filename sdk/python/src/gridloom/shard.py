"""What a handler sees of its shard, and what it may say about it. Nothing here knows of the socket."""

from __future__ import annotations

import asyncio
import copy
import json
import operator
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from .failure import Permanent, Stopped, members, told
from .slicing import slice_of

__all__ = ["Attempt", "Key", "Probe", "Shard"]

#: One value of the key that bounds pages.
Key = Union[int, str]

#: What the ledger has room for, a shard.
COUNTERS_MAX, COUNTER_NAME_MAX, RESULT_MAX = 16, 48, 1024
_INT64 = range(-(2**63), 2**63)
#: Why a shard is to stop, in words.
_WHY = {
    "lease": "lease lost",
    "cancelled": "cancelled",
    "time": "out of time",
    "stopping": "worker is stopping",
    "gone": "the worker is gone",
}


class Tile:
    """What the shards of one message have in common."""

    __slots__ = ("said", "current", "came")

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.said = said
        #: The one that is executed.
        self.current: Optional[Attempt] = None
        self.came = time.monotonic()


class Attempt:
    """An attempt at a shard, or at a probe."""

    __slots__ = ("id", "page", "_tile", "_said", "_begun", "_why", "_params")

    def __init__(self, tile: Tile, said: Mapping[str, Any]) -> None:
        self.id: int = said["id"]
        #: Column of the grid, from 0; of a probe, the number of the question.
        self.page: int = said["page"]
        self._tile = tile
        self._said = said
        #: On the monotonic clock; ``None``: it has not begun.
        self._begun: Optional[float] = None
        self._why: Optional[str] = None
        self._params: Any = _UNREAD

    @property
    def run(self) -> str:
        """The run that it is of."""
        return str(self._tile.said["run"])

    @property
    def job(self) -> str:
        """The name of its job."""
        return str(self._tile.said["job"])

    @property
    def handler(self) -> str:
        """The name under which its handler was registered."""
        return str(self._tile.said["handler"])

    @property
    def slice(self) -> int:
        """Row of the grid, from 0."""
        return int(self._tile.said["slice"])

    @property
    def slices(self) -> int:
        """How many slices the grid has."""
        return int(self._tile.said["slices"])

    @property
    def attempt(self) -> int:
        """Number of the attempt, from 1."""
        return int(self._tile.said["attempt"])

    @property
    def fence(self) -> int:
        """Of two holders of a shard the later one's is higher: a store that refuses lower ones is safe from the earlier."""
        return int(self._tile.said["fence"])

    @property
    def nonce(self) -> str:
        """Tells its run from an earlier one of the same id."""
        return str(self._tile.said["nonce"])

    @property
    def key(self) -> str:
        """The same for every attempt at this shard, and for no other shard ever: an ``Idempotency-Key``."""
        return f"{self.nonce}-{self.slice}-{self.page}"

    @property
    def traceparent(self) -> Optional[str]:
        """What a request to others carries as its header ``traceparent``, where the run is told of in a trace."""
        return self._said.get("traceparent")

    @property
    def params(self) -> Any:
        """The job's parameters with the submission's over them. A copy of this shard's own."""
        if self._params is _UNREAD:
            self._params = copy.deepcopy(self._tile.said.get("params"))
            if self._params is None:
                self._params = {}
        return self._params

    @property
    def settings(self) -> Any:
        """The table of the job file that is called like the handler: no submission can change it."""
        settings = copy.deepcopy(self._tile.said.get("settings"))
        return {} if settings is None else settings

    def owns(self, key: Union[str, int]) -> bool:
        """Whether the record with this key is in the shard's slice (docs/SLICING.md says how, also for SQL)."""
        return slice_of(key, self.slices) == self.slice

    def check(self) -> None:
        """Raises :class:`Stopped` when the attempt is to stop: cancelled, out of time, or its lease lost. To be asked
        before each step that another holder must not see done twice."""
        if self._why is not None:
            raise Stopped(_WHY.get(self._why, self._why))

    @property
    def stopped(self) -> bool:
        """Whether the attempt is to stop."""
        return self._why is not None

    @property
    def remaining(self) -> Optional[float]:
        """Seconds until it is out of time, by the job's ``limits.timeout``; ``None``: it has no limit."""
        limit = self._tile.said.get("timeout_ms")
        begun = self._tile.came if self._begun is None else self._begun
        return None if limit is None else begun + limit / 1_000 - time.monotonic()

    @property
    def deadline(self) -> Optional[datetime]:
        """When it is out of time, in UTC; ``None``: never."""
        left = self.remaining
        return None if left is None else datetime.now(timezone.utc) + timedelta(seconds=left)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.run} {self.slice}/{self.page} attempt {self.attempt}>"

    def _begin(self) -> None:
        tile = self._tile
        self._begun = tile.came if tile.current is None else time.monotonic()
        tile.current = self

    def _stop(self, why: str) -> None:
        self._why = why


_UNREAD: Any = object()


class Shard(Attempt):
    """One cell of the grid, in the hands of its handler."""

    __slots__ = ("_lock", "_rows", "_counters", "_result")

    def __init__(self, tile: Tile, said: Mapping[str, Any]) -> None:
        super().__init__(tile, said)
        # A handler may have threads of its own.
        self._lock = threading.Lock()
        self._rows = 0
        self._counters: Optional[Dict[str, int]] = None
        self._result: Optional[str] = None

    @property
    def bounds(self) -> Optional[Tuple[Key, Key]]:
        """First and last key of the page, both inside it, where the pages were probed."""
        first, last = self._said.get("from"), self._said.get("to")
        return None if first is None or last is None else (first, last)

    @property
    def offset(self) -> Optional[int]:
        """Rows of the slice before the page, where the grid has rows."""
        return self._said.get("offset")

    @property
    def limit(self) -> Optional[int]:
        """Rows of the page, where the grid has rows; ``None`` beside an offset: to the end of the slice."""
        return self._said.get("limit")

    def rows(self, n: int = 1) -> None:
        """Counts ``n`` more rows. What is said here counts only if the attempt succeeds."""
        n = operator.index(n)
        if n < 0:
            raise ValueError(f"rows only become more: {n}")
        with self._lock:
            self._rows += n

    def count(self, name: str, n: int = 1) -> None:
        """Adds ``n`` to the counter ``name``: at most 48 bytes, and 16 counters a shard, ``rows`` among them."""
        n = operator.index(n)
        if not isinstance(name, str):
            raise TypeError(f"the name of a counter is a str, not {type(name).__name__}")
        with self._lock:
            if name == "rows":
                self._rows += n
                return
            if self._counters is None:
                self._counters = {}
            self._counters[name] = self._counters.get(name, 0) + n

    def result(self, value: Any) -> None:
        """A small result, at most 1 KiB: a text, or anything that becomes one by ``json.dumps``. The last one counts."""
        self._result = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)

    def _fault(self) -> Optional[str]:
        """What was said that the ledger has no room for."""
        names: List[Tuple[str, int]] = list((self._counters or {}).items())
        for name, n in [("rows", self._rows), *names]:
            size = len(name.encode("utf-8", "replace"))
            if not 0 < size <= COUNTER_NAME_MAX:
                return f"counter name {name[:100]!r} must have 1 to {COUNTER_NAME_MAX} bytes"
            if n not in _INT64:
                return f"counter {name!r} of one shard goes beyond 64 bits: count in a larger unit"
        if self._rows < 0:
            return f"{self._rows} rows: rows only become more"
        if len(names) >= COUNTERS_MAX:
            return f"{len(names)} counters beside the rows, {COUNTERS_MAX - 1} are the most that a shard may have"
        size = len((self._result or "").encode("utf-8", "replace"))
        if size > RESULT_MAX:
            return f"result of {size} bytes is longer than {RESULT_MAX}: store it elsewhere"
        return None

    def _done(self) -> Dict[str, Any]:
        """What the engine is told of its success."""
        said: Dict[str, Any] = {"id": self.id}
        if self._rows:
            said["rows"] = self._rows
        if self._counters:
            # A copy: what a thread counts that the handler has left behind comes too late.
            said["counters"] = dict(self._counters)
        if self._result is not None:
            said["result"] = self._result
        return said


class Probe(Attempt):
    """A question to a handler: which pages does this slice have, behind the key ``after``?"""

    __slots__ = ()

    @property
    def after(self) -> Optional[Key]:
        """The last key that is known; ``None`` for the first question of the slice."""
        return self._said.get("after")

    @property
    def room(self) -> int:
        """How many bytes the keys of the answer may take. What is beyond it is left to the next question by itself."""
        return int(self._said["room"])

    @property
    def pages_max(self) -> int:
        """How many pages the answer may have."""
        return int(self._said["pages_max"])


def outcome(attempt: Attempt, error: Optional[BaseException]) -> Tuple[str, Dict[str, Any]]:
    """How an attempt is answered: ``done``, ``fail`` or ``stopped``, and with what."""
    if error is None:
        if not isinstance(attempt, Shard):
            return "done", {"id": attempt.id}
        # Nearly every shard says little.
        plain = attempt._counters is None and attempt._result is None and attempt._rows < 2**31
        fault = None if plain else attempt._fault()
        if fault is None and attempt._rows >= 0:
            return "done", attempt._done()
        error = Permanent(fault or attempt._fault() or "")
    if attempt.stopped and any(isinstance(one, (Stopped, asyncio.CancelledError)) for one in (error, *members(error))):
        return "stopped", {"id": attempt.id}
    return "fail", {"id": attempt.id, **told(error)}
