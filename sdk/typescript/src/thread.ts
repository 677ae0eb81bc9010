/**
 * The thread that holds the connection and does nothing else: `stop` is heard and answers go out while a handler
 * computes. It runs by itself (`line.ts` starts it); docs/decisions/0058-a-thread-holds-the-connection.md says why.
 */

import { timingSafeEqual } from "node:crypto";
import { createServer, connect, type AddressInfo, type NetConnectOpts, type Socket } from "node:net";
import { workerData } from "node:worker_threads";

import { encode, read, ProtocolError, Splitter, type Message } from "./frames.js";
import type { Heard, Order, Start } from "./line.js";
import type { Done, Outcome } from "./shard.js";

/** Outcomes are collected for so long, and so many: one takes 11 kB of JSON at most, so a frame has room for them. */
const COLLECT_MS = 5;
const COLLECT = 500;
/** How long who connects has to say its first word. */
const ATTACH_MS = 10_000;
/** What the process gets to end by itself once its worker is gone. A handler that computes would keep it for ever. */
const END_MS = 500;
/** How long what was said last may take to go out. */
const CLOSE_MS = 1_000;

const start = workerData as Start;

function tell(word: Heard): void {
  start.port.postMessage(word);
  // Whoever looks sees that something has come, without asking the port each time.
  Atomics.add(start.count, 0, 1);
}

/** Outcomes on their way: a tile of many tiny shards is one frame. */
class Answers {
  #done: Done[] = [];
  #failed: unknown[] = [];
  #stopped: number[] = [];
  #soon: NodeJS.Timeout | undefined;
  #now: NodeJS.Immediate | undefined;

  constructor(readonly send: (message: Message) => void) {}

  /** Collects an outcome. Where none of its tile follows (`more`), all are sent as soon as what has arrived is read. */
  add({ kind, said }: Outcome, more: boolean): void {
    if (kind === "done") {
      this.#done.push(said);
    } else if (kind === "fail") {
      this.#failed.push(said);
    } else {
      this.#stopped.push(said.id);
    }
    if (this.#done.length + this.#failed.length + this.#stopped.length >= COLLECT) {
      this.flush();
    } else if (more) {
      this.#soon ??= setTimeout(() => this.flush(), COLLECT_MS);
    } else {
      this.#now ??= setImmediate(() => this.flush());
    }
  }

  flush(): void {
    clearTimeout(this.#soon);
    clearImmediate(this.#now);
    this.#soon = this.#now = undefined;
    const [done, failed, stopped] = [this.#done, this.#failed, this.#stopped];
    [this.#done, this.#failed, this.#stopped] = [[], [], []];
    if (done.length > 0) {
      this.send({ type: "done", shards: done });
    }
    if (failed.length > 0) {
      this.send({ type: "fail", shards: failed });
    }
    if (stopped.length > 0) {
      this.send({ type: "stopped", ids: stopped });
    }
  }
}

/** The connection, once there is one. */
let socket: Socket | undefined;
let closing = false;
let over = false;
let killing: NodeJS.Timeout | undefined;
/** Waits for nobody any more. */
let unlisten: (() => void) | undefined;

// Where nobody hears it any more nothing happens: that the connection is over is told by itself.
const answers = new Answers((message) => socket?.writable && socket.write(encode(message)));

start.port.on("message", (order: Order) => {
  if (order.order === "answer") {
    answers.add(order.outcome, order.more);
  } else if (order.order === "send") {
    answers.flush(); // what was said before goes out before
    answers.send(order.message);
  } else {
    close();
  }
});

if (start.listen === undefined) {
  dial(start.connect);
} else {
  listen(start.listen);
}

/** Connects to where the worker listens. */
function dial(to: NetConnectOpts): void {
  const made = connect(to);
  made.on("error", (error) => lose(socket === undefined ? error.message : undefined));
  made.on("connect", () => {
    hold(made, new Splitter());
    tell({ connected: true });
  });
}

/** Waits for the worker, who says a token that nobody else knows. */
function listen({ path, token }: { path: string | undefined; token: string }): void {
  const strangers = new Set<Socket>();
  const server = createServer((made) => {
    const splitter = new Splitter();
    const late = setTimeout(() => made.destroy(), ATTACH_MS);
    strangers.add(made);
    made.on("error", () => made.destroy());
    made.on("close", () => {
      clearTimeout(late);
      strangers.delete(made);
    });
    made.on("data", function first(bytes: Buffer) {
      const texts = split(splitter, bytes);
      const [said, ...more] = texts ?? [];
      if (said === undefined && texts !== undefined) {
        return; // not the whole of it yet
      }
      if (said === undefined || socket !== undefined || !isIt(said, token)) {
        made.destroy();
        return;
      }
      made.removeListener("data", first);
      clearTimeout(late);
      strangers.delete(made);
      server.close();
      strangers.forEach((other) => other.destroy());
      hold(made, splitter);
      tell({ attached: true });
      more.forEach(tell);
    });
  });
  server.on("error", (error) => lose(error.message));
  server.listen(path === undefined ? { host: "127.0.0.1", port: 0 } : { path }, () => {
    const address = path ?? `tcp:127.0.0.1:${(server.address() as AddressInfo).port}`;
    tell({ listening: address });
  });
  unlisten = () => {
    server.close();
    strangers.forEach((other) => other.destroy());
  };
}

function isIt(text: string, token: string): boolean {
  try {
    const said = read(text);
    const theirs = Buffer.from(String(said["token"]));
    const ours = Buffer.from(token);
    return said.type === "attach" && theirs.length === ours.length && timingSafeEqual(theirs, ours);
  } catch {
    return false;
  }
}

function split(splitter: Splitter, bytes: Buffer): string[] | undefined {
  try {
    return splitter.push(bytes);
  } catch (error) {
    if (error instanceof ProtocolError) {
      return undefined;
    }
    throw error;
  }
}

/** From here on this is the connection. */
function hold(made: Socket, splitter: Splitter): void {
  socket = made;
  made.setNoDelay(true);
  made.on("data", (bytes: Buffer) => {
    try {
      splitter.push(bytes).forEach(tell);
    } catch (error) {
      made.destroy();
      lose((error as Error).message);
    }
  });
  made.on("end", () => lose(undefined));
  made.on("close", () => (closing ? closed() : lose(undefined)));
}

/** The connection has ended, and nobody here wanted that. */
function lose(fault: string | undefined): void {
  if (closing || over) {
    return;
  }
  over = true;
  tell({ gone: true, fault });
  if (start.kills) {
    killing = setTimeout(() => process.kill(process.pid, "SIGKILL"), END_MS);
  }
}

/** Sends what is left, and ends the connection and this thread. */
function close(): void {
  closing = true;
  clearTimeout(killing);
  unlisten?.();
  answers.flush();
  if (socket === undefined || socket.destroyed) {
    closed();
    return;
  }
  const open = socket;
  setTimeout(() => open.destroy(), CLOSE_MS).unref();
  open.end(() => open.destroy());
}

function closed(): void {
  tell({ closed: true });
  start.port.close();
}
