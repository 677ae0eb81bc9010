"""Gridloom beside them, as `gridloom-bench` measures it: everything on the disk when it is confirmed, or within a second."""
import json
import os
import pathlib

from peers import AT_ONCE, RATE
from processes import Failed, Process, Usage, run

# Children of its Python rows, and tiles that each of them runs at once.
PROCESSES, SLOTS = AT_ONCE, 16
ROOT = pathlib.Path(__file__).resolve().parents[2]


def build(given):
    """The program that measures it."""
    if given:
        return pathlib.Path(given).resolve()
    run([os.environ.get("CARGO", "cargo"), "build", "--release", "--locked", "-p", "gridloom-bench"], cwd=ROOT)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return ROOT / target / "release" / "gridloom-bench"


def at_once(way):
    """How many tiles of one of its ways run at once."""
    return f"{PROCESSES} processes, {SLOTS} each" if "Python" in way else "1,000"


class Engine:
    """`gridloom-bench` with its stores in a folder of ours."""

    def __init__(self, program, folder):
        self.program, self.env, self.folder = program, {"TMPDIR": str(folder)}, folder

    def _asked(self, *args):
        with open(self.folder / "engine.log", "w+b") as log:
            with Process([self.program, "--json", *map(str, args)], env=self.env, log=log) as bench:
                said = bench.output()
            log.seek(0)
            if bench.child.returncode:
                raise Failed(log.read().decode()[-2_000:].strip())
        return json.loads(said)

    def grids(self, tiles):
        """Runs of as many tiles: the broker's version, and for each interval of flushes a sample for each tile size."""
        found = self._asked("durability", "--rounds", 1, "--shards", tiles, "--submissions", 100)
        samples = {}
        for setting in found["settings"]:
            if setting["queue"] == "memory":
                rates = [rates[0] for rates in setting["shards_per_second"]]
                samples[setting["sync_interval"]] = [
                    {"worked_per_second": rate, "others": setting["others"][0]} for rate in rates]
        return found["broker"], samples

    def small(self, runs, seconds, interval):
        """Runs of one shard, each submitted for itself."""
        before = Usage()
        found = self._asked("small", "--runs", runs, "--rounds", 1, "--rates", RATE, "--seconds", seconds,
                            "--jetstream", f"sync_interval: {interval}")
        _, others = before.until(Usage())
        seen, start = found["rounds"][0], found["paced"][0]["first_start_ms"]
        return {"both_per_second": seen["runs_per_second"], "processor_ms": sum(seen["cost_ms"].values()),
                "start_ms": {"p50": start["p50"], "p99": start["p99"]}, "others": others}

    def python(self, seconds, interval):
        """Runs whose handler is a function in Python: the broker's version, and a sample for tiles of one page and for those that
        the planner chooses."""
        found = self._asked("sdk", "--languages", "python", "--processes", PROCESSES, "--slots", SLOTS, "--rounds", 1,
                            "--seconds", seconds, "--jetstream", f"sync_interval: {interval}")
        if found["missing"]:
            raise Failed(found["missing"][0])
        samples = {}
        for way in found["ways"]:
            if way["name"] == "Python, def":
                [seen] = way["samples"]
                cpu = sum(seen[f"{who}_cpu"] for who in ("planner", "broker", "worker", "children"))
                samples[way["tile"]] = {"worked_per_second": way["shards_per_second"], "others": seen["others"],
                                        "processor_ms": cpu * 1e3 / seen["shards"]}
        return found["broker"], (samples[1], samples[None])
