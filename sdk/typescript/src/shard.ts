/** What a handler sees of its shard, and what it may say about it. Nothing here knows of the socket. */

import { Permanent, Stopped, isStop, told, type Told } from "./failure.js";
import { stringify } from "./json.js";
import { sliceOf } from "./slicing.js";

/** One value of the key that bounds pages: a `bigint` where a `number` would not be exact. */
export type Key = number | bigint | string;

/** What the ledger has room for, a shard. */
const COUNTERS_MAX = 16;
const COUNTER_NAME_MAX = 48;
const RESULT_MAX = 1024;
const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/** Why a shard is to stop, in words. */
const WHY = new Map([
  ["lease", "lease lost"],
  ["cancelled", "cancelled"],
  ["time", "out of time"],
  ["stopping", "worker is stopping"],
  ["gone", "the worker is gone"],
]);

/** What the worker says of all shards of a tile. */
export interface TileSaid {
  readonly run: string;
  readonly job: string;
  readonly handler: string;
  readonly nonce: string;
  readonly slice: number;
  readonly slices: number;
  readonly attempt: number;
  readonly fence: number;
  readonly params?: unknown;
  readonly settings?: unknown;
  readonly timeout_ms?: number | null;
}

/** What it says of one shard, or of a probe. */
export interface CellSaid {
  readonly id: number;
  readonly page: number;
  readonly from?: Key | null;
  readonly to?: Key | null;
  readonly offset?: number | null;
  readonly limit?: number | null;
  readonly traceparent?: string | null;
  readonly after?: Key | null;
  readonly room?: number;
  readonly pages_max?: number;
}

/** What the shards of one message have in common. */
export class Tile {
  /** The one that is executed. */
  current: Attempt | undefined;
  readonly came = performance.now();

  /** `look` takes in what the worker has said meanwhile, also where the event loop does not turn. */
  constructor(
    readonly said: TileSaid,
    readonly look: () => void,
  ) {}
}

/** An attempt at a shard, or at a probe. `P`: what its parameters are. */
export abstract class Attempt<P = any> {
  /** @internal */
  readonly _id: number;
  /** @internal */
  readonly _tile: Tile;
  /** @internal */
  readonly _said: CellSaid;
  /** @internal When it began; not there: it has not. */
  _begun: number | undefined;
  /** @internal Why it is to stop. */
  _why: string | undefined;
  #aborts: AbortController | undefined;
  #params: { copy: P } | undefined;
  #settings: { copy: unknown } | undefined;

  /** @internal */
  constructor(tile: Tile, said: CellSaid) {
    this._id = said.id;
    this._tile = tile;
    this._said = said;
  }

  /** The run that it is of. */
  get run(): string {
    return this._tile.said.run;
  }

  /** The name of its job. */
  get job(): string {
    return this._tile.said.job;
  }

  /** The name under which its handler was registered. */
  get handler(): string {
    return this._tile.said.handler;
  }

  /** Row of the grid, from 0. */
  get slice(): number {
    return this._tile.said.slice;
  }

  /** How many slices the grid has. */
  get slices(): number {
    return this._tile.said.slices;
  }

  /** Column of the grid, from 0; of a probe, the number of the question. */
  get page(): number {
    return this._said.page;
  }

  /** Number of the attempt, from 1. */
  get attempt(): number {
    return this._tile.said.attempt;
  }

  /** Of two holders of a shard the later one's is higher: a store that refuses lower ones is safe from the earlier. */
  get fence(): number {
    return this._tile.said.fence;
  }

  /** Tells its run from an earlier one of the same id. */
  get nonce(): string {
    return this._tile.said.nonce;
  }

  /** The same for every attempt at this shard, and for no other shard ever: an `Idempotency-Key`. */
  get key(): string {
    return `${this.nonce}-${this.slice}-${this.page}`;
  }

  /** What a request to others carries as its header `traceparent`, where the run is told of in a trace. */
  get traceparent(): string | undefined {
    return this._said.traceparent ?? undefined;
  }

