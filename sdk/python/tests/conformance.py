"""The program of docs/SDK-TEST.md, with handlers in threads or, called with ``async``, in the event loop.

    gridloom sdk-test -- python sdk/python/tests/conformance.py [async]
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from datetime import timedelta
from typing import AsyncIterator, Callable, Generator, Iterator, Optional, TextIO, Tuple

import gridloom

# With `sdk-test --attach` nobody says how many slots it has but itself.
worker = gridloom.Worker(slots=int(os.environ.get("SDK_TEST_SLOTS", "1")))
#: The next number of the whole process; ``next`` of it is one step.
numbers = itertools.count(1)

IN_LOOP = "async" in sys.argv[1:]
#: What a handler yields are milliseconds to wait.
Steps = Generator[int, None, None]
Handler = Callable[[gridloom.Shard], Optional[Steps]]


def handler(name: str) -> Callable[[Handler], Handler]:
    """Registers it as ``def`` or as ``async def``, which wait in ways of their own."""

    def register(steps: Handler) -> Handler:
        def in_thread(shard: gridloom.Shard) -> None:
            for ms in steps(shard) or ():
                time.sleep(ms / 1_000)

        async def in_loop(shard: gridloom.Shard) -> None:
            for ms in steps(shard) or ():
                await asyncio.sleep(ms / 1_000)

        if IN_LOOP:
            worker.handler(name)(in_loop)
        else:
            worker.handler(name)(in_thread)
        return steps

    return register


def said(line: str, where: Optional[TextIO] = None) -> None:
    # In one piece: ``print`` writes the end of a line by itself, and another thread may come between.
    stream = where or sys.stdout
    stream.write(line + "\n")
    stream.flush()


def text(shard: gridloom.Shard, name: str) -> str:
    return str(shard.params[name]) * int(shard.params.get("times", 1))


def after(shard: gridloom.Shard) -> timedelta:
    return timedelta(milliseconds=shard.params["after_ms"])


def shown(*values: object) -> str:
    return " ".join("-" if value is None else str(value) for value in values)


@handler("ok")
def ok(shard: gridloom.Shard) -> None:
    pass


@handler("where")
def where(shard: gridloom.Shard) -> None:
    place = shard.run, shard.job, shard.handler, shard.slice, shard.slices, shard.page
    shard.result(shown(*place, shard.attempt, shard.fence, shard.key, shard.traceparent))


@handler("echo")
def echo(shard: gridloom.Shard) -> None:
    shard.result(json.dumps(shard.params, ensure_ascii=False))


@handler("settings")
def settings(shard: gridloom.Shard) -> None:
    shard.result(json.dumps(shard.settings, ensure_ascii=False))


@handler("bounds")
def bounds(shard: gridloom.Shard) -> None:
    first, last = shard.bounds or (None, None)
    shard.result(shown(first, last, shard.offset, shard.limit))


@handler("owns")
def owns(shard: gridloom.Shard) -> None:
    shard.result("".join("1" if shard.owns(key) else "0" for key in shard.params["keys"]))


@handler("deadline")
def deadline(shard: gridloom.Shard) -> Steps:
    left = shard.remaining
    shard.result("-" if left is None else str(int(left * 1_000)))
    yield shard.params.get("ms", 0)


@handler("rows")
def rows(shard: gridloom.Shard) -> None:
    shard.rows(shard.params["rows"])


@handler("count")
def count(shard: gridloom.Shard) -> None:
    for name, n in shard.params["counters"].items():
        shard.count(name, n)


@handler("result")
def result(shard: gridloom.Shard) -> None:
    shard.result(text(shard, "text"))


@handler("retry")
def retry(shard: gridloom.Shard) -> None:
    raise gridloom.Retry(text(shard, "error"))


@handler("retry-after")
def retry_after(shard: gridloom.Shard) -> None:
    raise gridloom.Retry(text(shard, "error"), after=after(shard))


@handler("permanent")
def permanent(shard: gridloom.Shard) -> None:
    raise gridloom.Permanent(text(shard, "error"))


@handler("hold")
def hold(shard: gridloom.Shard) -> None:
    raise gridloom.Hold(after(shard), text(shard, "error"))


@handler("throw")
def throw(shard: gridloom.Shard) -> None:
    raise ValueError(text(shard, "error"))


@handler("bad-text")
def bad_text(shard: gridloom.Shard) -> None:
    raise gridloom.Retry("half \ud800")


@handler("exit")
def leave_at_once(shard: gridloom.Shard) -> None:
    os._exit(3)


@handler("until-stopped")
def until_stopped(shard: gridloom.Shard) -> Steps:
    if shard.params.get("only", shard.page) != shard.page:
        return
    if "rows" in shard.params:
        shard.rows(shard.params["rows"])
    said(f"begun {shard.key}")
    while True:
        shard.check()
        yield 5


@handler("span")
def span(shard: gridloom.Shard) -> Steps:
    first = next(numbers)
    yield shard.params.get("ms", 0)
    shard.result(f"{first} {next(numbers)}")


@handler("print")
def prints(shard: gridloom.Shard) -> None:
    said(shard.params["text"])
    said(shard.params["text"], sys.stderr)


@handler("leave")
def leave(shard: gridloom.Shard) -> None:
    worker.stop()


@handler("pages")
@handler("pages-text")
@handler("pages-fail")
def with_pages(shard: gridloom.Shard) -> None:
    pass


def deaf(shard: gridloom.Shard) -> None:
    said(f"begun {shard.key}")
    time.sleep(shard.params["ms"] / 1_000)


async def deaf_in_loop(shard: gridloom.Shard) -> None:
    said(f"begun {shard.key}")
    end = time.monotonic() + shard.params["ms"] / 1_000
    while time.monotonic() < end:
        try:
            await asyncio.sleep(end - time.monotonic())
        except asyncio.CancelledError:
            pass  # as a handler may that does not know better


worker.handler("ignore-stop")(deaf_in_loop if IN_LOOP else deaf)


def pages(probe: gridloom.Probe) -> Iterator[Tuple[int, int]]:
    first = 1 if probe.after is None else int(probe.after) + 1
    while first <= probe.params["last"]:
        yield first, min(first + probe.params["size"] - 1, probe.params["last"])
        first += int(probe.params["size"])


def pages_of_texts(probe: gridloom.Probe) -> Iterator[Tuple[str, str]]:
    for page in ("a", "b"), ("c", "é"), ("日本", "日本語"):
        if probe.after is None or page[0] > str(probe.after):
            yield page


def pages_that_fail(probe: gridloom.Probe) -> Iterator[Tuple[int, int]]:
    raise gridloom.Permanent("no such table")


def probe(name: str, found: Callable[[gridloom.Probe], Iterator[Tuple[gridloom.Key, gridloom.Key]]]) -> None:
    async def in_loop(probe: gridloom.Probe) -> AsyncIterator[Tuple[gridloom.Key, gridloom.Key]]:
        for page in found(probe):
            await asyncio.sleep(0)
            yield page

    if IN_LOOP:
        worker.pages(name)(in_loop)
    else:
        worker.pages(name)(found)


probe("pages", pages)
probe("pages-text", pages_of_texts)
probe("pages-fail", pages_that_fail)

if __name__ == "__main__":
    worker.run()
