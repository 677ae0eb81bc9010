"""Runs the shards that a worker sends: threads for ``def``, one event loop for ``async def`` (docs/CHILD-PROTOCOL.md).

The thread that calls :meth:`Child.serve` only receives, so ``stop`` is heard while handlers work. A tile has one thread,
or one task, that runs its shards one after the other.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import queue
import sys
import threading
import weakref
from typing import Any, Callable, Coroutine, Dict, Iterable, List, Mapping, Optional, Set

from .answers import Answers
from .failure import Failure, Permanent, Stopped, failed
from .frames import GONE, Connection, ProtocolError
from .handlers import Handlers, is_async
from .pages import Answer
from .shard import Attempt, Probe, Shard, Tile, outcome

__all__ = ["Child", "GONE"]

log = logging.getLogger("gridloom")

PROTOCOL = 1
#: What tasks that handlers have left in the loop get to end, in seconds.
_TIDY_S = 1.0
SDK = "python 0.1.0"

_CHILDREN: "weakref.WeakSet[Child]" = weakref.WeakSet()


class Child:
    """The side of a connection that runs shards."""

    def __init__(self, connection: Connection, handlers: Handlers, slots: int) -> None:
        self._connection, self._handlers, self._slots = connection, handlers, slots
        self._async = {name for name, run in handlers.runs.items() if is_async(run)}
        self._async_pages = {name for name, pages in handlers.pages.items() if is_async(pages)}
        self._process = os.getpid()
        # Whoever begins an attempt and whoever stops one that has not begun agree by this lock who answers it.
        self._lock = threading.Lock()
        #: What was given and is not answered.
        self._open: Dict[int, Attempt] = {}
        self._tiles: Set[Tile] = set()
        self._answers = Answers(connection, self._tiles)
        self._crew = _Crew(slots, self._broken)
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        #: Attempts in the loop, and the tiles that they are of.
        self._tasks: Dict[int, "asyncio.Task[Optional[BaseException]]"] = {}
        self._played: Set["asyncio.Task[None]"] = set()
        self._draining = False
        _CHILDREN.add(self)

    def leave(self) -> None:
        """Asks for nothing more; :meth:`serve` ends when all is answered. A signal handler may call it."""
        self._answers.bye()

    def asked_by(self, signals: Iterable[int]) -> int:
        """Where the numbers of signals may be written: these ask for nothing more, as :meth:`leave` does."""
        return self._answers.asked_by(signals)

    def serve(self, token: Optional[str]) -> bool:
        """Runs shards until the worker says ``drain`` (true), or is gone (false)."""
        hello: Dict[str, Any] = {"type": "hello", "protocol": [PROTOCOL, PROTOCOL], "sdk": SDK, "slots": self._slots}
        hello.update(handlers=list(self._handlers.runs), probes=list(self._handlers.pages))
        self._connection.send(hello if token is None else {**hello, "token": token})
        self._answers.start()
        drained = False
        try:
            drained = self._listen()
            return drained
        finally:
            if not drained:
                self._connection.end()  # whoever waits for room to send waits no more
            self._stop(list(self._open), "gone")
            self._answers.close()
            self._crew.close()
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                if drained:
                    self._turner.join(_TIDY_S)

    def _listen(self) -> bool:
        takes: Dict[str, Callable[[Mapping[str, Any]], None]] = {
            "shards": self._take,
            "probe": self._ask,
            "stop": lambda message: self._stop(message["ids"], message["why"]),
            "drain": self._drain,
        }
        while not (self._draining and not self._open):
            message = self._connection.receive()
            if message is None:
                return self._draining and not self._open
            take = takes.get(message["type"])
            if take is not None:
                try:
                    take(message)
                except (KeyError, TypeError) as error:
                    raise ProtocolError(f"a message {message['type']!r} that is none: {error!r}") from error
        return True

    def _take(self, message: Mapping[str, Any]) -> None:
        tile = Tile(message)
        shards = [Shard(tile, said) for said in message["shards"]]
        self._open.update((shard.id, shard) for shard in shards)
        self._tiles.add(tile)
        name = message["handler"]
        run = self._handlers.runs.get(name, _nobody)
        if name in self._async:
            self._in_loop(lambda: self._play_async(tile, run, shards))
        else:
            self._crew.give(lambda: self._play(tile, run, shards))

    def _ask(self, message: Mapping[str, Any]) -> None:
        tile = Tile(message)
        probe = Probe(tile, message)
        self._open[probe.id] = probe
        self._tiles.add(tile)
        name = message["handler"]
        pages = self._handlers.pages.get(name, _nobody)
        answer = Answer(probe)
        if name in self._async_pages:
            self._in_loop(lambda: self._play_async(tile, lambda _: answer.fill_async(pages), [probe], answer))
        else:
            self._crew.give(lambda: self._play(tile, lambda _: answer.fill(pages), [probe], answer))

    def _stop(self, ids: List[int], why: str) -> None:
        for id in ids:
            attempt = self._open.get(id)
            if attempt is None:
                continue  # answered already: both were under way at once
            with self._lock:
                attempt._stop(why)
                begun = attempt._begun is not None
            if not begun:
                self._answer(attempt, Stopped(why), more=id != ids[-1])
            elif self._loop is not None:
                self._loop.call_soon_threadsafe(self._cancel, id)

    def _cancel(self, id: int) -> None:
        task = self._tasks.get(id)
        if task is not None:
            task.cancel()

    def _drain(self, _: Mapping[str, Any]) -> None:
        self._draining = True

    def _play(self, tile: Tile, run: Callable[[Any], Any], attempts: List[Any], answer: Optional[Answer] = None) -> None:
        """One tile in a thread."""
        for attempt in attempts:
            if self._begin(tile, attempt):
                error: Optional[BaseException] = None
                try:
                    returned = run(attempt)
                    if returned is not None:
                        error = _not_awaited(returned) if inspect.isawaitable(returned) else failed(returned)
                except BaseException as raised:
                    error = raised
                self._end(tile, attempt, error, attempt is not attempts[-1], answer)
        self._close(tile)

    async def _play_async(
        self, tile: Tile, run: Callable[[Any], Any], attempts: List[Any], answer: Optional[Answer] = None
    ) -> None:
        """One tile in the event loop."""
        for attempt in attempts:
            if self._begin(tile, attempt):
                # A task of its own, so that cancelling it leaves the others of the tile alone.
                task = asyncio.ensure_future(_guarded(run, attempt))
                self._tasks[attempt.id] = task
                try:
                    error = await task
                except asyncio.CancelledError as cancelled:
                    error = cancelled  # before its first step
                del self._tasks[attempt.id]
                self._end(tile, attempt, error, attempt is not attempts[-1], answer)
        self._close(tile)

    def _begin(self, tile: Tile, attempt: Attempt) -> bool:
        with self._lock:
            if attempt.stopped:
                return False
            attempt._begin()
        return True

    def _end(
        self, tile: Tile, attempt: Attempt, error: Optional[BaseException], more: bool, answer: Optional[Answer]
    ) -> None:
        if os.getpid() != self._process:
            # A handler that forked and forgot to end the new process: the shard is the old one's.
            try:
                print("gridloom: a forked process came back from its handler: end it with os._exit", file=sys.stderr)
            finally:
                os._exit(GONE)  # whatever became of standard error: the old process may wait for this one
        if error is not None and not isinstance(error, (Failure, Stopped, asyncio.CancelledError)):
            self._report(attempt, error)
        if error is None and answer is not None:
            self._connection.send(answer.message())
            self._settled(attempt)
        else:
            self._answer(attempt, error, more)

    @staticmethod
    def _report(attempt: Attempt, error: BaseException) -> None:
        """Whoever logs may fail: the shard is answered all the same."""
        try:
            log.warning("%r failed", attempt, exc_info=error)
        except Exception:
            print(f"gridloom: {attempt!r} failed, and its exception cannot be logged", file=sys.stderr)

    def _answer(self, attempt: Attempt, error: Optional[BaseException], more: bool) -> None:
        self._answers.add(*outcome(attempt, error), more)
        self._settled(attempt)

    def _settled(self, attempt: Attempt) -> None:
        del self._open[attempt.id]
        if self._draining and not self._open:
            self._answers.flush()
            self._connection.hear_no_more()

    def _close(self, tile: Tile) -> None:
        self._tiles.discard(tile)
        self._answers.flush()

    def _in_loop(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._turner = threading.Thread(target=_turn, args=(self._loop,), name="gridloom-loop", daemon=True)
            self._turner.start()
        self._loop.call_soon_threadsafe(self._begin_tile, make)

    def _begin_tile(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.ensure_future(make())
        self._played.add(task)
        task.add_done_callback(self._ended_tile)

    def _ended_tile(self, task: "asyncio.Task[None]") -> None:
        self._played.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._broken(error)

    def _broken(self, error: BaseException) -> None:
        """A fault of this code: shards would never be answered. So the connection ends, and others run them."""
        log.critical("a tile cannot be answered", exc_info=error)
        self._connection.end()

    def _forget(self) -> None:
        """In a process that was forked: the connection is the parent's."""
        self._connection.forget()
        self._answers.forget()


