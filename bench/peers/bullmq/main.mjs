// BullMQ: jobs added a thousand at once, 200 worked at once, removed when they are done.
//
// `enqueue JOBS`, `work JOBS`, `latency RATE SECONDS`, each with PEER_PORT. `begin` and `end` on standard
// output are what the script takes the time of; `latency` prints the waits in milliseconds.

import { setTimeout as sleep } from "node:timers/promises";
import { Queue, Worker } from "bullmq";

const NAME = "nothing";
const AT_ONCE = 200;
const BATCH = 1_000;
const LOOK_MS = 2;
const connection = { host: "127.0.0.1", port: Number(process.env.PEER_PORT), maxRetriesPerRequest: null };

const queue = new Queue(NAME, { connection, defaultJobOptions: { removeOnComplete: true } });
const waits = [];
let done = 0;

async function handle(job) {
  if (job.data.sent !== undefined) waits.push(performance.now() - job.data.sent);
}

/** Starts the worker; it ends with the process. */
async function start() {
  const worker = new Worker(NAME, handle, { connection, concurrency: AT_ONCE, autorun: false });
  worker.on("completed", () => done++);
  worker.on("error", fail);
  await worker.waitUntilReady();
  return worker;
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

async function has(jobs) {
  while (done < jobs) await sleep(LOOK_MS);
}

async function enqueue(jobs) {
  await queue.waitUntilReady();
  console.log("begin");
  for (let left = jobs; left > 0; left -= BATCH) {
    const some = Array.from({ length: Math.min(left, BATCH) }, () => ({ name: NAME, data: {} }));
    await queue.addBulk(some);
  }
  console.log("end");
}

async function work(jobs) {
  const worker = await start();
  console.log("begin");
  worker.run().catch(fail);
  await has(jobs);
  while (await queue.getJobCountByTypes("waiting", "active")) await sleep(LOOK_MS);
  console.log("end");
}

async function latency(rate, seconds) {
  (await start()).run().catch(fail);
  await queue.waitUntilReady();
  await sleep(1_000);
  const begun = performance.now();
  for (let job = 0; job < rate * seconds; job++) {
    await sleep(begun + (job * 1_000) / rate - performance.now());
    queue.add(NAME, { sent: performance.now() }).catch(fail);
  }
  await has(rate * seconds);
  console.log(JSON.stringify(waits));
}

const orders = { enqueue, work, latency };
const [order, ...numbers] = process.argv.slice(2);
if (!(order in orders)) fail("enqueue JOBS, work JOBS or latency RATE SECONDS");
await orders[order](...numbers.map(Number)).catch(fail);
process.exit(0);
