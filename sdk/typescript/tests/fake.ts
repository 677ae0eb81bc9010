/** A worker as far as a child sees it: a real socket, a real process, and frames written by other code than the SDK's. */

import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

export const TOKEN = "0123456789abcdef";
export const SOURCE = pathToFileURL(join(__dirname, "../dist/index.mjs")).href;
/** How long anything may take on a busy machine. */
export const SOON = 30_000;

const HEAD = `
import * as fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import * as gridloom from ${JSON.stringify(SOURCE)};
const { Worker, Retry, Permanent, Hold, Stopped } = gridloom;
const worker = new Worker();
const exists = (path) => fs.existsSync(path);
const touch = (path) => fs.writeFileSync(path, "");
const waitFor = async (path) => { while (!exists(path)) await sleep(5); };
// Holds the event loop.
const pause = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
`;
const TAIL = `
await worker.run();
`;

/** A message of the protocol, as a test reads it. */
export type Said = Record<string, any>;

/** Waits until it is so. */
export async function eventually(what: string, condition: () => boolean): Promise<void> {
  const end = Date.now() + SOON;
  while (!condition()) {
    assert.ok(Date.now() < end, `not in time: ${what}`);
    await sleep(5);
  }
}

/** Frames on a socket. */
export class Wire {
  #bytes = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(readonly socket: Socket) {
    socket.on("data", (bytes: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
      this.#wake();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#ended = true;
      this.#wake();
    });
    socket.on("end", () => {
      this.#ended = true;
      this.#wake();
    });
  }

  static frame(message: Said): Buffer {
    const body = Buffer.from(JSON.stringify(message));
    const head = Buffer.alloc(4);
    head.writeUInt32BE(body.length);
    return Buffer.concat([head, body]);
  }

  send(message: Said): void {
    this.socket.write(Wire.frame(message));
  }

  /** The next message; `undefined`: the connection has ended. */
  async receive(): Promise<Said | undefined> {
    const end = Date.now() + SOON;
    for (;;) {
      const length = this.#bytes.length < 4 ? Infinity : this.#bytes.readUInt32BE(0);
      if (this.#bytes.length >= 4 + length) {
        assert.ok(length > 0 && length <= 8_388_608);
        const text = this.#bytes.subarray(4, 4 + length).toString();
        this.#bytes = this.#bytes.subarray(4 + length);
        return JSON.parse(text) as Said;
      }
      if (this.#ended) {
        return undefined;
      }
      assert.ok(Date.now() < end, "nothing was said in time");
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, SOON);
      });
      clearTimeout(timer);
    }
  }
}

/** How a child is started. */
export interface Starting {
  slots?: number;
  tcp?: boolean;
  /** A program of its own, in place of one whose head and tail are given. */
  whole?: boolean;
  file?: string;
  /** A file that the program loads before it begins, by a flag of Node. */
  preload?: string;
}

/** What became of a shard: the type of the message, and what was said of it. */
export type Answer = readonly [kind: string, said: Said];

/** Starts one child with a script, and talks with it. */
export class FakeWorker {
  wire!: Wire;
  hello!: Said;
  readonly progress: Said[] = [];
  /** Frames of answers, as they came. */
  readonly frames: Said[] = [];
  readonly #listener: Server;
  readonly #exit: Promise<number | string | null>;
  #nextId = 1;

  private constructor(
    readonly folder: string,
    readonly process: ChildProcess,
    listener: Server,
  ) {
    this.#listener = listener;
    this.#exit = new Promise((resolve) => process.on("exit", (code, signal) => resolve(code ?? signal)));
  }

