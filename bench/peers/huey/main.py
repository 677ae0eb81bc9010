"""Huey with worker processes, as many as the machine has cores, that wait at Redis.

`enqueue JOBS`, `work JOBS`, `latency RATE SECONDS`, each with PEER_PORT. `begin` and `end` on standard output
are what the script takes the time of; `latency` prints the waits in milliseconds. A job that is taken is gone
from the queue: what a worker that dies was given is lost.
"""
import json
import multiprocessing
import os
import sys
import time

from huey import RedisHuey

AT_ONCE = max(2, os.cpu_count() or 2)
LOOK = 0.002

huey = RedisHuey("nothing", host="127.0.0.1", port=int(os.environ["PEER_PORT"]), results=False)
shared = multiprocessing.get_context("fork")
done = shared.Value("q", 0)
waits = shared.Array("d", 1_000_000, lock=False)


@huey.task()
def nothing(job=None, sent=None):
    if sent is not None:
        waits[job] = time.monotonic() - sent
    with done.get_lock():
        done.value += 1


def start():
    """Starts the workers; they end with the process."""
    consumer = huey.create_consumer(workers=AT_ONCE, worker_type="process", periodic=False)
    consumer.start()
    return consumer


def until(jobs):
    while done.value < jobs:
        time.sleep(LOOK)


def enqueue(jobs):
    huey.storage.conn.ping()
    print("begin", flush=True)
    for _ in range(jobs):
        nothing()
    print("end", flush=True)


def work(jobs):
    print("begin", flush=True)
    consumer = start()
    until(jobs)
    while huey.pending_count():
        time.sleep(LOOK)
    print("end", flush=True)
    consumer.stop()


def latency(rate, seconds):
    consumer = start()
    time.sleep(1)
    begun = time.monotonic()
    for job in range(rate * seconds):
        time.sleep(max(0, begun + job / rate - time.monotonic()))
        nothing(job, time.monotonic())
    until(rate * seconds)
    print(json.dumps([wait * 1e3 for wait in waits[: rate * seconds]]), flush=True)
    consumer.stop()


order, *numbers = sys.argv[1:]
{"enqueue": enqueue, "work": work, "latency": latency}[order](*map(int, numbers))
