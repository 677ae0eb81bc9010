/** A worker: handlers by name, and the connection on which their shards come. */

import type { NetConnectOpts } from "node:net";

import { Engine } from "./attach.js";
import { Child, type Ending } from "./child.js";
import { Handlers, type Handler, type Pages } from "./handlers.js";
import { Line } from "./line.js";
import type { Attempt } from "./shard.js";

/** The exit code of a child whose connection ended without `drain`. */
const GONE = 70;
const SLOTS_MAX = 10_000;

/** How a worker is. */
export interface WorkerOptions {
  /** How many tiles run at once; 1 where nothing is said. `gridloom worker --slots` goes before it. */
  slots?: number;
  /** The queue, where this program starts its worker itself. */
  queue?: string;
  /** The broker, likewise. Left out: the settings of the worker, as docs/CONFIG.md has them. */
  nats?: string;
  /** Other flags of `gridloom worker`, likewise. */
  options?: readonly string[];
  /** The path of the command `gridloom`, likewise. Left out: as `PATH` has it. */
  command?: string;
  /** Is told of errors of handlers that say nothing of what follows. Left out: they are written to standard error. */
  onError?: (attempt: Attempt, error: unknown) => void;
}

/**
 * Runs shards by handlers that are registered here.
 *
 * Started by `gridloom worker -- node worker.mjs`, that command says broker, queue, processes and slots. Started by itself,
 * {@link run} starts `gridloom worker --attach`.
 */
export class Worker {
  readonly #slots: number;
  readonly #handlers = new Handlers();
  readonly #options: WorkerOptions;
  readonly #asked: Promise<void>;
  #ask!: () => void;
  #askedToStop = false;
  #running = false;
  #child: Child | undefined;

  constructor(options: WorkerOptions = {}) {
    this.#slots = slots(options.slots ?? 1, "slots");
    this.#options = options;
    this.#asked = new Promise((resolve) => (this.#ask = resolve));
  }

  /** Registers a function, `async` or not, that executes a shard. `P`: what its parameters are. */
  handler<P = any>(name: string, run: Handler<P>): this {
    this.#handlers.addRun(name, run as Handler);
    return this;
  }

  /**
   * Registers a function that says which pages a slice has, for jobs with `pages = { probe = true }`: it yields or returns
   * `[first key, last key]` of each, both inside it, in order, behind `probe.after`. What is more than one answer has room
   * for is asked for again.
   */
  pages<P = any>(name: string, pages: Pages<P>): this {
    this.#handlers.addPages(name, pages as Pages);
    return this;
  }

  /** Takes nothing more: {@link run} returns when what it has is answered. */
  stop(): void {
    this.#askedToStop = true;
    this.#ask();
    this.#child?.leave();
  }

  /**
   * Runs shards until the worker is told to stop. SIGTERM and SIGINT do so, unless the program has listeners of its own for
   * them or `signals` is false; the second one ends the process.
   */
  async run({ signals = true }: { signals?: boolean } = {}): Promise<void> {
    if (this.#running) {
      throw new Error("this worker runs already");
    }
    const address = process.env["GRIDLOOM_SOCKET"];
    const isChild = address !== undefined;
    const token = (isChild && process.env["GRIDLOOM_TOKEN"]) || "";
    refuseCopies(address);
    this.#handlers.check();
    this.#running = true;
    if (isChild) {
      // Nobody who is started from here needs them, or may have them. Elsewhere the token is a client's own.
      delete process.env["GRIDLOOM_SOCKET"];
      delete process.env["GRIDLOOM_TOKEN"];
    }
    const restore = signals ? hear(() => this.stop()) : (): void => undefined;
    try {
      await (address === undefined ? this.#runAttached() : this.#runStarted(address, token));
    } finally {
      restore();
      this.#running = false;
    }
  }

  /** `gridloom worker -- node worker.mjs` has started this process. */
  async #runStarted(address: string, token: string): Promise<void> {
    const said = process.env["GRIDLOOM_SLOTS"];
    const many = said === undefined || said === "" ? this.#slots : slots(Number(said), "GRIDLOOM_SLOTS");
    const line = await Line.open({ connect: where(address), kills: true });
    const child = this.#childOn(line, many);
    const { drained, fault } = await this.#serve(child, token);
    if (!drained) {
      if (fault !== undefined) {
        console.error(`gridloom: the worker broke the protocol: ${fault}`);
      }
      // At once, whatever handlers do: others may run their shards by now.
      process.removeAllListeners("exit");
      process.exit(GONE);
    }
    await line.close();
    // A pool or a timer that the program has left open must not make its end a death: the worker waits for a grace.
    setTimeout(() => process.exit(), child.graceMs / 2).unref();
  }

  async #runAttached(): Promise<void> {
    const engine = await Engine.start(this.#options);
    try {
      if (await engine.attached(this.#asked)) {
        const { drained, fault } = await this.#serve(this.#childOn(engine.line, this.#slots), undefined);
        await engine.line.close();
        await engine.ended(drained, fault);
      }
    } finally {
      await engine.close();
    }
  }

  #childOn(line: Line, many: number): Child {
    return new Child(line, this.#handlers, many, this.#options.onError ?? report);
  }

  async #serve(child: Child, token: string | undefined): Promise<Ending> {
    const ending = child.serve(token);
    this.#child = child;
    if (this.#askedToStop) {
      child.leave();
    }
    try {
      return await ending;
    } finally {
      this.#child = undefined;
    }
  }
}

function report(attempt: Attempt, error: unknown): void {
  console.error(`gridloom: ${attempt} failed:`, error);
}

function slots(many: number, name: string): number {
  if (!Number.isInteger(many) || many < 1 || many > SLOTS_MAX) {
    throw new RangeError(`${name}: ${many}: 1 to 10,000 tiles at once`);
  }
  return many;
}

/** What `GRIDLOOM_SOCKET` says: a path, or `tcp:HOST:PORT`. */
function where(address: string): NetConnectOpts {
  if (!address.startsWith("tcp:")) {
    return { path: address };
  }
  const [, host, port] = /^tcp:(.+):(\d{1,5})$/.exec(address) ?? [];
  if (host === undefined) {
    throw new Error(`GRIDLOOM_SOCKET=${address}: write it as a path or as tcp:127.0.0.1:PORT`);
  }
  return { host: host.replace(/^\[(.*)\]$/, "$1"), port: Number(port) };
}

/** A copy of this program that a handler has started has no connection, and would start an engine of its own. */
function refuseCopies(address: string | undefined): void {
  if (address === undefined && process.env["GRIDLOOM_PROCESS"] !== undefined) {
    throw new Error("a copy of this program, started by one of its handlers, would be a second worker: let it not call worker.run()");
  }
}

/** Hears the signals that the program does not hear itself. The second one does what it does without this. */
function hear(tell: () => void): () => void {
  const alone = (["SIGTERM", "SIGINT"] as const).filter((name) => process.listenerCount(name) === 0);
  const told = (): void => tell();
  alone.forEach((name) => process.once(name, told));
  return () => alone.forEach((name) => process.removeListener(name, told));
}
