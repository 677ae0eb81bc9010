"""The peers: how each is fetched from its registry and built, and how one is measured."""
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import sys

from processes import Failed, Process, Usage, run

HERE = pathlib.Path(__file__).resolve().parent
# Jobs a second of which the wait is measured; those of the first second are left out.
RATE = 100


@dataclasses.dataclass(frozen=True)
class Peer:
    """A way to measure: a program, and the store below it."""

    name: str
    # Where the program is, and what it is called where it is kept.
    folder: str
    # "postgres", or when Redis flushes.
    store: str
    at_once: str
    jobs: int

    @property
    def durable(self):
        return {"postgres": "at commit", "always": "at each write", "everysec": "within a second"}[self.store]


def _redis(name, folder, at_once, everysec, always):
    """Both settings of Redis, with as many jobs as take some seconds."""
    return [Peer(f"{name}, appendfsync {flushed}", folder, flushed, at_once, jobs)
            for flushed, jobs in (("everysec", everysec), ("always", always))]


AT_ONCE = max(2, os.cpu_count() or 2)
PROCESSES = f"{AT_ONCE} processes"
PYTHON = ("huey", "celery", "dramatiq", "arq")
PEERS = [
    Peer("graphile_worker 0.14.1 (Rust)", "graphile_worker", "postgres", "500", 50_000),
    Peer("River 0.51.2 (Go)", "river", "postgres", "2,000", 50_000),
    *_redis("BullMQ 6.7.0 (Node)", "bullmq", "200", 20_000, 20_000),
    *_redis("asynq 0.26.0 (Go)", "asynq", "100", 20_000, 8_000),
    *_redis("Huey 3.5.4 (Python)", "huey", PROCESSES, 8_000, 3_000),
    *_redis("Celery 5.7.0 (Python)", "celery", PROCESSES, 8_000, 3_000),
    *_redis("Dramatiq 2.2.1 (Python)", "dramatiq", f"{PROCESSES}, 4 threads each", 8_000, 3_000),
    *_redis("arq 0.28.0 (Python)", "arq", f"{PROCESSES}, 100 each", 6_000, 3_000),
]


def _cargo(cache):
    target = cache / "graphile_worker"
    manifest = HERE / "graphile_worker" / "Cargo.toml"
    run([os.environ.get("CARGO", "cargo"), "build", "--release", "--locked", "--manifest-path", manifest,
         "--target-dir", target], cwd=HERE / "graphile_worker")
    return [target / "release" / "peer-graphile-worker"]


def _go(folder, cache):
    if not shutil.which("go"):
        raise Failed("Go is not installed (1.26 or later)")
    program = cache / folder
    run(["go", "build", "-mod=readonly", "-o", program, "."], cwd=HERE / folder)
    return [program]


def _once(made, sources, make):
    """Makes it where its sources are others than those of the last time."""
    state = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    stamp = made / "made-from"
    if not stamp.exists() or stamp.read_text() != state:
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        make()
        stamp.write_text(state)


def _npm(cache):
    if not shutil.which("npm"):
        raise Failed("Node is not installed (Debian: apt-get install nodejs npm)")
    made = cache / "bullmq"
    sources = [HERE / "bullmq" / name for name in ("package.json", "package-lock.json", "main.mjs")]

    def make():
        for source in sources:
            shutil.copy(source, made)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=made)

    _once(made, sources, make)
    return [shutil.which("node"), made / "main.mjs"]


def _pip(name, cache):
    made, wanted = cache / name, HERE / "python" / f"{name}.txt"

    def make():
        run([sys.executable, "-m", "venv", made / "venv"])
        run([made / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--require-hashes", "-r", wanted])

    _once(made, [wanted], make)
    return [made / "venv" / "bin" / "python", "-B", HERE / "python" / f"by_{name}.py"]


def fetch(folder, cache):
    """Fetches and builds a peer's program: the command that runs it."""
    if folder in PYTHON:
        return _pip(folder, cache)
    build = {"graphile_worker": _cargo, "bullmq": _npm}.get(folder)
    return build(cache) if build else _go(folder, cache)


class Program:
    """A peer's program over a store."""

    def __init__(self, command, store, prepared):
        self.command, self.store, self.prepared = command, store, prepared

    def fresh(self):
        self.env = self.store.fresh()
        if self.prepared:
            run([*self.command, "prepare"], env=self.env)

    def start(self, *args):
        return Process([*self.command, *map(str, args)], env=self.env)


def measure(peer, command, store, jobs, seconds):
    """One round of one peer: a fresh store for each of its three parts."""
    sample = {}
    with store:
        program = Program(command, store, peer.store == "postgres")
        program.fresh()
        with program.start("enqueue", jobs) as enqueue:
            begun = enqueue.reaches("begin")
            sample["enqueued_per_second"] = jobs / (enqueue.reaches("end") - begun)
        with program.start("work", jobs) as work:
            begun = work.reaches("begin")
            sample["worked_per_second"] = jobs / (work.reaches("end") - begun)
        program.fresh()
        before = Usage()
        with program.start("work", jobs) as work:
            work.reaches("begin")
            with program.start("enqueue", jobs) as enqueue:
                begun = enqueue.reaches("begin")
                enqueue.reaches("end")
                sample["both_per_second"] = jobs / (work.reaches("end") - begun)
                used, sample["others"] = before.until(Usage())
        sample["processor_ms"] = used * 1e3 / jobs
        program.fresh()
        with program.start("latency", RATE, seconds + 1) as latency:
            waits = sorted(json.loads(latency.line()[0])[RATE:])
        sample["start_ms"] = {"p50": waits[len(waits) // 2], "p99": waits[len(waits) * 99 // 100]}
    return sample
