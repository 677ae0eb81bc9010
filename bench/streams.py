"""Whether two streams lift what one queue stream can do: a run of no-op shards, one page a tile, by one installation; and two of half
as many shards, at once, by two installations on the same broker.

    python3 bench/streams.py GRIDLOOM [ROUNDS] [SHARDS]

GRIDLOOM is the program, built in release. Each is also measured with one thread for the broker's Go code. docs/decisions/0037 has what
came out.
"""
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SERVER = os.path.expanduser("~/.cache/gridloom/nats-server-2.15.1/nats-server")
TICKS = os.sysconf("SC_CLK_TCK")
JOB = 'name = "noop-{shards}"\nhandler = "noop"\n[grid]\nslices = 16\ntile = 1\n[grid.pages]\ncount = {pages}\n'
WAYS = [(streams, threads) for streams in (1, 2) for threads in (None, 1)]


def seconds(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine():
    """Idle seconds and all."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (fields[3] + fields[4]) / TICKS, sum(fields) / TICKS


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Stack:
    """A broker, and a planner and a worker for each installation on it."""

    def __init__(self, gridloom, streams, threads):
        self.gridloom, self.dir = gridloom, tempfile.mkdtemp(prefix="gridloom-streams-")
        self.url, self.spaces = f"nats://127.0.0.1:{free_port()}", [f"space{number}" for number in range(streams)]
        config = pathlib.Path(self.dir, "nats.conf")
        listen = self.url.removeprefix("nats://")
        config.write_text(f'listen: "{listen}"\njetstream {{ store_dir: "{self.dir}/js" }}\n')
        environment = {**os.environ, **({"GOMAXPROCS": str(threads)} if threads else {})}
        self.processes = [self._start([SERVER, "-c", config], environment)]
        for space in self.spaces:
            for service in (["planner"], ["worker", "--concurrency", "1000"]):
                self.processes.append(self._start([gridloom, *service, *self._where(space), "--log", "error"]))

    def _where(self, space):
        return ["--nats", self.url, "--namespace", space]

    def _start(self, command, environment=None):
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)

    def command(self, space, *order):
        return [self.gridloom, *order, "--json", *self._where(space)]

    def order(self, space, *order):
        """Says so until it can be done: the planner may not be there yet."""
        give_up = time.monotonic() + 30
        while (ended := subprocess.run(self.command(space, *order), capture_output=True, text=True, check=False)).returncode:
            if time.monotonic() > give_up:
                raise SystemExit(f"{order}: {ended.stderr}")
            time.sleep(0.1)

    def end(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def run_together(stack, shards):
    """Seconds until the runs of all installations are over, each of its part of the shards."""
    each = shards // len(stack.spaces) // 16 * 16
    file = pathlib.Path(stack.dir, f"noop-{each}.toml")
    file.write_text(JOB.format(shards=each, pages=each // 16))
    for space in stack.spaces:
        stack.order(space, "job", "apply", file)
    begun = time.monotonic()
    runs = [subprocess.Popen(stack.command(space, "run", f"noop-{each}", "--wait"), stdout=subprocess.DEVNULL)
            for space in stack.spaces]
    for run in runs:
        if run.wait(300):
            raise SystemExit("a run did not succeed")
    return time.monotonic() - begun


def measure(gridloom, shards, streams, threads):
    stack = Stack(gridloom, streams, threads)
    try:
        run_together(stack, 40_000)
        used, (idle, all_) = [seconds(process) for process in stack.processes], machine()
        took = run_together(stack, shards)
        used, later = [seconds(process) - before for process, before in zip(stack.processes, used)], machine()
        part = later[1] - all_
        return {"shards/s": shards / took, "broker, cores": used[0] / took, "all, cores": sum(used) / took,
                "idle": (later[0] - idle) / part, "others": max(0, 1 - (later[0] - idle + sum(used)) / part)}
    finally:
        stack.end()


def main():
    gridloom = os.path.abspath(sys.argv[1])
    rounds, shards = (int(sys.argv[at]) if len(sys.argv) > at else default for at, default in ((2, 3), (3, 200_000)))
    found = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            found[way].append(measure(gridloom, shards, *way))
            print(way, {name: round(value, 2) for name, value in found[way][-1].items()}, file=sys.stderr, flush=True)
    for (streams, threads), samples in found.items():
        middle = {name: statistics.median(sample[name] for sample in samples) for name in samples[0]}
        print(f"{streams} queue stream(s), broker with {threads or 'all'} thread(s): "
              + ", ".join(f"{name} {value:,.2f}" for name, value in middle.items()))


main()
