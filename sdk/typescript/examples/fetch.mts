// Asks many addresses at once, in one process; pages are found by a probe. In TypeScript: compile it first.
//
//     npx tsc -p .                                          # in this folder
//     gridloom worker --slots 50 -- node built/fetch.mjs    # beside gridloom dev
//     gridloom job apply fetch.toml
//     gridloom run fetch --wait

import { setTimeout as sleep } from "node:timers/promises";

import { Worker, type Page, type Probe } from "gridloom";

const CUSTOMERS = 1_000;
const worker = new Worker();

worker.handler("fetch", async (shard) => {
  const [first, last] = shard.bounds as readonly [number, number];
  for (let customer = first; customer <= last; customer++) {
    if (shard.owns(customer)) {
      // Where a request goes out, `Idempotency-Key: ${shard.key}-${customer}` makes it safe to repeat.
      await sleep(1, undefined, { signal: shard.signal });
      shard.rows();
    }
  }
});

/** Pages of 100 customers, behind those that are known. */
function* pages(probe: Probe): Generator<Page> {
  for (let first = Number(probe.after ?? 0) + 1; first <= CUSTOMERS; first += 100) {
    yield [first, Math.min(first + 99, CUSTOMERS)];
  }
}

await worker.pages("fetch", pages).run();
