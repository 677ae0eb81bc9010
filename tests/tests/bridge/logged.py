"""Handlers by sdk/python that write down each execution as the oracle reads it: DIR/log has a file for each process, DIR/pids
its process id.

    logged.py DIR
"""

import itertools
import json
import os
import sys
import time

import gridloom

DIR = sys.argv[1]
for folder in ("log", "pids"):
    os.makedirs(os.path.join(DIR, folder), exist_ok=True)
LOG = os.open(os.path.join(DIR, "log", str(os.getpid())), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
NUMBERS = itertools.count()
worker = gridloom.Worker()


def told(number, event, **more):
    at = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000
    # One write, so that lines of several threads stay whole.
    os.write(LOG, (json.dumps({**more, "event": event, "at_us": at, "pid": os.getpid(), "number": number}) + "\n").encode())


@worker.handler("h")
def work(shard):
    number = next(NUMBERS)
    about = {"run": shard.run, "slice": shard.slice, "page": shard.page, "attempt": shard.attempt, "fence": shard.fence}
    told(number, "start", **about)
    how = "cancelled"
    try:
        for _ in range(shard.params["steps"]):
            shard.check()
            time.sleep(0.01)
        if shard.page % 10 == 3 and shard.attempt == 1:
            how = "failed"
            raise gridloom.Retry("no such luck")
        shard.rows()
        shard.count("pages", shard.page)
        how = "done"
    finally:
        told(number, how)


if __name__ == "__main__":
    with open(os.path.join(DIR, "pids", str(os.getpid())), "w") as file:
        file.write(f"{os.getpid()}\n")
    worker.run()
