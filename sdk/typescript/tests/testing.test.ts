/** Handlers without a broker, and by them what a shard says and refuses. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Hold, Permanent, Retry, sliceOf, Stopped, Worker, type Key, type Page, type Probe, type Shard } from "../dist/index.js";
import { probe, run, runAll, shard, stop } from "../dist/testing.js";

const NAMES = Array.from({ length: 100 }, (_, n) => `${n}.jpg`);

function resize(one: Shard<{ width: number }>): void {
  for (const name of NAMES) {
    if (one.owns(name)) {
      one.check();
      one.rows();
      one.count("bytes", name.length);
    }
  }
  one.result({ width: one.params.width });
}

test("one shard", async () => {
  const outcome = await run(resize, { params: { width: 200 }, slices: 4, slice: 1 });
  assert.deepEqual([outcome.ok, outcome.result], [true, '{"width":200}']);
  assert.equal(outcome.rows, NAMES.filter((name) => sliceOf(name, 4) === 1).length);
});

test("what throws when it is looked at is an error all the same, and several have the word of one in them", async () => {
  const hostile = new Proxy({}, { get: () => raises(), has: () => raises(), getPrototypeOf: () => raises() });
  const endless = { get cause(): unknown { return Object.create(Object.getPrototypeOf(this), Object.getOwnPropertyDescriptors(this)); } };
  class Busy extends Hold {
    override readonly afterMs = NaN;
    constructor() {
      super("busy", { afterMs: 1 });
    }
  }
  const errors: unknown[] = [hostile, endless, new Busy(), new AggregateError([new Error("a"), new Permanent("b")]), undefined, Symbol("s")];
  const found = await Promise.all(errors.map((_, page) => run((one) => { throw errors[one.page]; }, { page })));
  assert.deepEqual(found.map((one) => [one.kind, one.afterMs]), [
    ["retry", undefined],
    ["retry", undefined],
    ["hold", 0],
    ["permanent", undefined],
    ["retry", undefined],
    ["retry", undefined],
  ]);
});

function raises(): never {
  throw new Error("do not look");
}

test("a whole grid does each record once", async () => {
  const whole = (await runAll(resize, { params: { width: 1 }, slices: 7 })).check();
  assert.deepEqual([whole.ok, whole.rows, whole.outcomes.length], [true, 100, 7]);
  assert.deepEqual(whole.counters, { bytes: NAMES.join("").length });
});

test("a stop is heard at a check, and by a signal", async () => {
  const outcome = await run(resize, { stopAfterChecks: 10 });
  assert.deepEqual([outcome.kind, outcome.ok], ["stopped", false]);
  assert.ok(outcome.thrown instanceof Stopped && outcome.thrown.message === "lease lost");
  const one = shard();
  const running = run((given) => sleep(3_600_000, undefined, { signal: given.signal }), one);
  stop(one, "cancelled");
  assert.equal((await running).kind, "stopped");
  assert.ok(one.signal.aborted && shard().signal.aborted === false);
});

test("failures are told as the ledger has them", async () => {
  const errors = [new Retry("a", { afterMs: 2000 }), new Permanent("b"), new Hold("c", { afterMs: 3000 }), new Error(), new RangeError("d")];
  const fails = (one: Shard): never => {
    throw errors[one.page];
  };
  const found = await Promise.all(errors.map((_, page) => run(fails, { page })));
  assert.deepEqual(found.map((one) => [one.kind, one.afterMs, one.error]), [
    ["retry", 2000, "a"],
    ["permanent", undefined, "b"],
    ["hold", 3000, "c"],
    ["retry", undefined, "Error"],
    ["retry", undefined, "RangeError: d"],
  ]);
  assert.equal((await run(async () => new Permanent("meant to be thrown"))).error, "meant to be thrown");
  const whole = await runAll(fails, { pages: 2 });
  assert.throws(() => whole.outcomes[1]?.check(), /shard 0\/1: permanent: b/);
});

test("a probe is asked until the end", async () => {
  function* pages(asked: Probe): Generator<Page> {
    for (let first = Number(asked.after ?? 0) + 1; first < 100; first += 10) {
      yield [first, Math.min(first + 9, 99)];
    }
  }
  const all = Array.from({ length: 10 }, (_, n): Page => [10 * n + 1, Math.min(10 * n + 10, 99)]);
  assert.deepEqual(await probe(pages), all);
  // One page an answer, and the same comes out.
  assert.deepEqual(await probe(pages, { pagesMax: 1 }), all);
  assert.deepEqual(await probe(pages, { room: 20 }), all);
  const texts: Page[] = [["a", "b"], ["c", "d"]];
  const later = async function* (asked: Probe): AsyncGenerator<Page> {
    yield* texts.filter(([first]) => asked.after === undefined || first > asked.after);
  };
  assert.deepEqual(await probe(later, { pagesMax: 1 }), texts);
  const handler = (one: Shard): void => {
    const [first, last] = one.bounds as readonly [number, number];
    one.rows(last - first + 1);
  };
  assert.equal((await runAll(handler, { slices: 2, pages })).check().rows, 198);
});

test("pages by which a row would be done twice are refused", async () => {
  const faults: unknown[][] = [
    [[1, 9], [9, 12]],
    [[1, 9], [5, 12]],
    [[5, 4]],
    [["a", "b"], ["b", "c"]],
    [["a", "b"], ["c", "a"]],
    [[1, 2], ["a", "b"]],
    [[1, "a"]],
    [[1.5, 2]],
    [[true, 2]],
    [[1, 2 ** 53]],
    [[1, 2n ** 63n]],
    [[9007199254740993n, 9007199254740994n], [9007199254740994n, 9007199254740995n]],
    [[1, 7], [7n, 8n]],
    [["x".repeat(257), "y"]],
    [["a\ud800", "b"]],
    [1],
    ["ab"],
    [[1, 2, 3]],
  ];
  for (const pages of faults) {
    await assert.rejects(probe(() => pages as Page[]), Permanent, String(pages));
  }
  assert.deepEqual(await probe(() => [[1, 7], [8n, 9n]]), [[1, 7], [8n, 9n]]);
});

test("texts are ordered by their database alone", async () => {
  const pages: [Key, Key][] = [["a", "a"], ["B", "b"], ["A", "c"]];
  assert.deepEqual(await probe(() => pages), pages);
});

test("a page that begins where the last answer ended is refused", () =>
  assert.rejects(
    probe(({ after }) => (after === undefined ? [[7, 7], [8, 8]] : [[7, 9]]), { pagesMax: 1 }),
    /unique/,
  ));

test("so is one that begins with the text where it ended", () =>
  assert.rejects(
    probe(({ after }) => (after === undefined ? [["a", "b"], ["c", "d"]] : [["b", "e"]]), { pagesMax: 1 }),
    /unique/,
  ));

test("counting what is no whole number is an error at once", () => {
  const made = shard();
  for (const n of [1.5, NaN, 2 ** 53, "1", null]) {
    assert.throws(() => made.rows(n as number), TypeError);
    assert.throws(() => made.count("n", n as number), TypeError);
  }
  assert.throws(() => made.rows(-1), RangeError);
  assert.throws(() => made.count(7 as unknown as string), TypeError);
  assert.throws(() => made.result(NaN), RangeError);
  assert.throws(() => made.result(undefined), TypeError);
});

test("counters are exact beyond what a number holds", async () => {
  const outcome = await run((one) => {
    one.count("n", Number.MAX_SAFE_INTEGER);
    one.count("n", 2);
    one.count("__proto__", 3);
    one.rows(5n);
  });
  assert.deepEqual([outcome.counters["n"], outcome.rows], [9007199254740993n, 5n]);
  assert.deepEqual(Object.keys(outcome.counters), ["n", "__proto__"]);
});

test("time is told", () => {
  const made = shard({ timeoutMs: 60_000 });
  assert.ok(made.remainingMs !== undefined && made.remainingMs > 59_000 && made.remainingMs <= 60_000);
  assert.ok(made.deadline instanceof Date);
  assert.deepEqual([shard().remainingMs, shard().deadline], [undefined, undefined]);
});

test("params left out are an empty table", () => {
  assert.deepEqual([shard().params, shard().settings], [{}, {}]);
  assert.deepEqual(shard({ bounds: ["a", "b"] }).bounds, ["a", "b"]);
  assert.equal(shard({ slice: 3, slices: 16, page: 2 }).key, "00000000000000ff-3-2");
});

test("a wait that is none is refused", () => {
  for (const afterMs of [-1, NaN, undefined, "5"]) {
    assert.throws(() => new Hold("busy", { afterMs: afterMs as number }), RangeError);
  }
  assert.throws(() => new Hold("busy", undefined as never), RangeError);
  assert.equal(new Hold("busy", { afterMs: 1e300 }).afterMs, 30 * 24 * 3_600 * 1_000);
});

test("what could not work is refused where it is written", async () => {
  const worker = new Worker();
  assert.throws(() => worker.handler("Resize", resize), /a-z/);
  worker.handler("resize", resize);
  assert.throws(() => worker.handler("resize", resize), /already/);
  assert.throws(() => worker.handler("yields", function* () {}), /generator/);
  assert.throws(() => worker.handler("nothing", 7 as never), TypeError);
  worker.pages("lost", () => []);
  await assert.rejects(worker.run(), /lost/);
  await assert.rejects(new Worker().run(), /without handlers/);
  for (const slots of [0, 10_001, 1.5]) {
    assert.throws(() => new Worker({ slots }), /slots/);
  }
});

test("the version is the same everywhere", () => {
  const read = (path: string): string => readFileSync(join(__dirname, "..", path), "utf8");
  const { version } = JSON.parse(read("package.json")) as { version: string };
  assert.match(read("../../Cargo.toml"), new RegExp(`\nversion = "${version}"`));
  assert.match(read("dist/child.js"), new RegExp(`"typescript ${version}"`));
});
