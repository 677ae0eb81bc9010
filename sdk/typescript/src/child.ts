/**
 * Runs the shards that a worker sends (docs/CHILD-PROTOCOL.md): an asynchronous function a tile, which runs its shards
 * one after the other, all of them in the one event loop of the program.
 */

import { Failure, failedOf, isFailure } from "./failure.js";
import { ProtocolError, type Message } from "./frames.js";
import type { Handler, Handlers } from "./handlers.js";
import type { Ear, Line } from "./line.js";
import { Answer } from "./pages.js";
import { outcome, Probe, Shard, Tile, type Attempt, type CellSaid, type Outcome, type TileSaid } from "./shard.js";

const PROTOCOL = 1;
export const SDK = "typescript 0.1.0";
/** How often rows so far are told. */
const PROGRESS_MS = 1_000;
/** How long tiny shards may follow each other before others have their turn in the event loop. */
const TURN_MS = 10;

/** How a connection ended. */
export interface Ending {
  /** Whether the worker had said `drain`, and all was answered. */
  readonly drained: boolean;
  /** How the worker broke the protocol, where it did. */
  readonly fault: string | undefined;
}

/** Is told of an error that nobody expected. */
export type Report = (attempt: Attempt, error: unknown) => void;

/** The side of a connection that runs shards. */
export class Child implements Ear {
  /** How long a shard may take to end after `stop`. */
  graceMs = 2_000;
  /** What was given and is not answered. */
  readonly #open = new Map<number, Attempt>();
  readonly #tiles = new Set<Tile>();
  readonly #told = new Map<number, number | bigint>();
  readonly #look: () => void;
  readonly #ended: Promise<Ending>;
  #end!: (ending: Ending) => void;
  #draining = false;
  #leaving = false;
  #turned = 0;
  /** When rows so far are told again: by a timer, or by who computes and lets none fire. */
  #tellsAt = performance.now() + PROGRESS_MS;

