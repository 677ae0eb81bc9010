"""What the programs of the peers in Python have in common.

`enqueue JOBS`, `work JOBS`, `latency RATE SECONDS`, each with PEER_PORT. `begin` and `end` on standard output are what the
script takes the time of; `latency` prints the waits in milliseconds. Workers are forked, so they share the counters below.
"""
import json
import multiprocessing
import os
import sys
import time

AT_ONCE = max(2, os.cpu_count() or 2)
PORT = int(os.environ["PEER_PORT"])
LOOK = 0.002

shared = multiprocessing.get_context("fork")
done = shared.Value("q", 0)
waits = shared.Array("d", 1_000_000, lock=False)


def executed(job=None, sent=None):
    """What the job of a peer does: it is counted, and where it says when it was sent, so is its wait."""
    if sent is not None:
        waits[job] = time.monotonic() - sent
    with done.get_lock():
        done.value += 1


def forked(serve, count=AT_ONCE):
    """Runs `serve` in so many processes; what is returned ends them."""
    processes = [shared.Process(target=serve, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()

    def stop():
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(10)

    return stop


class Program:
    """A peer: `connect` makes ready to enqueue, `submit` takes the arguments of `executed`, `start` starts its workers and
    returns what ends them, `pending` says how many jobs the store still has."""

    def __init__(self, connect, submit, start, pending, submit_many=None):
        self.connect, self.submit, self.start, self.pending = connect, submit, start, pending
        self.submit_many = submit_many or self._one_by_one

    def _one_by_one(self, jobs):
        for _ in range(jobs):
            self.submit()

    def enqueue(self, jobs):
        self.connect()
        print("begin", flush=True)
        self.submit_many(jobs)
        print("end", flush=True)

    def work(self, jobs):
        print("begin", flush=True)
        stop = self.start()
        _until(jobs)
        while self.pending():
            time.sleep(LOOK)
        print("end", flush=True)
        stop()

    def latency(self, rate, seconds):
        stop = self.start()
        self.connect()
        self.submit(0, time.monotonic())
        _until(1)  # workers are there
        begun = time.monotonic()
        for job in range(rate * seconds):
            time.sleep(max(0, begun + job / rate - time.monotonic()))
            self.submit(job, time.monotonic())
        _until(rate * seconds + 1)
        print(json.dumps([wait * 1e3 for wait in waits[: rate * seconds]]), flush=True)
        stop()

    def main(self):
        order, *numbers = sys.argv[1:]
        {"enqueue": self.enqueue, "work": self.work, "latency": self.latency}[order](*map(int, numbers))


def _until(jobs):
    while done.value < jobs:
        time.sleep(LOOK)
