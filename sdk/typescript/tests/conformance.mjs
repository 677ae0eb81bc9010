// The program of docs/SDK-TEST.md: what `gridloom sdk-test` asks a library for.
//
//     node conformance.mjs          handlers that wait
//     node conformance.mjs busy     those that are to stop never wait for anything

import { setTimeout as sleep } from "node:timers/promises";

import { Hold, Permanent, Retry, Worker } from "gridloom";

// With `sdk-test --attach` nobody says how many slots it has but itself.
const worker = new Worker({ slots: Number(process.env.SDK_TEST_SLOTS ?? 1) });
const busy = process.argv[2] === "busy";
let counter = 0;

function line(text) {
  process.stdout.write(`${text}\n`);
}

/** What is said of what is not there. */
function said(...values) {
  return values.map((value) => value ?? "-").join(" ");
}

function error({ params }) {
  return params.error.repeat(params.times ?? 1);
}

worker.handler("ok", () => undefined);
worker.handler("where", (shard) => {
  const { run, job, handler, slice, slices, page, attempt, fence, key, traceparent } = shard;
  shard.result(said(run, job, handler, slice, slices, page, attempt, fence, key, traceparent));
});
worker.handler("echo", (shard) => shard.result(JSON.stringify(shard.params)));
worker.handler("settings", (shard) => shard.result(JSON.stringify(shard.settings)));
worker.handler("bounds", (shard) => {
  const [from, to] = shard.bounds ?? [];
  shard.result(said(from, to, shard.offset, shard.limit));
});
worker.handler("owns", (shard) => shard.result(shard.params.keys.map((key) => (shard.owns(key) ? "1" : "0")).join("")));
worker.handler("deadline", async (shard) => {
  const left = shard.remainingMs;
  shard.result(left === undefined ? "-" : String(Math.floor(left)));
  await sleep(shard.params.ms ?? 0);
});
worker.handler("rows", (shard) => shard.rows(shard.params.rows));
worker.handler("count", (shard) => Object.entries(shard.params.counters).forEach(([name, n]) => shard.count(name, n)));
worker.handler("result", (shard) => shard.result(shard.params.text.repeat(shard.params.times ?? 1)));
worker.handler("retry", (shard) => {
  throw new Retry(error(shard));
});
worker.handler("retry-after", (shard) => {
  throw new Retry(error(shard), { afterMs: shard.params.after_ms });
});
worker.handler("permanent", (shard) => {
  throw new Permanent(error(shard));
});
worker.handler("hold", (shard) => {
  throw new Hold(error(shard), { afterMs: shard.params.after_ms });
});
worker.handler("throw", (shard) => {
  throw new Error(error(shard));
});
worker.handler("bad-text", () => {
  throw new Retry("half \ud800");
});
worker.handler("exit", () => process.exit(3));
worker.handler("until-stopped", async (shard) => {
  const { only, rows } = shard.params;
  if (only !== undefined && only !== shard.page) {
    return;
  }
  shard.rows(rows ?? 0);
  line(`begun ${shard.key}`);
  for (;;) {
    shard.check();
    if (!busy) {
      await sleep(2);
    }
  }
});
worker.handler("ignore-stop", async (shard) => {
  line(`begun ${shard.key}`);
  await sleep(shard.params.ms);
});
worker.handler("span", async (shard) => {
  const first = ++counter;
  await sleep(shard.params.ms ?? 0);
  shard.result(`${first} ${++counter}`);
});
worker.handler("print", (shard) => {
  line(shard.params.text);
  process.stderr.write(`${shard.params.text}\n`);
});
worker.handler("leave", () => worker.stop());
for (const name of ["pages", "pages-text", "pages-fail"]) {
  worker.handler(name, () => undefined);
}
worker.pages("pages", function* ({ after, params: { last, size } }) {
  for (let first = (after ?? 0) + 1; first <= last; first += size) {
    yield [first, Math.min(first + size - 1, last)];
  }
});
worker.pages("pages-text", ({ after }) => {
  const pages = [["a", "b"], ["c", "é"], ["日本", "日本語"]];
  return after === undefined ? pages : pages.slice(pages.findIndex(([, last]) => last === after) + 1);
});
worker.pages("pages-fail", () => {
  throw new Permanent("no such table");
});

await worker.run();
