"""Answers on their way to the worker: collected for a moment, so that a tile of many tiny shards is one frame."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, Dict, FrozenSet, Iterable, List, Set

from .frames import Connection, end_process
from .shard import Shard, Tile

__all__ = ["Answers"]

#: Outcomes are collected for so long, and so many. One takes 11 kB of JSON at most (a result of 1 KiB and 15 names of
#: 48 bytes, each of them six signs), so a frame always has room for them.
_COLLECT_S, _COLLECT = 0.005, 500
#: How often rows so far are told.
_PROGRESS_S = 1.0


class Answers:
    """Collects outcomes and sends them. A thread of its own sends what nobody follows soon."""

    def __init__(self, connection: Connection, tiles: Set[Tile]) -> None:
        self._connection, self._tiles = connection, tiles
        self._lock, self._flushing = threading.Lock(), threading.Lock()
        self._done: List[Dict[str, Any]] = []
        self._failed: List[Dict[str, Any]] = []
        self._stopped: List[int] = []
        self._awake = False
        # A byte on a socket wakes the pulse: a signal handler may send one, and may take no lock.
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        #: Numbers of signals that ask for nothing more, where they are written to the mouth.
        self._asking: FrozenSet[int] = frozenset()
        self._pulse = threading.Thread(target=self._pulsate, name="gridloom-pulse", daemon=True)

    def start(self) -> None:
        """From here on nothing collected waits for longer than a moment."""
        self._pulse.start()

    def add(self, kind: str, said: Dict[str, Any], more: bool) -> None:
        """Collects an outcome. Where none of its tile follows (``more``), everything is sent at once."""
        with self._lock:
            if kind == "done":
                self._done.append(said)
            elif kind == "fail":
                self._failed.append(said)
            else:
                self._stopped.append(said["id"])
            full = len(self._done) + len(self._failed) + len(self._stopped) >= _COLLECT
            wake = more and not full and not self._awake
            self._awake |= wake
        if full or not more:
            self.flush()
        elif wake:
            self._wake(b"c")

    def flush(self) -> None:
        """Sends what is collected. When it returns, all that was collected before is sent, whoever does it."""
        with self._flushing:
            with self._lock:
                done, self._done = self._done, []
                failed, self._failed = self._failed, []
                stopped, self._stopped = self._stopped, []
                self._awake = False
            for at in range(0, len(done), _COLLECT):
                self._connection.send({"type": "done", "shards": done[at : at + _COLLECT]})
            for at in range(0, len(failed), _COLLECT):
                self._connection.send({"type": "fail", "shards": failed[at : at + _COLLECT]})
            if stopped:
                self._connection.send({"type": "stopped", "ids": stopped})

    def bye(self) -> None:
        """Asks for nothing more. Takes no lock: a signal handler may call it."""
        self._wake(b"b")

    def asked_by(self, signals: Iterable[int]) -> int:
        """Where numbers of signals may be written, of which these ask for nothing more."""
        self._asking = frozenset(signals)
        return self._mouth.fileno()

    def close(self) -> None:
        """Sends what is left, and ends the pulse."""
        self._wake(b"x")
        if self._pulse.is_alive():
            self._pulse.join()
        self.forget()
        self.flush()

    def forget(self) -> None:
        """Closes descriptors: also in a process that was forked."""
        self._ear.close()
        self._mouth.close()

    def _wake(self, why: bytes) -> None:
        try:
            self._mouth.send(why)
        except OSError:
            pass  # closed, or full: then it is awake

    def _pulsate(self) -> None:
        try:
            self._beat()
        except Exception as error:
            # What is collected would never be sent: its slot would wait for ever.
            end_process(f"what sends its answers has failed: {error!r}")

    def _beat(self) -> None:
        told: Dict[int, int] = {}
        next_look = time.monotonic() + _PROGRESS_S
        said_bye = False
        while True:
            self._ear.settimeout(max(next_look - time.monotonic(), 0.001))
            try:
                heard = self._ear.recv(64)
            except socket.timeout:
                heard = b""
            if b"x" in heard:
                return
            if (b"b" in heard or not self._asking.isdisjoint(heard)) and not said_bye:
                said_bye = True
                self._connection.send({"type": "bye"})
            if b"c" in heard:
                time.sleep(_COLLECT_S)
                self.flush()
            if time.monotonic() >= next_look:
                told = self._progress(told)
                next_look = time.monotonic() + _PROGRESS_S

    def _progress(self, told: Dict[int, int]) -> Dict[int, int]:
        """Tells the rows so far of shards that take long."""
        now = {tile.current.id: tile.current._rows for tile in list(self._tiles) if isinstance(tile.current, Shard)}
        news = [{"id": id, "rows": rows} for id, rows in now.items() if 0 < rows < 2**63 and told.get(id) != rows]
        if news:
            self._connection.send({"type": "progress", "shards": news})
        return now