class _Crew:
    """Threads, as many as are busy at once and no more than slots."""

    def __init__(self, most: int, broken: Callable[[BaseException], None]) -> None:
        self._most, self._broken = most, broken
        self._work: "queue.SimpleQueue[Optional[Callable[[], None]]]" = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads = 0

    def give(self, work: Callable[[], None]) -> None:
        if not self._idle.acquire(blocking=False) and self._threads < self._most:
            # Daemons: a handler that never ends must not keep the process.
            threading.Thread(target=self._serve, name=f"gridloom-{self._threads}", daemon=True).start()
            self._threads += 1
        self._work.put(work)

    def _serve(self) -> None:
        while True:
            work = self._work.get()
            if work is None:
                return
            try:
                work()
            except BaseException as error:
                self._broken(error)
            self._idle.release()

    def close(self) -> None:
        for _ in range(self._threads):
            self._work.put(None)


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    # What handlers have left there ends with it, as with asyncio.run.
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


async def _guarded(run: Callable[[Any], Any], attempt: Attempt) -> Optional[BaseException]:
    """What the handler raised, whatever it is: ``SystemExit`` would end the loop."""
    try:
        return failed(await run(attempt))
    except BaseException as error:
        return error


def _nobody(attempt: Attempt) -> None:
    raise Failure(f"handler {attempt.handler!r} is not known here")


def _not_awaited(returned: Any) -> Permanent:
    if inspect.iscoroutine(returned):
        returned.close()
    return Permanent("the handler returned something to await: declare it as async def")


def _forked() -> None:
    for child in list(_CHILDREN):
        child._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