  /** Plays with a child, and ends it whatever happens. */
  static async play(script: string, starting: Starting, test: (child: FakeWorker) => Promise<void>): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), "gl"));
    const file = join(folder, starting.file ?? "worker.mjs");
    writeFileSync(file, starting.whole === true ? script : HEAD + script + TAIL);
    const listener = createServer();
    const path = join(folder, "s");
    await new Promise<void>((resolve) => listener.listen(starting.tcp === true ? { host: "127.0.0.1", port: 0 } : { path }, resolve));
    const address = starting.tcp === true ? `tcp:127.0.0.1:${(listener.address() as AddressInfo).port}` : path;
    const others = Object.entries(process.env).filter(([name]) => !name.startsWith("GRIDLOOM_") && !name.startsWith("NODE_"));
    const env: Record<string, string | undefined> = Object.fromEntries(others);
    Object.assign(env, { GRIDLOOM_SOCKET: address, GRIDLOOM_TOKEN: TOKEN, GRIDLOOM_PROCESS: "0" });
    if (starting.slots !== undefined) {
      env["GRIDLOOM_SLOTS"] = String(starting.slots);
    }
    const output = openSync(join(folder, "output"), "w");
    const connected = new Promise<Socket>((resolve) => listener.once("connection", resolve));
    const flags = starting.preload === undefined ? [] : ["--require", join(folder, "preload.cjs")];
    if (starting.preload !== undefined) {
      writeFileSync(join(folder, "preload.cjs"), starting.preload);
    }
    const started = spawn(process.execPath, [...flags, file], { env, cwd: folder, stdio: ["ignore", output, output], detached: true });
    const child = new FakeWorker(folder, started, listener);
    try {
      const early = child.#exit.then((code) => assert.fail(`it ended with ${code}: ${child.said()}`));
      child.wire = new Wire(await Promise.race([connected, early]));
      early.catch(() => undefined);
      child.hello = (await child.wire.receive()) ?? {};
      assert.equal(child.hello["type"], "hello", child.said());
      child.wire.send({ type: "welcome", protocol: 1, worker: "fake", grace_ms: 2000, news: null });
      await test(child);
    } catch (error) {
      console.error(child.said());
      throw error;
    } finally {
      await child.#end();
    }
  }

  async #end(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      try {
        process.kill(-(this.process.pid as number), "SIGKILL");
      } catch {
        // It has ended meanwhile.
      }
      await this.#exit;
    }
    this.wire?.socket.destroy();
    this.#listener.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  said(): string {
    return readFileSync(join(this.folder, "output"), "utf8");
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  has(name: string): boolean {
    return existsSync(this.path(name));
  }

  /** Waits until a handler has made a file. */
  async isThere(name: string): Promise<void> {
    await eventually(name, () => this.has(name));
  }

  allow(name: string): void {
    writeFileSync(this.path(name), "");
  }

  /** Sends a tile; the ids of its shards. */
  tile({ shards = 1, pages, handler = "work", ...said }: { shards?: number; pages?: Said[]; handler?: string; [field: string]: unknown } = {}): number[] {
    const { ids, frame } = this.frame({ shards, ...(pages === undefined ? {} : { pages }), handler, ...said });
    this.wire.socket.write(frame);
    return ids;
  }

  /** The frame of a tile. */
  frame({ shards = 1, pages, handler = "work", ...said }: { shards?: number; pages?: Said[]; handler?: string; [field: string]: unknown }): {
    ids: number[];
    frame: Buffer;
  } {
    const cells = (pages ?? new Array<Said>(shards).fill({})).map((page, number) => ({ id: this.#nextId + number, page: number, ...page }));
    this.#nextId += cells.length;
    return { ids: cells.map((cell) => cell.id), frame: Wire.frame({ type: "shards", ...common(handler), ...said, shards: cells }) };
  }

  probe({ handler = "work", ...said }: { handler?: string; [field: string]: unknown } = {}): number {
    const id = this.#nextId++;
    this.wire.send({ type: "probe", id, ...common(handler), page: 0, after: null, room: 786_432, pages_max: 4096, ...said });
    return id;
  }

  stop(ids: number[], why = "lease"): void {
    this.wire.send({ type: "stop", ids, why });
  }

  /** Waits until each id was answered, in the order of ids; none may be twice, and no other. */
  async answers(ids: readonly number[]): Promise<Answer[]> {
    const found = new Map<number, Answer>();
    while (found.size < ids.length) {
      for (const [id, answer] of await this.#next()) {
        assert.ok(ids.includes(id) && !found.has(id), `${id} ${JSON.stringify(answer)}`);
        found.set(id, answer);
      }
    }
    return ids.map((id) => found.get(id) as Answer);
  }

  async answer(id: number | undefined): Promise<Answer> {
    const [found] = await this.answers([id as number]);
    return found as Answer;
  }

  async #next(): Promise<[number, Answer][]> {
    const message = await this.wire.receive();
    assert.ok(message !== undefined, `the child is gone: ${this.said()}`);
    const kind = message["type"] as string;
    if (kind === "progress") {
      this.progress.push(message);
      return [];
    }
    this.frames.push(message);
    if (kind === "stopped") {
      return (message["ids"] as number[]).map((id) => [id, [kind, { id }]]);
    }
    if (kind === "pages") {
      return [[message["id"] as number, [kind, message]]];
    }
    assert.ok(kind === "done" || kind === "fail", JSON.stringify(message));
    return (message["shards"] as Said[]).map((said) => [said["id"] as number, [kind, said]]);
  }

  /** The exit code, or the signal. */
  async exit(): Promise<number | string | null> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error(`it lives: ${this.said()}`)), SOON)));
    try {
      return await Promise.race([this.#exit, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Says that nothing more comes; the exit code. */
  async drain(): Promise<number | string | null> {
    this.wire.send({ type: "drain" });
    while ((await this.wire.receive()) !== undefined) {
      // What is left does not matter.
    }
    return this.exit();
  }
}

function common(handler: string): Said {
  const said = { run: "sizes_s_7", job: "sizes", handler, nonce: "4b0f3d5cf6c8e1a2", slice: 3, slices: 16 };
  return { ...said, attempt: 1, fence: 1795968000000123, params: {}, settings: null, timeout_ms: null };
}
