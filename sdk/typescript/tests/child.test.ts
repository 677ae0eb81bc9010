/** A child of a worker: real sockets and real processes, with a worker that the test plays. How it ends: ends.test.ts. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { eventually, FakeWorker, SOURCE, TOKEN, type Said } from "./fake.js";

const NOTHING = 'worker.handler("work", () => undefined);';

test("hello says what it can, and slots are the worker's word", () =>
  FakeWorker.play(
    `worker.handler("work", async () => {}).pages("work", () => []).handler("other", () => {});`,
    { slots: 7 },
    async (child) => {
      const { hello } = child;
      assert.deepEqual([hello["protocol"], hello["token"], hello["slots"]], [[1, 1], TOKEN, 7]);
      assert.deepEqual([hello["handlers"], hello["probes"]], [["work", "other"], ["work"]]);
      assert.ok(hello["sdk"].length <= 64);
      assert.equal(await child.drain(), 0);
    },
  ));

test("TCP does as well", () =>
  FakeWorker.play('worker.handler("work", (shard) => shard.rows(2));', { tcp: true }, async (child) => {
    const [id] = child.tile();
    assert.deepEqual(await child.answer(id), ["done", { id, rows: 2 }]);
    assert.equal(await child.drain(), 0);
  }));

test("a program of CommonJS does as well", () =>
  FakeWorker.play(
    `const { Worker, Permanent } = require(${JSON.stringify(new URL(SOURCE.replace(".mjs", ".js")).pathname)});
     import(${JSON.stringify(SOURCE)}).then((other) => {
       const worker = new Worker();
       worker.handler("work", async () => { throw new other.Permanent(String(other.Permanent === Permanent)); });
       return worker.run();
     });`,
    { whole: true, file: "worker.cjs" },
    async (child) => {
      const [id] = child.tile();
      assert.deepEqual(await child.answer(id), ["fail", { id, kind: "permanent", error: "true" }]);
      assert.equal(await child.drain(), 0);
    },
  ));

test("a shard is told all that there is to know", () =>
  FakeWorker.play(
    `import assert from "node:assert/strict";
     worker.handler("work", (shard) => {
       assert.deepEqual([shard.run, shard.job, shard.handler], ["sizes_s_7", "sizes", "work"]);
       assert.deepEqual([shard.slice, shard.slices, shard.page, shard.attempt], [3, 16, 0, 1]);
       assert.deepEqual([shard.fence, shard.key], [1795968000000123, "4b0f3d5cf6c8e1a2-3-0"]);
       assert.deepEqual([shard.params, shard.settings], [{ width: 200, name: "é" }, { level: 9 }]);
       assert.deepEqual([shard.bounds, shard.offset, shard.limit], [[-5, 9], 1000, undefined]);
       assert.equal(shard.traceparent, "00-a-b-01");
       assert.ok(590_000 < shard.remainingMs && shard.remainingMs <= 600_000);
       assert.ok(Math.abs(shard.deadline - Date.now() - shard.remainingMs) < 1000);
       shard.rows(); shard.rows(2); shard.count("bytes", 7); shard.count("bytes", -2); shard.result({ "é": 1 });
     });`,
    {},
    async (child) => {
      const page = { from: -5, to: 9, offset: 1000, traceparent: "00-a-b-01", later: true };
      const [id] = child.tile({ pages: [page], params: { width: 200, name: "é" }, settings: { level: 9 }, timeout_ms: 600_000 });
      assert.deepEqual(await child.answer(id), ["done", { id, rows: 3, counters: { bytes: 5 }, result: '{"é":1}' }]);
    },
  ));

test("keys and counters of 64 bits are exact, both ways", () =>
  FakeWorker.play(
    `worker.handler("work", (shard) => {
       shard.count("max", 2n ** 63n - 1n);
       shard.result(shard.bounds.map((key) => typeof key + key).join());
     });`,
    {},
    async (child) => {
      const { ids, frame } = child.frame({ pages: [{ from: "FROM", to: 7 }] });
      const exact = frame.toString("latin1").slice(4).replace('"FROM"', "-9223372036854775808");
      const head = Buffer.alloc(4);
      head.writeUInt32BE(exact.length);
      child.wire.socket.write(Buffer.concat([head, Buffer.from(exact, "latin1")]));
      const [, said] = await child.answer(ids[0]);
      // What this test reads is rounded: 2^63.
      assert.deepEqual([said["result"], said["counters"]], ["bigint-9223372036854775808,number7", { max: 2 ** 63 }]);
    },
  ));

test("a tile runs in its order, and is answered in few frames", () =>
  FakeWorker.play(
    `const seen = [];
     worker.handler("work", async (shard) => {
       seen.push(shard.page);
       shard.result(String(seen.every((page, at) => page === at)));
     });`,
    {},
    async (child) => {
      const answers = await child.answers(child.tile({ shards: 1000 }));
      assert.ok(answers.every(([kind, said]) => kind === "done" && said["result"] === "true"));
      assert.ok(child.frames.length <= 50, `${child.frames.length} frames for a thousand shards`);
    },
  ));

test("what a handler changes in its params is its own", () =>
  FakeWorker.play(
    `worker.handler("work", (shard) => {
       shard.result(String(shard.params.list.length + shard.settings.list.length));
       shard.params.list.push(1);
       shard.settings.list.push(1);
     });`,
    {},
    async (child) => {
      const answers = await child.answers(child.tile({ shards: 2, params: { list: [] }, settings: { list: [] } }));
      assert.deepEqual(answers.map(([, said]) => said["result"]), ["0", "0"]);
    },
  ));

test("an outcome is not kept back by the shard behind it, whether that waits or computes", () =>
  FakeWorker.play(
    `worker.handler("work", async (shard) => {
       if (shard.page === 1) await waitFor("go");
       if (shard.page === 3) while (!exists("on")) pause(5);
     });`,
    {},
    async (child) => {
      const [first, second, third, fourth] = child.tile({ shards: 4 });
      assert.equal((await child.answer(first))[0], "done");
      child.allow("go");
      assert.deepEqual((await child.answers([second as number, third as number])).map(([kind]) => kind), ["done", "done"]);
      child.allow("on");
      assert.equal((await child.answer(fourth))[0], "done");
    },
  ));

test("failures say what follows, and others are tried again", () =>
  FakeWorker.play(
    `worker.handler("work", async (shard) => {
       switch (shard.page) {
         case 0: throw new Retry("HTTP 503");
         case 1: throw new Retry("HTTP 429", { afterMs: 5000 });
         case 2: throw new Permanent("no such bucket");
         case 3: throw new Hold("busy", { afterMs: 2500.7 });
         case 4: throw new RangeError("no width", { cause: new TypeError("x is no number") });
         case 5: throw "a text";
         case 6: throw undefined;
         case 7: throw new Permanent("é".repeat(5000));
         case 8: throw new Stopped("nobody said so");
         case 9: throw new Retry("half \\ud800 of a pair");
         case 10: throw new AggregateError([new Error("connect ECONNREFUSED")]);
         case 11: throw new Permanent(new TypeError("wrapped"));
         case 12: throw { get message() { throw 1; }, toString() { throw 2; } };
         case 13: await fetch("http://127.0.0.1:1/"); break;
         case 14: return new Retry("meant to be thrown");
         case 15: return shard;
       }
     });`,
    {},
    async (child) => {
      const said = (await child.answers(child.tile({ shards: 16 }))).map(([, fail]) => fail);
      const kinds = said.map((fail) => [fail["kind"], fail["after_ms"]]);
      const retry = ["retry", undefined];
      const wanted = [retry, ["retry", 5000], ["permanent", undefined], ["hold", 2500], retry, retry, retry, ["permanent", undefined]];
      assert.deepEqual(kinds, [...wanted, retry, retry, retry, ["permanent", undefined], retry, retry, retry, [undefined, undefined]]);
      const errors = said.map((fail) => fail["error"]);
      assert.deepEqual(errors.slice(0, 7), [
        "HTTP 503",
        "HTTP 429",
        "no such bucket",
        "busy",
        "RangeError: no width: TypeError: x is no number",
        "a text",
        "undefined",
      ]);
      assert.equal(Buffer.byteLength(errors[7]), 1024);
      assert.deepEqual(errors.slice(10, 13), ["AggregateError: Error: connect ECONNREFUSED", "TypeError: wrapped", "(its text cannot be made)"]);
      assert.match(errors[13], /^TypeError: fetch failed: Error: .*ECONNREFUSED|bad port/);
      // What nobody expected has its stack where the worker reads it; what was said on purpose has none.
      assert.equal(await child.drain(), 0);
      assert.match(child.said(), /gridloom: sizes_s_7 3\/4 attempt 1 failed: RangeError: no width\n\s+at /);
      assert.doesNotMatch(child.said(), /no such bucket/);
    },
  ));

test("what the ledger has no room for fails its shard for good, and nothing else", () =>
  FakeWorker.play(
    `worker.handler("work", (shard) => {
       switch (shard.page) {
         case 0: return shard.result("x".repeat(64 * 1024 * 1024));
         case 1: return shard.result("é".repeat(513));
         case 2: for (let n = 0; n < 16; n++) shard.count("c" + n); return;
         case 3: return shard.count("n".repeat(49));
         case 4: return shard.count("big", 2n ** 63n);
         case 5: shard.rows(2n ** 63n - 1n); return shard.rows();
         case 6: return shard.count("rows", -1);
         case 7: return shard.count("");
         case 8: shard.result("é".repeat(512)); for (let n = 0; n < 15; n++) shard.count("c" + n); return;
       }
     });`,
    {},
    async (child) => {
      const said = (await child.answers(child.tile({ shards: 9 }))).map(([, fail]) => fail);
      assert.deepEqual(said.map((fail) => fail["kind"]), [...new Array<string>(8).fill("permanent"), undefined]);
      assert.match((said[0] as Said)["error"], /67108864 bytes/);
    },
  ));

test("results that fill frames come in several", () =>
  FakeWorker.play(`worker.handler("work", (shard) => shard.result("\\x01".repeat(1024)));`, {}, async (child) => {
    assert.equal((await child.answers(child.tile({ shards: 1000 }))).length, 1000);
    assert.ok(child.frames.length >= 2);
  }));

test("as many tiles run at once as there are slots", () =>
  FakeWorker.play(
    `let here = 0;
     let all;
     const everybody = new Promise((resolve) => (all = resolve));
     worker.handler("work", async () => {
       if (++here === 50) all();
       await everybody;
     });`,
    { slots: 50 },
    async (child) => {
      const ids = Array.from({ length: 50 }, () => child.tile()).flat();
      assert.ok((await child.answers(ids)).every(([kind]) => kind === "done"));
    },
  ));

test("a tile of shards that never wait lets others have their turn", () =>
  FakeWorker.play(
    `let others = 0;
     worker.handler("work", (shard) => { pause(20); if (shard.page === 49) shard.result(String(others)); });
     worker.handler("other", async () => { await sleep(1); others++; });`,
    { slots: 2 },
    async (child) => {
      const computes = child.tile({ shards: 50 });
      const [waits] = child.tile({ handler: "other" });
      const answers = await child.answers([...computes, waits as number]);
      assert.equal(answers[49]?.[1]["result"], "1");
    },
  ));

test("what a later version says is ignored", () =>
  FakeWorker.play(NOTHING, {}, async (child) => {
    child.wire.send({ type: "applause", loud: true });
    const [id] = child.tile({ colour: "red" });
    assert.equal((await child.answer(id))[0], "done");
  }));

test("frames that arrive in pieces are frames", () =>
  FakeWorker.play('worker.handler("work", (shard) => shard.rows(shard.params.x.length));', {}, async (child) => {
    const { ids, frame } = child.frame({ params: { x: "é".repeat(300) } });
    child.wire.socket.setNoDelay(true);
    for (let at = 0; at < frame.length; at += 100) {
      child.wire.socket.write(frame.subarray(at, at + 100));
      await sleep(1);
    }
    assert.equal((await child.answer(ids[0]))[1]["rows"], 300);
  }));

test("output is the user's, and comes line by line", () =>
  FakeWorker.play(
    `worker.handler("work", async () => {
       console.log('{"type": "bye"}');
       fs.writeSync(1, Buffer.from([0, 0, 0, 5]));
       await waitFor("go");
     });`,
    {},
    async (child) => {
      const [id] = child.tile();
      await eventually("a line", () => child.said().includes('{"type": "bye"}\n'));
      child.allow("go");
      assert.equal((await child.answer(id))[0], "done");
    },
  ));

test("an error that throws when it is told fails its shard and nothing else", () =>
  FakeWorker.play(
    `const { inspect } = await import("node:util");
     worker.handler("work", (shard) => {
       if (shard.page === 0) throw Object.assign(new Error("odd"), { [inspect.custom]() { throw new Error("do not look"); } });
     });`,
    {},
    async (child) => {
      const answers = await child.answers(child.tile({ shards: 2 }));
      assert.deepEqual(answers.map(([kind, said]) => [kind, said["error"]]), [["fail", "Error: odd"], ["done", undefined]]);
    },
  ));

test("rows so far are told of what takes long", () =>
  FakeWorker.play('worker.handler("work", async (shard) => { shard.rows(5); await waitFor("go"); });', {}, async (child) => {
    const [id] = child.tile();
    assert.deepEqual(await child.wire.receive(), { type: "progress", shards: [{ id, rows: 5 }] });
    child.allow("go");
    assert.equal((await child.answer(id))[1]["rows"], 5);
  }));

test("so are those of what computes", () =>
  FakeWorker.play(
    'worker.handler("work", (shard) => { shard.rows(5); while (!exists("go")) { shard.check(); pause(2); } });',
    {},
    async (child) => {
      const [id] = child.tile();
      assert.deepEqual(await child.wire.receive(), { type: "progress", shards: [{ id, rows: 5 }] });
      child.allow("go");
      assert.equal((await child.answer(id))[1]["rows"], 5);
    },
  ));

test("a handler that is not there fails its shards", () =>
  FakeWorker.play(NOTHING, {}, async (child) => {
    const answers = await child.answers(child.tile({ shards: 2, handler: "nobody" }));
    assert.deepEqual(answers.map(([, said]) => said["kind"]), ["retry", "retry"]);
  }));

test("probes are answered by lists and generators of both kinds", () =>
  FakeWorker.play(
    `for (const name of ["list", "generator", "promise", "async-generator", "fails", "number"]) worker.handler(name, () => {});
     worker.pages("list", () => [[1, 9], [10, 12]]);
     worker.pages("generator", function* (probe) {
       try { for (let n = (probe.after ?? 0) + 1; ; n++) yield [n, n]; } finally { touch("closed"); }
     });
     worker.pages("promise", async () => [["a", "b"]]);
     worker.pages("async-generator", async function* (probe) {
       await sleep(1);
       if (probe.after === undefined) yield ["c", "d"];
     });
     worker.pages("fails", () => [[1, 9], [9, 12]]);
     worker.pages("number", () => 7);`,
    {},
    async (child) => {
      const [kind, list] = await child.answer(child.probe({ handler: "list" }));
      assert.deepEqual([kind, list["pages"], list["cursor"]], ["pages", [[1, 9], [10, 12]], null]);
      const [, first] = await child.answer(child.probe({ handler: "generator" }));
      assert.deepEqual([first["pages"].length, first["cursor"], child.has("closed")], [4096, 4096, true]);
      const [, second] = await child.answer(child.probe({ handler: "generator", after: 4096, room: 100 }));
      assert.deepEqual([second["pages"][0], second["pages"].length, second["cursor"]], [[4097, 4097], 5, 4101]);
      assert.deepEqual((await child.answer(child.probe({ handler: "promise" })))[1]["pages"], [["a", "b"]]);
      assert.deepEqual((await child.answer(child.probe({ handler: "async-generator", after: "d" })))[1]["pages"], []);
      for (const handler of ["fails", "number"]) {
        const [how, said] = await child.answer(child.probe({ handler }));
        assert.deepEqual([how, said["kind"]], ["fail", "permanent"], handler);
      }
      assert.equal(await child.drain(), 0);
    },
  ));