  constructor(
    readonly line: Line,
    readonly handlers: Handlers,
    readonly slots: number,
    readonly report: Report,
  ) {
    this.#look = () => {
      line.look();
      if (performance.now() >= this.#tellsAt) {
        this.#progress();
      }
    };
    this.#ended = new Promise((resolve) => (this.#end = resolve));
  }

  /** Runs shards until the worker has said `drain`, or is gone. */
  async serve(token: string | undefined): Promise<Ending> {
    this.line.ear = this;
    this.line.send({
      type: "hello",
      protocol: [PROTOCOL, PROTOCOL],
      ...(token === undefined ? {} : { token }),
      sdk: SDK,
      handlers: [...this.handlers.runs.keys()],
      probes: [...this.handlers.pages.keys()],
      slots: this.slots,
    });
    const progress = setInterval(() => this.#progress(), PROGRESS_MS);
    const ending = await this.#ended;
    clearInterval(progress);
    return ending;
  }

  /** Asks for nothing more; {@link serve} ends when all is answered. */
  leave(): void {
    if (!this.#leaving) {
      this.#leaving = true;
      this.line.send({ type: "bye" });
    }
  }

  heard(message: Message): void {
    switch (message.type) {
      case "welcome":
        this.graceMs = typeof message["grace_ms"] === "number" ? message["grace_ms"] : this.graceMs;
        return;
      case "shards":
        this.#take(message);
        return;
      case "probe":
        this.#ask(message);
        return;
      case "stop":
        this.#stop(idsOf(message), String(message["why"] ?? ""));
        return;
      case "drain":
        this.#draining = true;
        this.#endIfDone();
        return;
    }
  }

  gone(fault: string | undefined): void {
    // Closed by the worker when everything was answered: as good as closed from here.
    this.#lost({ drained: this.#draining && this.#open.size === 0, fault });
  }

  /** What runs hears of it now: it may be a handler that never lets the event loop turn, at its check(). */
  #lost(ending: Ending): void {
    for (const attempt of this.#open.values()) {
      attempt._stop("gone");
    }
    this.#end(ending);
  }

  #take(message: Message): void {
    const tile = new Tile(tileOf(message), this.#look);
    const shards = cellsOf(message).map((said) => new Shard(tile, said));
    this.#begin(tile, this.handlers.runs.get(tile.said.handler) ?? nobody, shards, undefined);
  }

  #ask(message: Message): void {
    const tile = new Tile(tileOf(message), this.#look);
    const probe = new Probe(tile, cellOf(message));
    const pages = this.handlers.pages.get(tile.said.handler) ?? nobody;
    const answer = new Answer(probe);
    this.#begin(tile, () => answer.fill(pages), [probe], answer);
  }

  #begin(tile: Tile, run: Handler, attempts: Attempt[], answer: Answer | undefined): void {
    for (const attempt of attempts) {
      this.#open.set(attempt._id, attempt);
    }
    this.#tiles.add(tile);
    this.#play(tile, run as (attempt: Attempt) => unknown, attempts, answer).catch((error: unknown) => {
      // A fault of this code: shards would never be answered. So it ends, and others run them.
      this.report(attempts[0] as Attempt, error);
      this.#lost({ drained: false, fault: undefined });
    });
  }

  /** One tile, from its first shard to its last. */
  async #play(tile: Tile, run: (attempt: Attempt) => unknown, attempts: Attempt[], answer: Answer | undefined): Promise<void> {
    let left = attempts.length;
    for (const attempt of attempts) {
      left--;
      // Also so that none begins within whoever took the message in: that may be a handler, at its check().
      await this.#turn();
      this.#look();
      if (attempt._why !== undefined) {
        continue; // it was answered when it was told to stop
      }
      attempt._begin();
      let failed: { error: unknown } | undefined;
      try {
        failed = failedOf(await run(attempt));
      } catch (error) {
        failed = { error };
      }
      this.#settle(attempt, failed, left > 0, answer);
    }
    this.#tiles.delete(tile);
  }

  /** Lets others have their turn, where handlers follow each other without ever waiting for anything. */
  #turn(): Promise<void> | undefined {
    const now = performance.now();
    if (now - this.#turned < TURN_MS) {
      return undefined;
    }
    this.#turned = now;
    return new Promise((resolve) => setImmediate(resolve));
  }

  #settle(attempt: Attempt, failed: { error: unknown } | undefined, more: boolean, answer: Answer | undefined): void {
    const said = outcome(attempt, failed);
    if (failed !== undefined && said.kind === "fail") {
      this.#report(attempt, failed.error);
    }
    if (answer !== undefined && said.kind === "done") {
      this.line.send({ type: "pages", id: attempt._id, pages: answer.pages, cursor: answer.cursor ?? null });
      this.#forget(attempt);
    } else {
      this.#answer(attempt, said, more);
    }
  }

  /** Whoever reports may fail as well, and an error may throw when it is looked at: the shard is answered all the same. */
  #report(attempt: Attempt, error: unknown): void {
    try {
      if (!isFailure(error)) {
        this.report(attempt, error);
      }
    } catch {
      console.error(`gridloom: ${attempt} failed, and its error cannot be told`);
    }
  }

  #answer(attempt: Attempt, said: Outcome, more: boolean): void {
    this.line.answer(said, more);
    this.#forget(attempt);
  }

  #forget(attempt: Attempt): void {
    this.#open.delete(attempt._id);
    this.#told.delete(attempt._id);
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#draining && this.#open.size === 0) {
      this.#end({ drained: true, fault: undefined });
    }
  }

  #stop(ids: number[], why: string): void {
    for (const id of ids) {
      const attempt = this.#open.get(id);
      if (attempt === undefined) {
        continue; // answered already: both were under way at once
      }
      const begun = attempt._begun !== undefined;
      attempt._stop(why);
      if (!begun) {
        this.#answer(attempt, { kind: "stopped", said: { id } }, id !== ids.at(-1));
      }
    }
  }

  /** Tells the rows so far of shards that take long. */
  #progress(): void {
    this.#tellsAt = performance.now() + PROGRESS_MS;
    const shards: { id: number; rows: number | bigint }[] = [];
    for (const { current } of this.#tiles) {
      if (!(current instanceof Shard) || !this.#open.has(current._id)) {
        continue;
      }
      const rows = current._rows;
      if (rows > 0 && rows < 2n ** 63n && this.#told.get(current._id) !== rows) {
        this.#told.set(current._id, rows);
        shards.push({ id: current._id, rows });
      }
    }
    if (shards.length > 0) {
      this.line.send({ type: "progress", shards });
    }
  }
}

function nobody(attempt: Attempt): never {
  throw new Failure(`handler ${JSON.stringify(attempt.handler)} is not known here`);
}

function tileOf(message: Message): TileSaid {
  const texts = ["run", "job", "handler", "nonce"].every((name) => typeof message[name] === "string");
  const numbers = ["slice", "slices", "attempt", "fence"].every((name) => Number.isSafeInteger(message[name]));
  return texts && numbers ? (message as unknown as TileSaid) : broken(message);
}

function cellsOf(message: Message): CellSaid[] {
  const cells = message["shards"];
  return Array.isArray(cells) ? cells.map(cellOf) : broken(message);
}

function cellOf(said: unknown): CellSaid {
  const cell = said as CellSaid | null;
  const whole = typeof cell === "object" && cell !== null && Number.isSafeInteger(cell.id) && Number.isSafeInteger(cell.page);
  return whole ? cell : broken({ type: "shards" });
}

function idsOf(message: Message): number[] {
  const ids = message["ids"];
  return Array.isArray(ids) && ids.every(Number.isSafeInteger) ? (ids as number[]) : broken(message);
}

function broken(message: Message): never {
  throw new ProtocolError(`a message ${JSON.stringify(message.type)} that is none`);
}