  /** The job's parameters with the submission's over them. A copy of this shard's own. */
  get params(): P {
    this.#params ??= { copy: structuredClone(this._tile.said.params ?? {}) as P };
    return this.#params.copy;
  }

  /** The table of the job file that is called like the handler: no submission can change it. A copy of this shard's own. */
  get settings(): any {
    this.#settings ??= { copy: structuredClone(this._tile.said.settings ?? {}) };
    return this.#settings.copy;
  }

  /** Whether the record with this key is in the shard's slice (docs/SLICING.md says how, also for SQL). */
  owns(key: string | number | bigint): boolean {
    return sliceOf(key, this.slices) === this.slice;
  }

  /**
   * Throws {@link Stopped} when the attempt is to stop: cancelled, out of time, or its lease lost. To be asked before each
   * step that another holder must not see done twice. It hears of it also where a handler never awaits anything.
   */
  check(): void {
    if (this.stopped) {
      throw stopped(this._why);
    }
  }

  /** Whether the attempt is to stop. */
  get stopped(): boolean {
    if (this._why === undefined) {
      this._tile.look();
    }
    return this._why !== undefined;
  }

  /** Aborts when the attempt is to stop: for `fetch`, timers, streams and all that takes a signal. */
  get signal(): AbortSignal {
    if (this.#aborts === undefined) {
      this.#aborts = new AbortController();
      if (this._why !== undefined) {
        this.#aborts.abort(stopped(this._why));
      }
    }
    return this.#aborts.signal;
  }

  /** Milliseconds until it is out of time, by the job's `limits.timeout`; not there: it has no limit. */
  get remainingMs(): number | undefined {
    const limit = this._tile.said.timeout_ms;
    return limit === undefined || limit === null ? undefined : (this._begun ?? this._tile.came) + limit - performance.now();
  }

  /** When it is out of time; not there: never. */
  get deadline(): Date | undefined {
    const left = this.remainingMs;
    return left === undefined ? undefined : new Date(Date.now() + left);
  }

  toString(): string {
    return `${this.run} ${this.slice}/${this.page} attempt ${this.attempt}`;
  }

  /** @internal */
  _begin(): void {
    const tile = this._tile;
    this._begun = tile.current === undefined ? tile.came : performance.now();
    tile.current = this;
  }

  /** @internal */
  _stop(why: string): void {
    this._why = why;
    this.#aborts?.abort(stopped(why));
  }
}

function stopped(why = ""): Stopped {
  return new Stopped(WHY.get(why) ?? why);
}

/** One cell of the grid, in the hands of its handler. */
export class Shard<P = any> extends Attempt<P> {
  /** @internal */
  _rows: number | bigint = 0;
  #counters: Map<string, number | bigint> | undefined;
  #result: string | undefined;

  /** First and last key of the page, both inside it, where the pages were probed. */
  get bounds(): readonly [Key, Key] | undefined {
    const { from, to } = this._said;
    return from === undefined || from === null || to === undefined || to === null ? undefined : [from, to];
  }

  /** Rows of the slice before the page, where the grid has rows. */
  get offset(): number | undefined {
    return this._said.offset ?? undefined;
  }

  /** Rows of the page, where the grid has rows; not there beside an offset: to the end of the slice. */
  get limit(): number | undefined {
    return this._said.limit ?? undefined;
  }

  /** Counts `n` more rows. What is said here counts only if the attempt succeeds. */
  rows(n: number | bigint = 1): void {
    if (whole(n) < 0) {
      throw new RangeError(`rows only become more: ${n}`);
    }
    this._rows = plus(this._rows, n);
  }

  /** Adds `n` to the counter `name`: at most 48 bytes, and 16 counters a shard, `rows` among them. */
  count(name: string, n: number | bigint = 1): void {
    if (typeof name !== "string") {
      throw new TypeError(`the name of a counter is a text, not ${typeof name}`);
    }
    if (name === "rows") {
      this._rows = plus(this._rows, whole(n));
      return;
    }
    this.#counters ??= new Map();
    this.#counters.set(name, plus(this.#counters.get(name) ?? 0, whole(n)));
  }

