"""What a worker can do: functions by name, and whether each is for a thread or for the event loop."""

from __future__ import annotations

import functools
import inspect
import re
from typing import Any, AsyncIterable, Awaitable, Callable, Dict, Iterable, Optional, Union

from .shard import Probe, Shard

__all__ = ["Handlers", "Pages", "Run", "is_async"]

#: A handler, ``def`` or ``async def``. What it returns is not looked at.
Run = Callable[[Shard], Union[None, Awaitable[None]]]
#: Says the pages of a slice: a generator, ``async`` or not, or a function that returns a list.
Pages = Callable[[Probe], Union[Iterable[Any], AsyncIterable[Any], Awaitable[Iterable[Any]]]]

_NAME = re.compile(r"[a-z0-9-]{1,48}")


class Handlers:
    """Handlers and their probes by name."""

    def __init__(self) -> None:
        self.runs: Dict[str, Run] = {}
        self.pages: Dict[str, Pages] = {}

    def add_run(self, name: str, run: Run) -> None:
        """Registers a handler."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"handler {name!r}: a name has 1 to 48 of a-z, 0-9 and -, as a job file says it")
        if name in self.runs:
            raise ValueError(f"handler {name!r} is there already")
        if not callable(run):
            raise TypeError(f"handler {name!r} is no function")
        if _is(run, inspect.isgeneratorfunction) or _is(run, inspect.isasyncgenfunction):
            raise TypeError(f"handler {name!r} has a yield, so calling it does nothing: take that out")
        self.runs[name] = run

    def add_pages(self, name: str, pages: Pages) -> None:
        """Registers the probe of a handler."""
        if name in self.pages:
            raise ValueError(f"handler {name!r} has its pages already")
        if not callable(pages):
            raise TypeError(f"pages of handler {name!r} are no function")
        self.pages[name] = pages

    def check(self) -> None:
        """Refuses what could not work."""
        if not self.runs:
            raise ValueError('a worker without handlers: write @worker.handler("NAME") above a function')
        lost = self.pages.keys() - self.runs.keys()
        if lost:
            raise ValueError(f"pages of {sorted(lost)}, which are no handlers of this worker")


def is_async(function: Callable[..., Any]) -> bool:
    """Whether it belongs into the event loop."""
    return _is(function, inspect.iscoroutinefunction) or _is(function, inspect.isasyncgenfunction)


def _is(function: Callable[..., Any], kind: Callable[[Any], bool]) -> bool:
    """Also of a ``functools.partial``, and of an object with ``__call__``."""
    while isinstance(function, functools.partial):
        function = function.func
    call: Optional[Any] = getattr(type(function), "__call__", None)
    return kind(function) or (call is not None and kind(call))
