"""Gridloom beside other job queues, on one machine in alternating rounds.

    python3 bench/peers            # --quick for three short rounds; --help for the rest
    python3 bench/peers --only Python

Fetches graphile_worker, River, BullMQ, asynq, Huey, Celery, Dramatiq and arq from their package registries in pinned versions, starts a
PostgreSQL and a Redis of its own, and measures each with jobs that do nothing. Needs Linux, Rust, PostgreSQL and
redis-server; Go, Node and Python's venv for the peers in these languages. What is missing is said, and left out.
docs/PERFORMANCE.md says what is counted.
"""
import argparse
import json
import pathlib
import shutil
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import engine
import peers
import report
import stores
from processes import Failed, end_all

WAYS = ("1 page a tile", "64 pages a tile", "ad hoc", "Python, 1 page a tile", "Python, automatic tiles")
# When what is confirmed is on the disk; how `durability` calls the interval, what the broker is told; the ways that are measured.
SETTINGS = {
    durable: (interval, told, *(f"Gridloom, {way}" for way in WAYS))
    for durable, interval, told in (("at each write", "always", "always"), ("within a second", "a second", '"1s"'))
}


def arguments():
    parser = argparse.ArgumentParser(prog="bench/peers", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, help="in each, every way is measured once (5; with --quick 3)")
    parser.add_argument("--quick", action="store_true", help="fewer rounds of half as many jobs")
    parser.add_argument("--only", metavar="WORD", action="append", help="ways whose name has this word; several times")
    parser.add_argument("--bench", metavar="FILE", help="a gridloom-bench that is built already")
    parser.add_argument("--data", metavar="DIR", help="where the stores are put: on a disk (the system's temporary folder)")
    parser.add_argument("--cache", metavar="DIR", default="~/.cache/gridloom/peers", help="where programs are kept (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    return parser.parse_args()


def note(text):
    print(text, file=sys.stderr, flush=True)


class Rounds:
    """Everything that is measured, and what was found."""

    def __init__(self, flags, data):
        self.flags, self.data, self.missing = flags, data, []
        self.cache = pathlib.Path(flags.cache).expanduser().resolve()
        self.cache.mkdir(parents=True, exist_ok=True)
        self.seconds, self.part = (4, 2) if flags.quick else (8, 1)
        self.rounds, self.versions = [], {}

    def wanted(self, name):
        return not self.flags.only or any(word.lower() in name.lower() for word in self.flags.only)

    def prepare(self):
        self.programs, self.stores = {}, {}
        self.peers = [peer for peer in peers.PEERS if self.wanted(peer.name) and self._has(peer)]
        self.engine = None
        if any(self.wanted(f"Gridloom, {way}") for way in WAYS):
            note("building gridloom-bench")
            self.engine = engine.Engine(engine.build(self.flags.bench), self.data)

    def _has(self, peer):
        try:
            if peer.store not in self.stores:
                made = stores.Postgres(self.data) if peer.store == "postgres" else stores.Redis(self.data, peer.store)
                self.stores[peer.store] = made
                self.versions["PostgreSQL" if peer.store == "postgres" else "Redis"] = made.version
            if peer.folder not in self.programs:
                note(f"fetching and building {peer.folder}")
                self.programs[peer.folder] = peers.fetch(peer.folder, self.cache)
            return True
        except Failed as failed:
            self._left_out(peer.name, failed)
            return False

    def _left_out(self, name, why):
        note(f"left out: {name}: {why}")
        self.missing.append({"name": name, "why": str(why)})

    def measure(self):
        count = self.flags.rounds or (3 if self.flags.quick else 5)
        for number in range(1, count + 1):
            samples, before = {}, f"round {number} of {count}"
            self.rounds.append(samples)
            if self.engine:
                self._engine(before, samples)
            for peer in self.peers[:]:
                try:
                    jobs = peer.jobs // self.part
                    samples[peer.name, peer.durable] = peers.measure(
                        peer, self.programs[peer.folder], self.stores[peer.store], jobs, self.seconds)
                    note(f"{before}: {peer.name}: {samples[peer.name, peer.durable]['worked_per_second']:,.0f}/s")
                except Failed as failed:
                    self.peers.remove(peer)
                    self._left_out(peer.name, failed)

    def _engine(self, before, samples):
        try:
            wanted = [self.wanted(f"Gridloom, {way}") for way in WAYS]
            if any(wanted[:2]):
                self.versions["nats-server"], grids = self.engine.grids(100_000 // self.part)
            for durable, (interval, told, grid, tiles, small, python, chosen) in SETTINGS.items():
                if any(wanted[:2]):
                    samples[grid, durable], samples[tiles, durable] = grids[interval]
                if wanted[2]:
                    samples[small, durable] = self.engine.small(40_000 // self.part, self.seconds, told)
                if any(wanted[3:]):
                    self.versions["nats-server"], (samples[python, durable], samples[chosen, durable]) = self.engine.python(
                        self.seconds, told)
            for (name, durable), sample in samples.items():
                rate = sample.get("worked_per_second") or sample["both_per_second"]
                note(f"{before}: {name}, {durable}: {rate:,.0f}/s")
        except Failed as failed:
            note(f"{before}: Gridloom: {failed}")
            if len(self.rounds) == 1:
                self.missing.append({"name": "Gridloom, in part", "why": str(failed)})

    def ways(self):
        ways = [{"name": name, "durable": durable, "at_once": engine.at_once(name)} for durable, (_, _, *names) in SETTINGS.items()
                for name in names]
        ways += [{"name": peer.name, "durable": peer.durable, "at_once": peer.at_once} for peer in peers.PEERS]
        return [way for way in ways if any(report.key(way) in samples for samples in self.rounds)]


def show(found, rows):
    here = found["machine"]
    print(f"{here['cores']} cores of {here['processor']}, {here['memory_gib']} GiB, Linux {here['kernel']}; "
          + "; ".join(f"{name} {version}" for name, version in found["versions"].items())
          + f"; a page is on the disk ({found['file_system']}) after {found['flush_ms']:.2f} ms; "
          f"{found['rounds']} rounds in {found['minutes']:.1f} minutes\n")
    print(report.table(rows))
    for left in found["missing"]:
        print(f"\nnot measured: {left['name']}: {left['why']}")


def main():
    flags, begun = arguments(), time.monotonic()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    data = pathlib.Path(tempfile.mkdtemp(prefix="gridloom-peers-", dir=flags.data))
    # A server that does not run as root has its store in it.
    data.chmod(0o755)
    try:
        rounds = Rounds(flags, data)
        flush_ms = stores.flush_ms(data)
        rounds.prepare()
        measured = time.monotonic()
        rounds.measure()
        rows = report.conclude(rounds.ways(), rounds.rounds, SETTINGS)
        found = {"machine": report.machine(), "versions": rounds.versions, "file_system": report.file_system(data),
                 "flush_ms": flush_ms, "postgres": stores.POSTGRES, "rounds": len(rounds.rounds),
                 "minutes": (time.monotonic() - measured) / 60, "ways": rows, "missing": rounds.missing}
        note(f"all of it took {(time.monotonic() - begun) / 60:.1f} minutes")
        if flags.json:
            print(json.dumps({**found, "samples": [
                {f"{name}, {durable}": sample for (name, durable), sample in samples.items()} for samples in rounds.rounds]}, indent=1))
        else:
            show(found, rows)
    except KeyboardInterrupt:
        note("stopped")
        return 130
    except Failed as failed:
        note(str(failed))
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        end_all()
        remove(data)
    return 0


def remove(data):
    """Processes that have just been killed may still write to it."""
    for _ in range(50):
        shutil.rmtree(data, ignore_errors=True)
        if not data.exists():
            return
        time.sleep(0.1)


sys.exit(main())
