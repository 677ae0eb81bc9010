"""A program that is its own main process and starts the worker: here one that the test has written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

import gridloom
from gridloom import Shard, Worker, WorkerGone

from .fake import SOON, SOURCE, eventually

#: What stands for `gridloom`: it connects as the variables say, and does what a script says.
COMMAND = """#!{python}
import json, os, socket, struct, sys, time
def connect():
    address = os.environ["GRIDLOOM_SOCKET"]
    sock = socket.socket(socket.AF_UNIX); sock.connect(address); sock.settimeout(30)
    return sock
def send(sock, **message):
    body = json.dumps(message).encode(); sock.sendall(struct.pack(">I", len(body)) + body)
def receive(sock):
    head = sock.recv(4, socket.MSG_WAITALL)
    return json.loads(sock.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL)) if head else None
def attach(token=None):
    sock = connect()
    send(sock, type="attach", protocol=[1, 1], token=token or os.environ["GRIDLOOM_TOKEN"], worker="w")
    return sock
def begin():
    sock = attach()
    hello = receive(sock)
    assert hello["type"] == "hello" and "token" not in hello, hello
    send(sock, type="welcome", protocol=1, worker="w", grace_ms=2000)
    return sock
def tile(sock, id, handler="work"):
    send(sock, type="shards", run="r_1", job="r", handler=handler, nonce="0f", slice=0, slices=1, attempt=1, fence=1,
        params={{}}, settings=None, timeout_ms=None, shards=[{{"id": id, "page": 0}}])
"""


class Program:
    """The command, and what the handlers of a worker saw."""

    def __init__(self, folder: Path, script: str) -> None:
        self.path = folder / "gridloom"
        self.path.write_text(COMMAND.format(python=sys.executable) + script)
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)
        self.seen: List[str] = []

    def worker(self, **said: Any) -> Worker:
        worker = Worker(command=str(self.path), **said)

        @worker.handler("work")
        def work(shard: Shard) -> None:
            self.seen.append(shard.key)

        return worker


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRIDLOOM_SOCKET", "GRIDLOOM_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_program_runs_shards_until_its_worker_has_drained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDLOOM_TOKEN", "glt_of_its_clients")
    program = Program(
        tmp_path,
        """
assert sys.argv[1:] == ["worker", "--attach", "--grace", "5s"], sys.argv
assert os.environ["GRIDLOOM_WORKER_QUEUES"] == "images" and os.environ["GRIDLOOM_NATS"] == "nats://u:p@h:1"
sock = begin()
tile(sock, 1)
assert receive(sock) == {"type": "done", "shards": [{"id": 1}]}
send(sock, type="drain")
assert receive(sock) is None
""",
    )
    program.worker(queue="images", nats="nats://u:p@h:1", options=["--grace", "5s"]).run()
    assert program.seen == ["0f-0-0"]
    assert os.environ["GRIDLOOM_TOKEN"] == "glt_of_its_clients"


def test_stop_asks_the_worker_to_end(tmp_path: Path) -> None:
    program = Program(
        tmp_path,
        """
sock = begin()
tile(sock, 1)
assert receive(sock)["type"] == "done"
assert receive(sock) == {"type": "bye"}
send(sock, type="drain")
""",
    )
    worker = program.worker()
    running = threading.Thread(target=worker.run)
    running.start()
    eventually("a shard", lambda: bool(program.seen))
    worker.stop()
    running.join(SOON)
    assert not running.is_alive()


def test_stop_before_it_has_begun_ends_it_too(tmp_path: Path) -> None:
    program = Program(tmp_path, "time.sleep(3600)")
    worker = program.worker()
    worker.stop()
    worker.run()
    assert program.seen == []


def test_worker_that_is_gone_stops_what_runs_and_is_told(tmp_path: Path) -> None:
    program = Program(
        tmp_path,
        f"""
sock = begin()
tile(sock, 1, "waits"); tile(sock, 2, "awaits")
while len([name for name in os.listdir({str(tmp_path)!r}) if name.startswith("begun")]) < 2: time.sleep(0.005)
os._exit(9)
""",
    )
    worker = program.worker(slots=2)
    ended: Dict[str, Optional[BaseException]] = {}

    @worker.handler("waits")
    def waits(shard: Shard) -> None:
        (tmp_path / "begun-1").touch()
        try:
            while True:
                shard.check()
        except BaseException as error:
            ended["waits"] = error
            raise

    @worker.handler("awaits")
    async def awaits(shard: Shard) -> None:
        import asyncio

        (tmp_path / "begun-2").touch()
        try:
            await asyncio.sleep(3600)
        except BaseException as error:
            ended["awaits"] = error
            raise

    with pytest.raises(WorkerGone, match="exit code 9"):
        worker.run()
    eventually("both to end", lambda: len(ended) == 2)
    assert isinstance(ended["waits"], gridloom.Stopped) and "gone" in str(ended["waits"])


def test_worker_that_ends_before_it_has_begun_is_told_with_its_code(tmp_path: Path) -> None:
    program = Program(tmp_path, "sys.exit(3)")
    with pytest.raises(WorkerGone, match="exit code 3"):
        program.worker().run()


def test_whoever_does_not_know_the_token_is_sent_away(tmp_path: Path) -> None:
    program = Program(
        tmp_path,
        """
for token in ("x" * 16, "\\u00e9"):
    stranger = attach(token=token)
    assert receive(stranger) is None
stranger = connect(); stranger.sendall(b"\\0\\0\\0\\0")
assert receive(stranger) is None
sock = begin()
send(sock, type="drain")
""",
    )
    program.worker().run()


def test_sigterm_of_the_program_ends_it_in_peace(tmp_path: Path) -> None:
    program = Program(
        tmp_path,
        """
sock = begin()
os.kill(os.getppid(), 15)
assert receive(sock) == {"type": "bye"}
send(sock, type="drain")
""",
    )
    script = tmp_path / "main.py"
    script.write_text(
        f"import gridloom\nworker = gridloom.Worker(command={str(program.path)!r})\n"
        "worker.handler('work')(print)\nif __name__ == '__main__':\n    worker.run()\n    print('and went on')\n"
    )
    env = {**os.environ, "PYTHONPATH": SOURCE}
    ran = subprocess.run([sys.executable, str(script)], env=env, timeout=SOON, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "and went on\n"), ran.stderr


def test_program_whose_folder_is_deep_uses_another_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    program = Program(
        tmp_path,
        """
host, port = os.environ["GRIDLOOM_SOCKET"][len("tcp:"):].split(":")
def connect():
    sock = socket.create_connection((host, int(port))); sock.settimeout(30)
    return sock
sock = begin()
send(sock, type="drain")
""",
    )
    program.worker().run()


def test_command_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    worker = Worker()
    worker.handler("work")(lambda shard: None)
    with pytest.raises(FileNotFoundError, match="PATH"):
        worker.run()
