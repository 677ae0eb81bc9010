"""How an attempt ends that did not succeed, and whether another one is worth the while."""

from __future__ import annotations

import traceback
from datetime import timedelta
from typing import Dict, List, Optional, Tuple, Union

__all__ = ["Failure", "Hold", "Permanent", "Retry", "Stopped"]

#: Seconds, or a span of time.
Seconds = Union[float, int, timedelta]

#: Most bytes of an error that the ledger keeps.
ERROR_MAX = 1024
#: More of a group than this nobody reads.
_MEMBERS_MAX = 100
#: The longest wait that an engine keeps: 30 days. A longer one is taken for that.
WAIT_MAX_MS = 30 * 24 * 3_600 * 1_000


def milliseconds(wait: Seconds) -> int:
    """A wait as it is told to the engine."""
    seconds = wait.total_seconds() if isinstance(wait, timedelta) else float(wait)
    if not seconds >= 0:
        raise ValueError(f"a wait is some seconds from 0 up, not {wait!r}")
    return int(min(seconds * 1_000, WAIT_MAX_MS))


def failed(returned: object) -> Optional[BaseException]:
    """An exception that a handler returned, as one does that meant to raise it. Whatever else it returns says nothing."""
    return returned if isinstance(returned, BaseException) else None


class Failure(Exception):
    """What a handler raises to say what follows: :class:`Retry`, :class:`Permanent` or :class:`Hold`.

    Any other exception is tried again as the job's ``[retry]`` says.
    """

    kind = "retry"
    after_ms: Optional[int] = None


class Retry(Failure):
    """Another attempt follows after the job's backoff, or after ``after`` seconds, up to its ``max_attempts``."""

    def __init__(self, cause: object = "", after: Optional[Seconds] = None) -> None:
        super().__init__(cause)
        self.after_ms = None if after is None else milliseconds(after)


class Permanent(Failure):
    """No other attempt follows: the shard is dead."""

    kind = "permanent"


class Hold(Failure):
    """What the shard needs cannot serve for now: a rate limit (a 429), a replica that lags.

    Nothing of the whole job, or of any job that names the same ``limits.resource``, is issued before ``after``
    seconds are over; then this shard is tried again, and the attempt counts as none of its ``max_attempts``.
    """

    kind = "hold"

    def __init__(self, after: Seconds, cause: object = "") -> None:
        super().__init__(cause)
        self.after_ms = milliseconds(after)


class Stopped(BaseException):
    """The attempt is to stop: cancelled, out of time, or its lease lost. Raised by ``shard.check()``.

    No ``Exception``, as ``asyncio.CancelledError`` is none: a handler that goes on with the next row after ``except
    Exception`` must not go on after this.
    """


def told(error: BaseException) -> Dict[str, object]:
    """What the engine is told of an exception: ``kind``, ``after_ms`` where there is one, and ``error``."""
    failure = next((one for one in (error, *members(error)) if isinstance(one, Failure)), None)
    kind = failure.kind if failure is not None and failure.kind in ("permanent", "hold") else "retry"
    message: Dict[str, object] = {"kind": kind, "error": text_of(error)}
    # A class of somebody's own may say anything there, and a number that is none would end the connection.
    after = failure.after_ms if failure is not None else None
    if isinstance(after, (int, float)) and 0 <= after < float("inf"):
        message["after_ms"] = min(int(after), WAIT_MAX_MS)
    elif kind == "hold":
        message["after_ms"] = 0  # a hold says how long
    return message


def members(error: BaseException) -> Tuple[BaseException, ...]:
    """What a group of exceptions has in it, at every depth, as a ``TaskGroup`` raises them; nothing of any other one."""
    found: List[BaseException] = []
    left = [error]
    while left and len(found) < _MEMBERS_MAX:
        try:
            # Before Python 3.11 there is a package for them, whose class is another one.
            inner = getattr(left.pop(0), "exceptions", None)
        except Exception:
            continue  # an error that cannot be looked at
        if isinstance(inner, tuple) and all(isinstance(one, BaseException) for one in inner):
            found.extend(inner)
            left.extend(inner)
    return tuple(found)


def text_of(error: BaseException) -> str:
    """The exception with the chain of its causes, in one line of at most :data:`ERROR_MAX` bytes."""
    parts: List[str] = []
    seen = set()
    while True:
        seen.add(id(error))
        own = _one(error)
        inner = [_one(one) for one in members(error)]
        if inner:
            own = f"{own}: {'; '.join(inner)}"
        if own not in parts:
            parts.append(own)
        # What was being handled when this was raised says why, unless the code says otherwise.
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None or id(cause) in seen:
            break
        error = cause
    return cut(": ".join(parts))


def _one(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:
        said = "(its text cannot be made)"
    if isinstance(error, (Failure, Stopped)) and said:
        return said
    return "".join(traceback.format_exception_only(type(error), error)).strip() if said else type(error).__name__


def cut(text: str) -> str:
    """The text within :data:`ERROR_MAX` bytes of UTF-8, which it may be no longer."""
    return text.encode("utf-8", "replace")[:ERROR_MAX].decode("utf-8", "ignore")
