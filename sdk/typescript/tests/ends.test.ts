/** How shards and children end: told to stop, drained, left by their worker, by signals, with processes of their own about. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { loadavg, cpus } from "node:os";
import { test } from "node:test";

import { FakeWorker } from "./fake.js";

const NOTHING = 'worker.handler("work", () => undefined);';

test("a shard that is to stop hears it at its next check, though it never waits for anything", () =>
  FakeWorker.play(
    `worker.handler("work", (shard) => {
       touch("begun-" + shard.page);
       for (;;) { shard.check(); pause(1); }
     });`,
    {},
    async (child) => {
      const [first, unbegun] = child.tile({ shards: 2 });
      await child.isThere("begun-0");
      child.stop([first as number, unbegun as number]);
      assert.deepEqual((await child.answers([first as number, unbegun as number])).map(([kind]) => kind), ["stopped", "stopped"]);
      assert.ok(!child.has("begun-1"));
      assert.equal(await child.drain(), 0);
    },
  ));

test("a signal aborts what a shard waits for, and not what runs beside it", () =>
  FakeWorker.play(
    `worker.handler("work", async (shard) => {
       touch("begun-" + shard.params.name + shard.page);
       await sleep(shard.page === 0 ? 3_600_000 : 0, undefined, { signal: shard.signal });
     });
     worker.handler("asks", async (shard) => {
       const silent = (await import("node:net")).createServer().listen(0, "127.0.0.1");
       await new Promise((resolve) => silent.once("listening", resolve));
       setTimeout(() => touch("asked"), 50);
       try { await fetch("http://127.0.0.1:" + silent.address().port, { signal: shard.signal }); } finally { silent.close(); }
     });`,
    { slots: 3 },
    async (child) => {
      const [first, behind] = child.tile({ shards: 2, params: { name: "a" } }) as [number, number];
      const [other] = child.tile({ params: { name: "b" } });
      const [asks] = child.tile({ handler: "asks" });
      await Promise.all(["begun-a0", "begun-b0", "asked"].map((name) => child.isThere(name)));
      child.stop([first]);
      assert.deepEqual((await child.answers([first, behind])).map(([kind]) => kind), ["stopped", "done"]);
      child.stop([other as number, asks as number], "time");
      assert.deepEqual((await child.answers([other as number, asks as number])).map(([kind]) => kind), ["stopped", "stopped"]);
    },
  ));

test("shards that have not begun are given back at once, and the others go on", () =>
  FakeWorker.play(
    'worker.handler("work", async (shard) => { touch("begun-" + shard.page); if (shard.page === 0) await waitFor("go"); });',
    {},
    async (child) => {
      const [first, second, third] = child.tile({ shards: 3 }) as [number, number, number];
      await child.isThere("begun-0");
      child.stop([second]);
      assert.equal((await child.answer(second))[0], "stopped");
      child.allow("go");
      assert.deepEqual((await child.answers([first, third])).map(([kind]) => kind), ["done", "done"]);
      assert.ok(!child.has("begun-1"));
    },
  ));

test("a stop that comes late or for nobody changes nothing", () =>
  FakeWorker.play(NOTHING, {}, async (child) => {
    const [id] = child.tile();
    await child.answer(id);
    child.stop([id as number, 12345]);
    const [next] = child.tile();
    assert.equal((await child.answer(next))[0], "done");
    assert.equal(await child.drain(), 0);
  }));

test("an error after the time is over is told", () =>
  FakeWorker.play(
    `worker.handler("work", async (shard) => {
       touch("begun");
       while (!shard.stopped) await sleep(5);
       throw new Error("the bucket did not answer");
     });`,
    {},
    async (child) => {
      const [id] = child.tile({ timeout_ms: 100 });
      await child.isThere("begun");
      child.stop([id as number], "time");
      const [kind, said] = await child.answer(id);
      assert.deepEqual([kind, said["error"]], ["fail", "Error: the bucket did not answer"]);
    },
  ));

test("what stands open when all is answered does not keep the process", () =>
  FakeWorker.play('worker.handler("work", () => { setInterval(() => undefined, 1000); });', {}, async (child) => {
    const [id] = child.tile();
    assert.equal((await child.answer(id))[0], "done");
    assert.equal(await child.drain(), 0);
  }));

test("drain waits for what runs, and the program goes on behind run()", () =>
  FakeWorker.play(
    `worker.handler("work", async (shard) => { touch("begun-" + shard.page); await waitFor("go"); });
     process.on("exit", () => touch("tidy"));`,
    { slots: 2 },
    async (child) => {
      const [first, second, third] = child.tile({ shards: 3 }) as [number, number, number];
      const ids = [first, second, ...child.tile()];
      await child.isThere("begun-0");
      child.wire.send({ type: "drain" });
      // Its answer says that the drain has been heard, too.
      child.stop([third]);
      assert.equal((await child.answer(third))[0], "stopped");
      child.allow("go");
      assert.ok((await child.answers(ids)).every(([kind]) => kind === "done"));
      assert.equal(await child.wire.receive(), undefined);
      assert.equal(await child.exit(), 0);
      assert.ok(child.has("tidy"));
    },
  ));

test("a connection that ends without drain ends the process at once, whatever its handlers do", async () => {
  for (const [handler, code] of [["sleeps", 70], ["asks", 70], ["spins", "SIGKILL"]] as const) {
    await FakeWorker.play(
      `process.on("exit", () => touch("late"));
       worker.handler("sleeps", async () => { touch("sleeps"); await sleep(3_600_000); });
       worker.handler("asks", (shard) => { touch("asks"); for (;;) shard.check(); });
       worker.handler("spins", () => { touch("spins"); for (;;); });`,
      { slots: 2 },
      async (child) => {
        child.tile({ handler });
        await child.isThere(handler);
        const began = Date.now();
        child.wire.socket.destroy();
        assert.equal(await child.exit(), code);
        assert.ok(Date.now() - began < 1000 || (loadavg()[0] as number) > cpus().length);
        assert.ok(!child.has("late"));
      },
    );
  }
});

test("a worker that breaks the protocol is left", async () => {
  const frames = ["\0\0\0\0", "\x40\0\0\0", "\0\0\0\x05hello", '\0\0\0\x0f{"type":"stop"}', '\0\0\0\x11{"type":"shards"}'];
  for (const frame of frames) {
    await FakeWorker.play(NOTHING, {}, async (child) => {
      child.wire.socket.write(Buffer.from(frame, "latin1"));
      assert.equal(await child.exit(), 70);
      assert.match(child.said(), /broke the protocol/);
    });
  }
});

test("SIGTERM asks for nothing more, and what comes all the same is run", () =>
  FakeWorker.play(
    `worker.handler("work", async (shard) => {
       if (shard.attempt === 1) { touch("begun"); await waitFor("go"); }
     });`,
    { slots: 2 },
    async (child) => {
      const [first] = child.tile();
      await child.isThere("begun");
      child.process.kill("SIGTERM");
      assert.deepEqual(await child.wire.receive(), { type: "bye" });
      const [second] = child.tile({ attempt: 2 });
      assert.equal((await child.answer(second))[0], "done");
      child.allow("go");
      assert.equal((await child.answer(first))[0], "done");
      assert.equal(await child.drain(), 0);
    },
  ));

test("a second SIGTERM ends the process", () =>
  FakeWorker.play(NOTHING, {}, async (child) => {
    child.process.kill("SIGTERM");
    assert.deepEqual(await child.wire.receive(), { type: "bye" });
    child.process.kill("SIGTERM");
    assert.equal(await child.exit(), "SIGTERM");
  }));

test("the program's own listener of a signal stays", () =>
  FakeWorker.play(`${NOTHING} process.on("SIGTERM", () => { console.log("mine"); worker.stop(); worker.stop(); });`, {}, async (child) => {
    child.process.kill("SIGTERM");
    assert.deepEqual(await child.wire.receive(), { type: "bye" });
    assert.equal(await child.drain(), 0);
    assert.match(child.said(), /mine/);
  }));

test("a dead process is seen at once, though what it has started lives", () =>
  FakeWorker.play(
    `import { spawn } from "node:child_process";
     worker.handler("work", async () => {
       spawn("sleep", ["3600"], { stdio: "ignore" }).once("spawn", () => touch("started"));
       await sleep(3_600_000);
     });`,
    {},
    async (child) => {
      child.tile();
      await child.isThere("started");
      child.process.kill("SIGKILL");
      // What it started has no end of the connection: it is over.
      assert.equal(await child.wire.receive(), undefined);
    },
  ));

test("programs that a handler starts get neither connection nor token", () =>
  FakeWorker.play(
    `import { execSync } from "node:child_process";
     worker.handler("work", (shard) => {
       const told = "env | grep -c -e GRIDLOOM_TOKEN -e GRIDLOOM_SOCKET; ls -l /proc/self/fd | grep -c socket:";
       shard.result(execSync(told + "; true", { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).split("\\n").join(" "));
     });`,
    {},
    async (child) => {
      const [id] = child.tile();
      assert.equal((await child.answer(id))[1]["result"], "0 0 ");
    },
  ));

test("a copy of the program is no second worker", () =>
  FakeWorker.play(
    `import { fork } from "node:child_process";
     worker.handler("work", async (shard) => {
       const copy = fork(process.argv[1], { stdio: "inherit" });
       shard.result(String(await new Promise((resolve) => copy.on("exit", resolve))));
     });`,
    {},
    async (child) => {
      const [id] = child.tile();
      assert.deepEqual(await child.answer(id), ["done", { id, result: "1" }]);
      assert.match(child.said(), /would be a second worker/);
    },
  ));

test("an error that nobody catches ends the process, and says where it was", () =>
  FakeWorker.play(
    'worker.handler("work", async () => { setTimeout(function falls() { throw new Error("loose"); }, 1); await sleep(3_600_000); });',
    {},
    async (child) => {
      child.tile();
      assert.equal(await child.exit(), 1);
      assert.match(child.said(), /Error: loose\n\s+at .*falls/);
    },
  ));

test("a handler that ends the process ends it", () =>
  FakeWorker.play('worker.handler("work", () => { process.exit(3); });', {}, async (child) => {
    child.tile();
    assert.equal(await child.exit(), 3);
  }));

test("a probe is stopped like a shard", () =>
  FakeWorker.play(
    `worker.handler("work", () => {}).pages("work", async function* () {
       touch("begun");
       for (let n = 1; ; n++) { yield [n, n]; await sleep(5); }
     });`,
    {},
    async (child) => {
      const id = child.probe();
      await child.isThere("begun");
      child.stop([id]);
      assert.equal((await child.answer(id))[0], "stopped");
    },
  ));

test("flags and loaders of the program are not the thread's", () =>
  FakeWorker.play(
    `worker.handler("work", (shard) => { shard.result(fs.readFileSync("loaded", "utf8")); });`,
    { preload: 'require("node:fs").appendFileSync("loaded", "x");' },
    async (child) => {
      const [id] = child.tile();
      assert.equal((await child.answer(id))[1]["result"], "x", readFileSync(child.path("loaded"), "utf8"));
    },
  ));
