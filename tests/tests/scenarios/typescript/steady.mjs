// Handlers that tests look at from outside, with the SDK that the variable SDK names.
//
//     node steady.mjs LOG           runs shards, and writes what it does of which one, and when, into a file of all processes
//     node steady.mjs client API    starts runs and waits for them

import { openSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const { ApiError, Client, Hold, Permanent, Retry, RunFailed, Worker } = await import(process.env.SDK);

async function client(api) {
  const asks = new Client({ api });
  const receipts = [];
  for (let n = 0; n < 2; n++) {
    receipts.push(await asks.submit("plain", { id: "monday", params: { sleep_ms: 1 } }));
  }
  const run = await asks.wait(receipts[0], { timeoutMs: 60_000 });
  const failed = await asks.submit("plain", { params: { fail_percent: 100, permanent: true } });
  const state = await asks.wait(failed, { timeoutMs: 60_000 }).catch((error) => error instanceof RunFailed && error.run.state);
  const refused = [];
  for (const [job, params] of [["nobody", {}], ["plain", { sleep_ms: "long" }]]) {
    await asks.submit(job, { params }).catch((error) => refused.push(error instanceof ApiError && error.type));
  }
  console.log(JSON.stringify([receipts.map(({ answer }) => answer), run.id, run.state, run.shards.done, state, refused]));
}

async function work(file) {
  const log = openSync(file, "a");
  const told = (what, shard) => writeSync(log, `${what} ${shard.key} ${process.pid} ${process.hrtime.bigint()}\n`);
  const worker = new Worker({ command: process.env.COMMAND });
  let held = false;
  worker.handler("steady", async (shard) => {
    told("begin", shard);
    for (let beat = 0; beat < 10; beat++) {
      await sleep(20, undefined, { signal: shard.signal });
      told("beat", shard);
      shard.rows();
    }
    told("end", shard);
  });
  // Never waits for anything: it hears that it is to stop at its checks alone.
  worker.handler("busy", (shard) => {
    told("begin", shard);
    for (const end = Date.now() + 60_000; Date.now() < end; ) {
      try {
        shard.check();
      } catch (stopped) {
        told("end", shard);
        throw stopped;
      }
    }
  });
  worker.handler("moody", (shard) => {
    shard.count("attempts", shard.attempt);
    if (shard.page === 1 && shard.attempt === 1) {
      throw new Retry("once more");
    }
    if (shard.page === 2) {
      throw new Permanent("no such bucket", { cause: new Error("gone") });
    }
    if (shard.page === 3 && !held) {
      held = true;
      throw new Hold("busy", { afterMs: 200 });
    }
  });
  await worker.run();
}

const [what, where] = process.argv.slice(2);
await (what === "client" ? client(where) : work(what));
