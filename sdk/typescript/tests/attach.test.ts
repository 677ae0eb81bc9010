/** A program that is its own main process and starts the worker: here one that the test has written. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Stopped, Worker, WorkerGone, type WorkerOptions } from "../dist/index.js";
import { eventually, SOON, SOURCE } from "./fake.js";

/** What stands for `gridloom`: it connects as the variables say, and does what a script says. */
const COMMAND = `#!${process.execPath}
const assert = require("node:assert/strict"), fs = require("node:fs"), net = require("node:net");
process.on("unhandledRejection", (error) => { console.error(error); process.exit(1); });
class Line {
  constructor() {
    const address = process.env.GRIDLOOM_SOCKET;
    const [, host, port] = /^tcp:(.*):(\\d+)$/.exec(address) ?? [];
    this.socket = net.connect(host === undefined ? { path: address } : { host, port: Number(port) });
    this.socket.on("error", () => {});
    this.bytes = this.socket[Symbol.asyncIterator]();
    this.rest = Buffer.alloc(0);
  }
  send(message) {
    const body = Buffer.from(JSON.stringify(message)), head = Buffer.alloc(4);
    head.writeUInt32BE(body.length);
    this.socket.write(Buffer.concat([head, body]));
  }
  async receive() {
    for (;;) {
      if (this.rest.length >= 4 && this.rest.length >= 4 + this.rest.readUInt32BE(0)) {
        const end = 4 + this.rest.readUInt32BE(0), text = this.rest.subarray(4, end).toString();
        this.rest = this.rest.subarray(end);
        return JSON.parse(text);
      }
      const { value, done } = await this.bytes.next().catch(() => ({ done: true }));
      if (done) return undefined;
      this.rest = Buffer.concat([this.rest, value]);
    }
  }
  attach(token = process.env.GRIDLOOM_TOKEN) {
    this.send({ type: "attach", protocol: [1, 1], token, worker: "w" });
    return this;
  }
  tile(id, handler = "work") {
    this.send({ type: "shards", run: "r_1", job: "r", handler, nonce: "0f", slice: 0, slices: 1, attempt: 1, fence: 1,
      params: {}, settings: null, timeout_ms: null, shards: [{ id, page: 0 }] });
  }
}
async function begin() {
  const line = new Line().attach();
  const hello = await line.receive();
  assert.ok(hello.type === "hello" && !("token" in hello), JSON.stringify(hello));
  line.send({ type: "welcome", protocol: 1, worker: "w", grace_ms: 2000 });
  return line;
}
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
(async () => {
`;

/** The command, and what the handlers of a worker saw. */
class Program {
  readonly folder = mkdtempSync(join(tmpdir(), "gl"));
  readonly command = join(this.folder, "gridloom");
  readonly seen: string[] = [];

  constructor(script: string) {
    writeFileSync(this.command, `${COMMAND}${script}\nprocess.exit(0); })();`, { mode: 0o755 });
  }

  worker(options: WorkerOptions = {}): Worker {
    return new Worker({ command: this.command, ...options }).handler("work", (shard) => this.seen.push(shard.key));
  }

  static async play(script: string, use: (program: Program) => Promise<void>): Promise<void> {
    const program = new Program(script);
    try {
      await use(program);
    } finally {
      rmSync(program.folder, { recursive: true, force: true });
    }
  }
}

delete process.env["GRIDLOOM_SOCKET"];
delete process.env["GRIDLOOM_TOKEN"];
delete process.env["GRIDLOOM_PROCESS"];

test("a program runs shards until its worker has drained", () =>
  Program.play(
    `assert.deepEqual(process.argv.slice(2), ["worker", "--attach", "--grace", "5s"]);
     assert.deepEqual([process.env.GRIDLOOM_WORKER_QUEUES, process.env.GRIDLOOM_NATS], ["images", "nats://u:p@h:1"]);
     const line = await begin();
     line.tile(1);
     assert.deepEqual(await line.receive(), { type: "done", shards: [{ id: 1 }] });
     line.send({ type: "drain" });
     assert.equal(await line.receive(), undefined);`,
    async (program) => {
      process.env["GRIDLOOM_TOKEN"] = "glt_of_its_clients";
      try {
        await program.worker({ queue: "images", nats: "nats://u:p@h:1", options: ["--grace", "5s"] }).run();
        assert.deepEqual(program.seen, ["0f-0-0"]);
        assert.equal(process.env["GRIDLOOM_TOKEN"], "glt_of_its_clients");
      } finally {
        delete process.env["GRIDLOOM_TOKEN"];
      }
    },
  ));

test("stop asks the worker to end", () =>
  Program.play(
    `const line = await begin();
     line.tile(1);
     assert.equal((await line.receive()).type, "done");
     assert.deepEqual(await line.receive(), { type: "bye" });
     line.send({ type: "drain" });
     await line.receive();`,
    async (program) => {
      const worker = program.worker();
      const running = worker.run();
      await eventually("a shard", () => program.seen.length > 0);
      worker.stop();
      await running;
    },
  ));

test("stop before it has begun ends it too", () =>
  Program.play("await sleep(3_600_000);", async (program) => {
    const worker = program.worker();
    worker.stop();
    await worker.run();
    assert.deepEqual(program.seen, []);
  }));