  /** A small result, at most 1 KiB: a text, or anything that becomes one as JSON. The last one counts. */
  result(value: unknown): void {
    if (typeof value === "number" && !Number.isFinite(value)) {
      throw new RangeError(`${value} is no number that JSON can say`);
    }
    this.#result = typeof value === "string" ? value : stringify(value);
  }

  /** @internal What was said that the ledger has no room for. */
  _fault(): string | undefined {
    const counters = [...(this.#counters ?? [])];
    for (const [name, n] of [["rows", this._rows] as const, ...counters]) {
      const size = Buffer.byteLength(name);
      if (size === 0 || size > COUNTER_NAME_MAX) {
        return `counter name ${JSON.stringify(name.slice(0, 100))} must have 1 to ${COUNTER_NAME_MAX} bytes`;
      }
      if (n > INT64_MAX || n < INT64_MIN) {
        return `counter ${JSON.stringify(name)} of one shard goes beyond 64 bits: count in a larger unit`;
      }
    }
    if (this._rows < 0) {
      return `${this._rows} rows: rows only become more`;
    }
    if (counters.length >= COUNTERS_MAX) {
      return `${counters.length} counters beside the rows, ${COUNTERS_MAX - 1} are the most that a shard may have`;
    }
    const size = this.#result === undefined ? 0 : Buffer.byteLength(this.#result);
    return size > RESULT_MAX ? `result of ${size} bytes is longer than ${RESULT_MAX}: store it elsewhere` : undefined;
  }

  /** @internal What the engine is told of its success. */
  _done(): Done {
    const said: Done = { id: this._id };
    if (this._rows !== 0) {
      said.rows = this._rows;
    }
    if (this.#counters !== undefined) {
      said.counters = Object.fromEntries(this.#counters);
    }
    if (this.#result !== undefined) {
      said.result = this.#result;
    }
    return said;
  }
}

function whole(n: unknown): number | bigint {
  if (typeof n === "bigint" || Number.isSafeInteger(n)) {
    return n as number | bigint;
  }
  throw new TypeError(`${String(n)}: counters are whole numbers, and a bigint above 2^53`);
}

/** Exact, whatever the size. */
function plus(a: number | bigint, b: number | bigint): number | bigint {
  const sum = typeof a === "number" && typeof b === "number" ? a + b : BigInt(a) + BigInt(b);
  return typeof sum === "number" && !Number.isSafeInteger(sum) ? BigInt(a) + BigInt(b) : sum;
}

/** A question to a handler: which pages does this slice have, behind the key `after`? */
export class Probe<P = any> extends Attempt<P> {
  /** The last key that is known; not there for the first question of the slice. */
  get after(): Key | undefined {
    return this._said.after ?? undefined;
  }

  /** How many bytes the keys of the answer may take. What is beyond it is left to the next question by itself. */
  get room(): number {
    return this._said.room ?? 0;
  }

  /** How many pages the answer may have. */
  get pagesMax(): number {
    return this._said.pages_max ?? 0;
  }
}

/** What the engine is told of an attempt that succeeded. */
export interface Done {
  id: number;
  rows?: number | bigint;
  counters?: Record<string, number | bigint>;
  result?: string;
}

/** How an attempt is answered. */
export type Outcome =
  | { readonly kind: "done"; readonly said: Done }
  | { readonly kind: "fail"; readonly said: Told & { id: number } }
  | { readonly kind: "stopped"; readonly said: { id: number } };

/** How an attempt is answered whose handler came back, or has thrown `failed.error`. */
export function outcome(attempt: Attempt, failed: { readonly error: unknown } | undefined): Outcome {
  const id = attempt._id;
  if (failed === undefined) {
    const fault = attempt instanceof Shard ? attempt._fault() : undefined;
    if (fault !== undefined) {
      return { kind: "fail", said: { id, ...told(new Permanent(fault)) } };
    }
    return { kind: "done", said: attempt instanceof Shard ? attempt._done() : { id } };
  }
  if (attempt._why !== undefined && isStop(failed.error)) {
    return { kind: "stopped", said: { id } };
  }
  return { kind: "fail", said: { id, ...told(failed.error) } };
}
