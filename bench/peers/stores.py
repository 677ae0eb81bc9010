"""PostgreSQL and Redis of our own, each with a fresh store, on a free port of 127.0.0.1."""
import glob
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

from processes import NOBODY, Failed, Process, run

# As its documentation says for a server of one's own: a quarter of the memory at most, and checkpoints far apart. Commits stay
# as they are by default: on the disk when they are confirmed.
POSTGRES = {
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "max_connections": "200",
    "fsync": "on",
    "synchronous_commit": "on",
}
START = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _version(program):
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"\d+(\.\d+)+", said).group()


def _wait(what, process, ready):
    give_up = time.monotonic() + START
    while not ready():
        if process.child.poll() is not None or time.monotonic() > give_up:
            raise Failed(f"{what} does not start")
        time.sleep(0.02)


class Postgres:
    """A server for all measurements, started for each; a database for each."""

    def __init__(self, folder):
        self.bin = self._find()
        self.version = _version(self.bin / "postgres")
        self.folder, self.databases = folder / "postgres", 0
        self.folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.folder, NOBODY, NOBODY)
        run([self.bin / "initdb", "-A", "trust", "-U", "peers", "-E", "UTF8", "--no-sync", "-D", self.folder / "data"],
            as_nobody=True)

    @staticmethod
    def _find():
        found = [pathlib.Path(path).resolve().parent for path in [shutil.which("postgres")] if path]
        found += [pathlib.Path(path) for path in sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)]
        for folder in found:
            if all((folder / program).exists() for program in ("postgres", "initdb", "createdb", "pg_isready")):
                return folder
        raise Failed("PostgreSQL is not installed (Debian: apt-get install postgresql)")

    def __enter__(self):
        self.port = free_port()
        settings = [part for name, value in POSTGRES.items() for part in ("-c", f"{name}={value}")]
        command = [self.bin / "postgres", "-D", self.folder / "data", "-h", "127.0.0.1", "-p", str(self.port),
                   "-k", self.folder, *settings]
        self.process = Process(command, log=subprocess.DEVNULL, as_nobody=True)
        ready = [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        _wait("PostgreSQL", self.process, lambda: subprocess.run(ready, check=False).returncode == 0)
        return self

    def __exit__(self, *_):
        # Fast: it does not wait for its clients.
        self.process.end(signal.SIGINT)

    def fresh(self):
        """An empty database; how programs find it."""
        self.databases += 1
        name = f"peer_{self.databases}"
        run([self.bin / "createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "peers", name])
        return {"PEER_URL": f"postgres://peers@127.0.0.1:{self.port}/{name}?sslmode=disable"}


class Redis:
    """A server for each measurement: `flushed` says when what was written is on the disk."""

    def __init__(self, folder, flushed):
        program = shutil.which("redis-server")
        if not program:
            raise Failed("Redis is not installed (Debian: apt-get install redis-server)")
        self.program, self.flushed, self.count = program, flushed, 0
        self.version = _version(program)
        self.folder, self.process = folder / f"redis-{flushed}", None
        self.folder.mkdir(exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.end()

    def fresh(self):
        """An empty server; how programs find it."""
        self.__exit__()
        self.count += 1
        folder, port = self.folder / str(self.count), free_port()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        command = [self.program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "",
                   "--appendonly", "yes", "--appendfsync", self.flushed]
        self.process = Process(command, log=subprocess.DEVNULL)
        _wait("Redis", self.process, lambda: _answers(port))
        return {"PEER_PORT": str(port), "PEER_ADDRESS": f"127.0.0.1:{port}"}


def _answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def flush_ms(folder):
    """What it takes to have a page on the disk, the median of many."""
    took, path = [], folder / "flushed"
    with open(path, "wb", buffering=0) as file:
        for _ in range(200):
            file.write(bytes(4_096))
            begun = time.monotonic()
            os.fdatasync(file.fileno())
            took.append((time.monotonic() - begun) * 1e3)
    path.unlink()
    return sorted(took)[len(took) // 2]