test("a worker that is gone stops what runs, and is told", () =>
  Program.play(
    `const line = await begin();
     line.tile(1, "waits"); line.tile(2, "awaits");
     while (!fs.existsSync(__dirname + "/waits") || !fs.existsSync(__dirname + "/awaits")) await sleep(5);
     process.exit(9);`,
    async (program) => {
      const ended: Record<string, unknown> = {};
      const worker = program.worker({ slots: 2 });
      worker.handler("waits", async (shard) => {
        writeFileSync(join(program.folder, "waits"), "");
        while (!shard.stopped) {
          await sleep(5);
        }
        try {
          shard.check();
        } catch (error) {
          ended["waits"] = error;
        }
      });
      worker.handler("awaits", async (shard) => {
        writeFileSync(join(program.folder, "awaits"), "");
        await sleep(3_600_000, undefined, { signal: shard.signal }).catch(() => (ended["awaits"] = shard.signal.reason));
      });
      await assert.rejects(worker.run(), (error: Error) => error instanceof WorkerGone && /exit code 9/.test(error.message));
      await eventually("both to end", () => Object.keys(ended).length === 2);
      assert.ok(Object.values(ended).every((error) => error instanceof Stopped && error.message === "the worker is gone"));
    },
  ));

test("a handler that computes hears that its worker is gone", () =>
  Program.play(
    `const line = await begin();
     line.tile(1, "computes");
     while (!fs.existsSync(__dirname + "/computes")) await sleep(5);
     process.exit(9);`,
    async (program) => {
      const worker = program.worker();
      let heard = false;
      worker.handler("computes", (shard) => {
        writeFileSync(join(program.folder, "computes"), "");
        for (const end = Date.now() + SOON; !heard && Date.now() < end; ) {
          heard = shard.stopped;
        }
      });
      await assert.rejects(worker.run(), WorkerGone);
      assert.ok(heard);
    },
  ));

test("a worker that ends before it has begun is told with its code", () =>
  Program.play("process.exit(3);", (program) =>
    assert.rejects(program.worker().run(), (error: Error) => error instanceof WorkerGone && /exit code 3/.test(error.message)),
  ));

test("a worker that breaks the protocol is left", () =>
  Program.play(
    `const line = await begin();
     line.socket.write("\\0\\0\\0\\0");
     await line.receive();
     await sleep(3_600_000);`,
    (program) => assert.rejects(program.worker().run(), (error: Error) => error instanceof WorkerGone && /protocol/.test(error.message)),
  ));

test("whoever does not know the token is sent away", () =>
  Program.play(
    `for (const token of ["x".repeat(32), "é", 7]) {
       const stranger = new Line().attach(token);
       assert.equal(await stranger.receive(), undefined);
     }
     const silent = new Line();
     const rude = new Line();
     rude.socket.write("\\0\\0\\0\\0");
     assert.equal(await rude.receive(), undefined);
     const line = await begin();
     assert.equal(await silent.receive(), undefined);
     line.send({ type: "drain" });
     await line.receive();`,
    (program) => program.worker().run(),
  ));

test("SIGTERM of the program ends it in peace, and run() comes back", () =>
  Program.play(
    `const line = await begin();
     process.kill(process.ppid, "SIGTERM");
     assert.deepEqual(await line.receive(), { type: "bye" });
     line.send({ type: "drain" });
     await line.receive();`,
    async (program) => {
      const main = join(program.folder, "main.mjs");
      const worker = `new Worker({ command: ${JSON.stringify(program.command)} })`;
      writeFileSync(
        main,
        `import { Worker } from ${JSON.stringify(SOURCE)};
         const worker = ${worker}.handler("work", () => {});
         await worker.run();
         console.log("and went on");`,
      );
      const ran = spawn(process.execPath, [main], { stdio: ["ignore", "pipe", "inherit"] });
      let said = "";
      ran.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
      const code = await new Promise((resolve) => ran.on("close", resolve));
      assert.deepEqual([code, said], [0, "and went on\n"]);
    },
  ));

test("a program whose folder is deep uses another socket", () =>
  Program.play(
    `assert.match(process.env.GRIDLOOM_SOCKET, /^tcp:127\\.0\\.0\\.1:\\d+$/);
     const line = await begin();
     line.send({ type: "drain" });
     await line.receive();`,
    async (program) => {
      const deep = join(program.folder, "d".repeat(100));
      mkdirSync(deep);
      const before = process.env["TMPDIR"];
      process.env["TMPDIR"] = deep;
      try {
        await program.worker().run();
      } finally {
        if (before === undefined) {
          delete process.env["TMPDIR"];
        } else {
          process.env["TMPDIR"] = before;
        }
      }
    },
  ));

test("a command that is not there is named, and nothing is left", async () => {
  const before = process.env["PATH"];
  const folder = mkdtempSync(join(tmpdir(), "gl"));
  process.env["PATH"] = folder;
  process.env["TMPDIR"] = folder;
  try {
    await assert.rejects(new Worker().handler("work", () => undefined).run(), /not in PATH/);
    await assert.rejects(new Worker({ command: join(folder, "none") }).handler("work", () => undefined).run(), /ENOENT/);
  } finally {
    process.env["PATH"] = before;
    delete process.env["TMPDIR"];
  }
  assert.deepEqual(readdirSync(folder), []);
  rmSync(folder, { recursive: true });
});
