"""A worker: handlers by name, and the connection on which their shards come."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, Dict, Iterator, Optional, Sequence, TypeVar

from . import attach
from .child import GONE, Child
from .frames import Connection, ProtocolError, connect
from .handlers import Handlers, Pages, Run

__all__ = ["Worker"]

R = TypeVar("R", bound=Run)
P = TypeVar("P", bound=Pages)

#: What the signals were before :meth:`Worker.run`: a process that a handler forks has them again.
_BEFORE: Dict[int, Any] = {}


class Worker:
    """Runs shards by handlers that are registered here.

    ``slots``: how many tiles run at once, in threads (``def``) or in one event loop (``async def``).

    Started by ``gridloom worker -- python worker.py``, that command says broker, queue, processes and slots. Started by
    itself, :meth:`run` starts ``gridloom worker --attach``: for that are ``queue``, ``nats`` (otherwise its own settings, as
    docs/CONFIG.md has them), ``options`` for other flags of it, and ``command``, the path of the program.
    """

    def __init__(
        self,
        *,
        slots: int = 1,
        queue: Optional[str] = None,
        nats: Optional[str] = None,
        options: Sequence[str] = (),
        command: Optional[str] = None,
    ) -> None:
        if not 1 <= slots <= 10_000:
            raise ValueError(f"slots={slots}: 1 to 10,000 tiles at once")
        self._slots, self._handlers = slots, Handlers()
        self._engine = attach.Engine(queue=queue, nats=nats, options=options, command=command)
        self._child: Optional[Child] = None
        self._asked_to_stop = False

    def handler(self, name: str) -> Callable[[R], R]:
        """Registers a function, ``def`` or ``async def``, that executes a shard. It stays as it is."""

        def register(run: R) -> R:
            self._handlers.add_run(name, run)
            return run

        return register

    def pages(self, name: str) -> Callable[[P], P]:
        """Registers a function that says which pages a slice has, for jobs with ``pages = { probe = true }``: it yields or
        returns ``(first key, last key)`` of each, both inside it, in order, behind ``probe.after``. What is more than one
        answer has room for is asked for again."""

        def register(pages: P) -> P:
            self._handlers.add_pages(name, pages)
            return pages

        return register

    def stop(self) -> None:
        """Takes nothing more: :meth:`run` returns when what it has is answered. Any thread, and a signal handler, may
        call it."""
        self._asked_to_stop = True
        child = self._child
        if child is not None:
            child.leave()

    def run(self, *, signals: bool = True) -> None:
        """Runs shards until the worker is told to stop. SIGTERM and SIGINT do so, unless the program has handlers of its
        own for them or ``signals`` is false; the second one ends the process."""
        _refuse_copies()
        self._handlers.check()
        with _signals(self.stop if signals else None):
            address = os.environ.pop("GRIDLOOM_SOCKET", None)
            if address is not None:
                # Nobody who is started from here needs them, or may have them. Elsewhere it is a client's own.
                self._run_started(address, os.environ.pop("GRIDLOOM_TOKEN", ""))
            else:
                self._run_attached()

    def _run_started(self, address: str, token: str) -> None:
        """``gridloom worker -- python worker.py`` has started this process."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(line_buffering=True)  # the worker logs line by line
        if not faulthandler.is_enabled():
            # What a crash prints becomes a part of the failure, which has room for the stack of the thread that crashed.
            faulthandler.enable(all_threads=False)
        slots = int(os.environ.get("GRIDLOOM_SLOTS") or self._slots)
        connection = connect(address)
        drained = False
        try:
            drained = self._serve(connection, token, slots)
        except ProtocolError as error:
            print(f"gridloom: the worker broke the protocol: {error}", file=sys.stderr)
        if not drained:
            # At once, whatever handlers do: others may run their shards by now.
            os._exit(GONE)
        connection.end()

    def _run_attached(self) -> None:
        with self._engine.start() as engine:
            connection = engine.accept(lambda: self._asked_to_stop)
            if connection is None:
                return
            try:
                drained = self._serve(connection, None, self._slots)
            finally:
                connection.end()
            engine.ended(drained)

    def _serve(self, connection: Connection, token: Optional[str], slots: int) -> bool:
        child = self._child = Child(connection, self._handlers, slots)
        if self._asked_to_stop:
            child.leave()
        try:
            with _heard_at_once(child):
                return child.serve(token)
        finally:
            self._child = None


def _refuse_copies() -> None:
    """A program whose last line is ``worker.run()`` is imported anew by each process that multiprocessing spawns."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None:
        return
    copied = getattr(multiprocessing.current_process(), "_inheriting", False)
    if copied or multiprocessing.parent_process() is not None:
        raise RuntimeError('a process of multiprocessing would be a second worker: if __name__ == "__main__": worker.run()')


@contextmanager
def _signals(stop: Optional[Callable[[], None]]) -> Iterator[None]:
    if stop is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    tell = stop

    def asked(number: int, _: Optional[FrameType]) -> None:
        signal.signal(number, _BEFORE[number])
        tell()

    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            _BEFORE[number] = signal.signal(number, asked)
    try:
        yield
    finally:
        _restore()


@contextmanager
def _heard_at_once(child: Child) -> Iterator[None]:
    """Python runs handlers of signals in the main thread, which waits for the worker. One that came to another thread, or just
    before that began to wait, runs when it has waited: so the system's own handler tells the thread that sends, too."""
    if not _BEFORE or threading.current_thread() is not threading.main_thread():
        yield
        return
    mouth = os.dup(child.asked_by(_BEFORE))  # good until it is nobody's any more, whatever becomes of the child
    before = signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    if before != -1:
        signal.set_wakeup_fd(before)  # the program's own
    try:
        yield
    finally:
        if before == -1:
            signal.set_wakeup_fd(-1)
        os.close(mouth)


def _restore() -> None:
    while _BEFORE:
        signal.signal(*_BEFORE.popitem())


class _Masks(threading.local):
    mask: Optional[Any] = None


_MASKS = _Masks()


def _before_fork() -> None:
    # A signal that comes to the new process before it has its handlers again would be taken for ours, and lost.
    _MASKS.mask = signal.pthread_sigmask(signal.SIG_BLOCK, list(_BEFORE)) if _BEFORE else None


def _after_fork() -> None:
    if _MASKS.mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _MASKS.mask)


def _forked() -> None:
    if _BEFORE:
        signal.set_wakeup_fd(-1)
    _restore()
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_forked)
