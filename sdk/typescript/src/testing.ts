/**
 * Runs a handler without a broker: one shard, all shards of a small grid, or a probe.
 *
 * ```ts
 * import { run, runAll } from "gridloom/testing";
 *
 * const one = await run(resize, { params: { bucket: "b" }, slices: 4, slice: 1 });
 * assert(one.ok && one.rows === 3);
 *
 * const whole = await runAll(resize, { params: { bucket: "b" }, slices: 4 });
 * assert(whole.rows === 10);
 * ```
 */

import { failedOf, type Kind } from "./failure.js";
import type { Handler, Page, Pages } from "./handlers.js";
import { Answer } from "./pages.js";
import { outcome, Probe, Shard, Tile, type Key, type TileSaid } from "./shard.js";

/** What one answer to a probe has room for, at a broker as it comes. */
const ROOM = 786_432;
const PAGES_MAX = 4_096;
/** A probe that goes on for longer finds no end. */
const QUESTIONS_MAX = 1_000_000;

/** What a shard or a probe is of; left out is what a job does not say. */
export interface Of {
  params?: unknown;
  settings?: unknown;
  slice?: number;
  slices?: number;
  job?: string;
  handler?: string;
}

/** What a shard is. */
export interface ShardOf extends Of {
  page?: number;
  bounds?: Page | undefined;
  offset?: number;
  limit?: number;
  attempt?: number;
  fence?: number;
  timeoutMs?: number;
  traceparent?: string;
  /** So many calls of `check()` go well; the next one says that it is to stop. */
  stopAfterChecks?: number;
  /** Why it is to stop then. */
  why?: Why;
}

/** Why a shard is to stop. */
export type Why = "lease" | "cancelled" | "time" | "stopping";

/** What became of an attempt. */
export class Outcome {
  readonly kind: "done" | "stopped" | Kind;
  readonly rows: number | bigint;
  readonly counters: Readonly<Record<string, number | bigint>>;
  readonly result: string | undefined;
  /** The error as the ledger would have it. */
  readonly error: string | undefined;
  /** Milliseconds until the next attempt, where the handler said so. */
  readonly afterMs: number | undefined;
  /** What the handler threw. */
  readonly thrown: unknown;
  readonly slice: number;
  readonly page: number;

  /** @internal */
  constructor(shard: Shard, failed: { error: unknown } | undefined) {
    const { kind, said } = outcome(shard, failed);
    const done = kind === "done" ? said : undefined;
    const fail = kind === "fail" ? said : undefined;
    this.kind = fail === undefined ? (kind as "done" | "stopped") : fail.kind;
    this.rows = done?.rows ?? 0;
    this.counters = done?.counters ?? {};
    this.result = done?.result;
    this.error = fail?.error;
    this.afterMs = fail?.after_ms;
    this.thrown = failed?.error;
    this.slice = shard.slice;
    this.page = shard.page;
  }

  /** Whether the shard would be committed. */
  get ok(): boolean {
    return this.kind === "done";
  }

  /** Itself where it is `ok`; otherwise throws. */
  check(): this {
    if (!this.ok) {
      throw new Error(`shard ${this.slice}/${this.page}: ${this.kind}: ${this.error ?? ""}`, { cause: this.thrown });
    }
    return this;
  }
}

/** What became of all shards of a grid. */
export class Whole {
  constructor(readonly outcomes: readonly Outcome[]) {}

  /** Whether each shard would be committed. */
  get ok(): boolean {
    return this.outcomes.every((one) => one.ok);
  }

  /** Rows of all that succeeded. */
  get rows(): number {
    return this.outcomes.reduce((sum, one) => sum + Number(one.rows), 0);
  }

  /** Counters of all that succeeded. */
  get counters(): Record<string, number> {
    const sums = new Map<string, number>();
    for (const [name, n] of this.outcomes.flatMap((one) => Object.entries(one.counters))) {
      sums.set(name, (sums.get(name) ?? 0) + Number(n));
    }
    return Object.fromEntries(sums);
  }

  /** Itself where all are `ok`; otherwise throws what the first one says that is not. */
  check(): this {
    this.outcomes.forEach((one) => one.check());
    return this;
  }
}

class Watched extends Shard {
  #left: number | undefined;
  #why: Why = "lease";

  watch(left: number | undefined, why: Why = "lease"): void {
    this.#left = left;
    this.#why = why;
  }

  override check(): void {
    if (this.#left !== undefined && --this.#left < 0) {
      this._stop(this.#why);
    }
    super.check();
  }
}

/** A shard of a made-up run. */
export function shard(of: ShardOf = {}): Shard {
  const { page = 0, bounds } = of;
  const keys = bounds === undefined ? {} : { from: bounds[0], to: bounds[1] };
  const cell = { id: 1, page, ...keys, offset: of.offset ?? null, limit: of.limit ?? null, traceparent: of.traceparent ?? null };
  const made = new Watched(tile(of), cell);
  made.watch(of.stopAfterChecks, of.why);
  return made;
}

/** Tells a shard to stop, as the worker does: its `check()` throws and its `signal` aborts. */
export function stop(one: Shard, why: Why = "lease"): void {
  one._stop(why);
}

/** Runs a handler on a shard: one that {@link shard} has made, or what it makes of these. */
export async function run(handler: Handler, on: Shard | ShardOf = {}): Promise<Outcome> {
  const given = on instanceof Shard ? on : shard(on);
  given._begin();
  try {
    return new Outcome(given, failedOf(await handler(given)));
  } catch (error) {
    return new Outcome(given, { error });
  }
}

/** Runs a handler on each shard of a grid, one after the other: so many pages a slice, or those that a probe finds. */
export async function runAll(
  handler: Handler,
  of: Omit<ShardOf, "slice" | "page" | "bounds"> & { pages?: number | Pages } = {},
): Promise<Whole> {
  const { pages = 1, ...said } = of;
  const outcomes: Outcome[] = [];
  for (let slice = 0; slice < (of.slices ?? 1); slice++) {
    const found = typeof pages === "number" ? new Array<undefined>(pages).fill(undefined) : await probe(pages, { ...said, slice });
    for (const [page, bounds] of found.entries()) {
      outcomes.push(await run(handler, { ...said, slice, page, bounds }));
    }
  }
  return new Whole(outcomes);
}

/** Asks for the pages of a slice until there are no more, as the engine does; what it would refuse is thrown. */
export async function probe(pages: Pages, of: Of & { room?: number; pagesMax?: number } = {}): Promise<[Key, Key][]> {
  const { room = ROOM, pagesMax = PAGES_MAX } = of;
  const found: [Key, Key][] = [];
  let after: Key | undefined;
  for (let page = 0; page < QUESTIONS_MAX; page++) {
    const answer = new Answer(new Probe(tile(of), { id: 1, page, after: after ?? null, room, pages_max: pagesMax }));
    await answer.fill(pages);
    found.push(...answer.pages);
    after = answer.cursor;
    if (after === undefined) {
      return found;
    }
  }
  throw new Error("a probe that finds no end: does it heed probe.after?");
}

function tile(of: ShardOf): Tile {
  const { slice = 0, slices = 1, job = "test", handler = "test", attempt = 1, fence = 1, params, settings, timeoutMs } = of;
  if (!(slice >= 0 && slice < slices)) {
    throw new RangeError(`slice ${slice} of ${slices}: slices are numbered from 0`);
  }
  const named = { run: `${job}_r_test`, job, handler, nonce: "00000000000000ff" };
  const said: TileSaid = { ...named, slice, slices, attempt, fence, params, settings, timeout_ms: timeoutMs ?? null };
  return new Tile(said, () => undefined);
}
