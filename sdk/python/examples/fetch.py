"""Asks many addresses at once, in one process and one event loop; pages are found by a probe.

    gridloom worker --slots 50 -- python3 fetch.py        # beside gridloom dev, in this folder
    gridloom job apply fetch.toml
    gridloom run fetch --wait
"""

import asyncio
from typing import Iterator, Tuple

import gridloom

worker = gridloom.Worker()
CUSTOMERS = 1_000


@worker.handler("fetch")
async def fetch(shard: gridloom.Shard) -> None:
    assert shard.bounds is not None
    first, last = shard.bounds
    for number in range(int(first), int(last) + 1):
        if shard.owns(number):
            # Where a request goes out, `Idempotency-Key: {shard.key}-{number}` makes it safe to repeat.
            await asyncio.sleep(0.001)
            shard.rows()


@worker.pages("fetch")
def pages(probe: gridloom.Probe) -> Iterator[Tuple[int, int]]:
    """Pages of 100 customers, behind those that are known."""
    for first in range(int(probe.after or 0) + 1, CUSTOMERS + 1, 100):
        yield first, min(first + 99, CUSTOMERS)


if __name__ == "__main__":
    worker.run()
