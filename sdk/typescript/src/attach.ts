/** Starts `gridloom worker --attach` beside a program that is its own main process. */

import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Line } from "./line.js";

/** Longest path of a Unix socket that every system takes. */
const PATH_MAX = 100;
/** How long the worker has to end after `drain`. */
const END_MS = 30_000;

/** The `gridloom worker` beside this program has ended, and nobody had told it to. */
export class WorkerGone extends Error {
  override name = "WorkerGone";
}

/** How the worker is started. */
export interface Starting {
  readonly queue?: string | undefined;
  readonly nats?: string | undefined;
  readonly options?: readonly string[] | undefined;
  readonly command?: string | undefined;
}

/** The worker that holds leases, writes the ledger, and sends shards. */
export class Engine {
  readonly #process: ChildProcess;
  /** How it ended. */
  readonly #exit: Promise<Error | string>;

  private constructor(
    readonly line: Line,
    readonly folder: string,
    token: string,
    starting: Starting,
  ) {
    // Not among the arguments, which everybody on the machine sees.
    const said = { GRIDLOOM_WORKER_QUEUES: starting.queue, GRIDLOOM_NATS: starting.nats };
    const variables = Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
    const env = { ...process.env, ...variables, GRIDLOOM_SOCKET: line.address, GRIDLOOM_TOKEN: token };
    const command = starting.command ?? "gridloom";
    this.#process = spawn(command, ["worker", "--attach", ...(starting.options ?? [])], {
      env,
      stdio: ["ignore", "inherit", "inherit"],
    });
    this.#exit = new Promise((resolve) => {
      this.#process.on("error", (error: NodeJS.ErrnoException) => {
        const lost = error.code === "ENOENT" && starting.command === undefined;
        resolve(lost ? new Error("the command gridloom is not in PATH: install it, or say new Worker({ command })") : error);
      });
      this.#process.on("exit", (code, signal) => resolve(signal === null ? `exit code ${code}` : signal));
    });
  }

  /** Starts it; it connects to a socket that nobody else can find or know the token of. */
  static async start(starting: Starting): Promise<Engine> {
    const folder = mkdtempSync(join(tmpdir(), "gridloom-"));
    try {
      const token = randomBytes(16).toString("hex");
      const path = join(folder, "worker");
      const unix = process.platform !== "win32" && Buffer.byteLength(path) <= PATH_MAX;
      const line = await Line.open({ listen: { path: unix ? path : undefined, token }, kills: false });
      return new Engine(line, folder, token, starting);
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Whether it has said who it is; false where nobody wants it any more. */
  async attached(givenUp: Promise<void>): Promise<boolean> {
    const first = await Promise.race([this.line.attached.then(() => true), givenUp.then(() => false), this.#exit]);
    if (typeof first === "boolean") {
      return first;
    }
    if (first instanceof Error) {
      throw first;
    }
    throw new WorkerGone(`gridloom worker ended (${first}) before it had begun: it says why above`);
  }

  /** Throws {@link WorkerGone} unless it had said that it would end. */
  async ended(drained: boolean, fault: string | undefined): Promise<void> {
    if (fault !== undefined) {
      throw new WorkerGone(`gridloom worker broke the protocol (${fault}): what ran here was told to stop`);
    }
    const how = await this.#within();
    if (!drained) {
      throw new WorkerGone(`gridloom worker is gone (${String(how ?? "and lives")}): what ran here was told to stop`);
    }
  }

  /** How it ended; `undefined`: it has not, although it had the time for it. */
  async #within(): Promise<Error | string | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => (timer = setTimeout(resolve, END_MS, undefined)));
    const how = await Promise.race([this.#exit, late]);
    clearTimeout(timer);
    return how;
  }

  async close(): Promise<void> {
    await this.line.close();
    rmSync(this.folder, { recursive: true, force: true });
    this.#process.kill();
    if ((await this.#within()) === undefined) {
      this.#process.kill("SIGKILL");
      await this.#exit;
    }
  }
}
