"""A worker as far as a child sees it: a real socket, a real process, and frames written by other code than the SDK's."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Optional, Sequence, Tuple, Type

TOKEN = "0123456789abcdef"
SOURCE = str(Path(__file__).parent.parent / "src")
#: How long anything may take on a busy machine.
SOON = 30.0

HEAD = """
import asyncio, os, signal, sys, threading, time
import gridloom
worker = gridloom.Worker()
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.005)
"""
TAIL = """
if __name__ == "__main__":
    worker.run()
"""


def eventually(what: str, condition: Any) -> None:
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.005)


class Wire:
    """Frames on a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(SOON)

    def send(self, message: Dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        self.sock.sendall(struct.pack(">I", len(body)) + body)

    def receive(self) -> Optional[Dict[str, Any]]:
        head = self._exactly(4)
        if not head:
            return None
        (length,) = struct.unpack(">I", head)
        assert 0 < length <= 8_388_608
        message = json.loads(self._exactly(length))
        assert isinstance(message, dict)
        return message

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self.sock.recv(length - len(data))
            if not part:
                return data
            data += part
        return data


class FakeWorker:
    """Starts one child with a script, and talks with it."""

    def __init__(
        self, script: str, folder: Path, *, slots: Optional[int] = None, python: Sequence[str] = (sys.executable,), tcp: bool = False
    ) -> None:
        self.folder = folder
        file = folder / "worker.py"
        file.write_text(HEAD + script + TAIL)
        self._listener = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
        # Paths of sockets are short.
        self._short = tempfile.TemporaryDirectory(prefix="gl")
        if tcp:
            self._listener.bind(("127.0.0.1", 0))
            address = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        else:
            address = os.path.join(self._short.name, "s")
            self._listener.bind(address)
        self._listener.listen()
        self._listener.settimeout(SOON)
        env = {name: value for name, value in os.environ.items() if not name.startswith("GRIDLOOM_")}
        env.pop("PYTHONUNBUFFERED", None)
        env.update(GRIDLOOM_SOCKET=address, GRIDLOOM_TOKEN=TOKEN, GRIDLOOM_PROCESS="0", PYTHONPATH=SOURCE)
        if slots is not None:
            env["GRIDLOOM_SLOTS"] = str(slots)
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*python, str(file)],
                env=env,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._next_id = 1
        self.progress: List[Dict[str, Any]] = []
        #: Frames of answers, as they came.
        self.frames: List[Dict[str, Any]] = []

    def __enter__(self) -> FakeWorker:
        sock, _ = self._listener.accept()
        self.wire = Wire(sock)
        hello = self.wire.receive()
        assert hello is not None and hello["type"] == "hello", self.said()
        self.hello = hello
        self.wire.send({"type": "welcome", "protocol": 1, "worker": "fake", "grace_ms": 2000, "news": None})
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.wire.sock.close()
        self._listener.close()
        self._short.cleanup()
        if error is not None:
            print(self.said())

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def tile(self, shards: int = 1, handler: str = "work", **said: Any) -> List[int]:
        """Sends a tile; the ids of its shards."""
        pages = said.pop("pages", [{} for _ in range(shards)])
        ids = list(range(self._next_id, self._next_id + len(pages)))
        self._next_id += len(pages)
        cells = [{"id": id, "page": number, **page} for number, (id, page) in enumerate(zip(ids, pages))]
        self.wire.send({"type": "shards", **_common(handler), **said, "shards": cells})
        return ids

    def probe(self, handler: str = "work", **said: Any) -> int:
        id = self._next_id
        self._next_id += 1
        asked = {"type": "probe", "id": id, **_common(handler), "page": 0, "after": None, "room": 786_432, "pages_max": 4096}
        self.wire.send({**asked, **said})
        return id

    def stop(self, ids: List[int], why: str = "lease") -> None:
        self.wire.send({"type": "stop", "ids": ids, "why": why})

    def answers(self, ids: Sequence[int]) -> Dict[int, Tuple[str, Dict[str, Any]]]:
        """Waits until each id was answered; none may be twice, and no other."""
        found: Dict[int, Tuple[str, Dict[str, Any]]] = {}
        while len(found) < len(ids):
            for id, answer in self.next_answers():
                assert id in ids and id not in found, (id, answer, found)
                found[id] = answer
        return found

    def next_answers(self) -> List[Tuple[int, Tuple[str, Dict[str, Any]]]]:
        message = self.wire.receive()
        assert message is not None, f"the child is gone: {self.said()}"
        kind = message["type"]
        if kind == "progress":
            self.progress.append(message)
            return []
        self.frames.append(message)
        if kind == "stopped":
            return [(id, (kind, {"id": id})) for id in message["ids"]]
        if kind == "pages":
            return [(message["id"], (kind, message))]
        assert kind in ("done", "fail"), message
        return [(said["id"], (kind, said)) for said in message["shards"]]

    def answer(self, id: int) -> Tuple[str, Dict[str, Any]]:
        return self.answers([id])[id]

    def quiet(self, seconds: float) -> bool:
        """Whether nothing is said for so long."""
        return not select.select([self.wire.sock], [], [], seconds)[0]

    def drain(self) -> int:
        """Says that nothing more comes; the exit code."""
        self.wire.send({"type": "drain"})
        while self.wire.receive() is not None:
            pass
        return self.process.wait(SOON)

    def is_there(self, name: str) -> None:
        """Waits until a handler has made a file."""
        eventually(name, (self.folder / name).exists)

    def allow(self, name: str) -> None:
        (self.folder / name).touch()


def _common(handler: str) -> Dict[str, Any]:
    said = {"run": "sizes_s_7", "job": "sizes", "handler": handler, "nonce": "4b0f3d5cf6c8e1a2", "slice": 3, "slices": 16}
    return {**said, "attempt": 1, "fence": 1795968000000123, "params": {}, "settings": None, "timeout_ms": None}
