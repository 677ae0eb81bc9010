"""A child of a worker, as plain as docs/CHILD-PROTOCOL.md allows, and every way in which one can be bad.

    child.py MODE DIR      a child of a worker
    child.py program DIR GRIDLOOM ARGS...   the main process, which starts its own worker

DIR/log has what it executed, a file for each process; DIR/pids its process ids, a file each; DIR/ended how each ended.
A mode that is bad is so once: when DIR/cured is there, it is good.
"""

import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

MODE, DIR = sys.argv[1], sys.argv[2]
LOCK = threading.Lock()
SLOTS = int(os.environ.get("GRIDLOOM_SLOTS", "2"))


def note(folder, text, name=None):
    os.makedirs(os.path.join(DIR, folder), exist_ok=True)
    with open(os.path.join(DIR, folder, name or str(os.getpid())), "a") as file:
        file.write(text + "\n")


def bad_for_once():
    """Whether this is the time to be bad: at most once in all processes."""
    try:
        os.close(os.open(os.path.join(DIR, "cured"), os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False


class Shards:
    """What runs, and what was told to stop."""

    def __init__(self, connection, threads):
        self.connection, self.told, self.number = connection, {}, 0
        self.running = 0
        self.threads = threads

    def say(self, **message):
        data = json.dumps(message).encode()
        with LOCK:
            self.connection.sendall(struct.pack(">I", len(data)) + data)

    def hear(self):
        def exactly(count):
            data = b""
            while len(data) < count:
                piece = self.connection.recv(count - len(data))
                if not piece:
                    return None
                data += piece
            return data

        length = exactly(4)
        data = length and exactly(struct.unpack(">I", length)[0])
        return data and json.loads(data)

    def begin(self, tile, shard):
        with LOCK:
            self.number += 1
            self.running += 1
            number = self.number
        about = {name: tile[name] for name in ("run", "slice", "attempt", "fence")}
        self.log(number, "start", page=shard["page"], **about)
        return number

    def log(self, number, event, **more):
        at = int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6)
        note("log", json.dumps(dict(more, event=event, at_us=at, pid=os.getpid(), number=number)))

    def run(self, tile):
        # Libraries gather answers: so nobody knows at which of several shards a child died.
        gathered = []
        self.run_all(tile, gathered.append if MODE == "poison" else lambda how: self.say(**how))
        for how in gathered:
            self.say(**how)

    def run_all(self, tile, answer):
        for shard in tile["shards"]:
            if shard["id"] in self.told:
                answer({"type": "stopped", "ids": [shard["id"]]})
                continue
            number = self.begin(tile, shard)
            how = self.one(tile, shard)
            self.log(number, "done" if how["type"] == "done" else "cancelled")
            with LOCK:
                self.running -= 1
            answer(how)

    def one(self, tile, shard):
        params, answer = tile["params"] or {}, {"id": shard["id"]}
        hurt(self, tile, shard)
        slow = tile["attempt"] == 1 or not params.get("first_only")
        end = time.monotonic() + (params.get("sleep_ms", 0) / 1000 if slow else 0)
        while time.monotonic() < end:
            if shard["id"] in self.told and MODE not in ("deaf", "late"):
                # One that is slow to stop takes longer than what is left of any lease here.
                time.sleep(3 if MODE == "slow" else 0)
                return {"type": "stopped", "ids": [shard["id"]]}
            time.sleep(0.005)
        print("ran", tile["slice"], shard["page"], flush=True)
        if params.get("fail") == shard["page"] and tile["attempt"] == 1:
            return {"type": "fail", "shards": [dict(answer, kind="retry", after_ms=10, error="no such luck")]}
        return {"type": "done", "shards": [dict(answer, rows=1, counters={"pages": shard["page"]})]}


def hurt(shards, tile, shard):
    """Does what the mode says, when the third page of a slice comes."""
    if shard["page"] != 2 or MODE in ("good", "program", "deaf"):
        return
    if MODE == "poison":
        # Always the same shard, in its first two attempts.
        if tile["slice"] == 1 and tile["attempt"] < 3:
            print("cannot go on", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return
    if not bad_for_once():
        return
    raw = shards.connection.sendall
    if MODE == "leaves":
        shards.say(type="bye")
        return
    if MODE == "garbage":
        raw(struct.pack(">I", 7) + b"garbage")
    elif MODE == "half":
        raw(struct.pack(">I", 100) + b'{"type": "do')
        os._exit(3)
    elif MODE == "giant":
        raw(struct.pack(">I", 1 << 30) + b"x" * 1000)
    elif MODE == "stranger":
        ids = [0, shard["id"] + 1_000_000, 2**52]
        shards.say(type="done", shards=[{"id": other} for other in ids])
        shards.say(type="fail", shards=[{"id": ids[1], "kind": "permanent", "error": "not mine"}])
        shards.say(type="done", shards=[{"id": shard["id"], "rows": 1, "counters": {"pages": shard["page"]}}] * 3)
        return
    elif MODE == "closes":
        shards.connection.shutdown(socket.SHUT_RDWR)
        time.sleep(600)
    elif MODE == "dies":
        print("it hurts", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    elif MODE == "together":
        # With all that it has room for in hand.
        while shards.running < SLOTS:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGKILL)
    elif MODE == "exits":
        print("ValueError: no", file=sys.stderr, flush=True)
        os._exit(7)
    elif MODE == "forks":
        if os.fork() > 0:
            # Its group is killed at once: not before it was noted who is in it.
            while not os.path.exists(os.path.join(DIR, "forked", "pid")):
                time.sleep(0.01)
            time.sleep(0.05)
            os._exit(0)
        note("forked", str(os.getpid()), "pid")
        time.sleep(600)
    elif MODE == "floods":
        sys.stdout.write("flood " * 20 + "\n")
        for _ in range(2_000):
            sys.stdout.write(("x" * 99 + "\n") * 100)
        sys.stdout.flush()
        return
    elif MODE == "twice":
        shards.say(type="hello", protocol=[1, 1], handlers=["h"])
    # Until it is ended.
    time.sleep(600)


def freeze_worker():
    """Stops the worker, which is the parent of this process's guard."""
    with open(f"/proc/{os.getppid()}/stat") as file:
        worker = int(file.read().rpartition(")")[2].split()[1])
    os.kill(worker, signal.SIGSTOP)
    note("frozen", str(worker), "pid")


def speak(connection, token, attached):
    """Speaks to the worker until the end of the connection. Whether the worker said that nothing more comes."""
    shards = Shards(connection, [])
    if attached:
        assert shards.hear()["token"] == token
    shards.say(type="hello", protocol=[1, 1], token=token, sdk="test", handlers=["http"] if MODE == "http" else ["h", "probed"], probes=[] if MODE == "http" else ["probed"], slots=SLOTS)
    while True:
        message = shards.hear()
        if message is None:
            return False
        kind = message["type"]
        if kind == "shards":
            if MODE == "freezes" and bad_for_once():
                freeze_worker()
            thread = threading.Thread(target=shards.run, args=[message], daemon=True)
            thread.start()
            shards.threads.append(thread)
        elif kind == "probe":
            first = message["after"] or 0
            more = {} if first else {"cursor": 20}
            pages = [[first + 1, first + 10], [first + 11, first + 20]]
            shards.say(type="pages", id=message["id"], pages=pages, **more)
        elif kind == "stop":
            note("told", message["why"])
            for told in message["ids"]:
                shards.told[told] = True
            if MODE == "late":
                time.sleep(0.05)
                shards.say(type="done", shards=[{"id": told} for told in message["ids"]] * 2)
        elif kind == "drain":
            for thread in shards.threads:
                thread.join()
            connection.close()
            return True


def connect(address):
    if address.startswith("tcp:"):
        host, port = address[4:].rsplit(":", 1)
        return socket.create_connection((host.strip("[]"), int(port)))
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    return connection


def child():
    note("pids", str(os.getpid()))
    if MODE == "silent":
        print("loading", flush=True)
        time.sleep(600)
    if MODE in ("group", "deaf"):
        # Something of its own in its group.
        note("pids", str(subprocess.Popen(["sleep", "600"]).pid), f"{os.getpid()}-more")
    assert not any(name.startswith("GRIDLOOM_NATS") for name in os.environ)
    drained = speak(connect(os.environ["GRIDLOOM_SOCKET"]), os.environ["GRIDLOOM_TOKEN"], False)
    if MODE == "closes" and not drained:
        time.sleep(600)
    note("ended", "drained" if drained else "cut off")
    os._exit(0 if drained else 70)


def program():
    """The program is the main process."""
    note("pids", str(os.getpid()))
    token = secrets.token_hex(16)
    path = os.path.join(tempfile.mkdtemp(), "s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    environment = dict(os.environ, GRIDLOOM_SOCKET=path, GRIDLOOM_TOKEN=token)
    # In a group of its own: who ends the program does not end it.
    worker = subprocess.Popen([*sys.argv[3:]], env=environment, start_new_session=True)
    note("worker", str(worker.pid), "pid")
    connection, _ = listener.accept()
    drained = speak(connection, token, True)
    note("ended", "drained" if drained else "cut off")
    os._exit(0 if drained else 70)


program() if MODE == "program" else child()
