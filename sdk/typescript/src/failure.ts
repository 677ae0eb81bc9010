/** How an attempt ends that did not succeed, and whether another one is worth the while. */

/** Most bytes of an error that the ledger keeps. */
const ERROR_MAX = 1024;
/** The longest wait that an engine keeps: 30 days. A longer one is taken for that. */
const WAIT_MAX_MS = 30 * 24 * 3_600 * 1_000;

/** Longest chain of causes that is told. */
const CAUSES_MAX = 32;
/** Of an error that throws when it is looked at. */
const UNSAYABLE = "(its text cannot be made)";

/** By which a failure is known, also where a program has this library twice. */
const FAILURE = Symbol.for("gridloom.failure");
const STOPPED = Symbol.for("gridloom.stopped");

/** What follows a failure. */
export type Kind = "retry" | "permanent" | "hold";

/**
 * What a handler throws to say what follows: {@link Retry}, {@link Permanent} or {@link Hold}.
 *
 * Any other error is tried again as the job's `[retry]` says.
 */
export class Failure extends Error {
  override name = "Failure";
  readonly kind: Kind = "retry";
  /** Milliseconds until the next attempt, where the handler says so. */
  readonly afterMs: number | undefined = undefined;

  /** `why`: a text, or the error that led here. */
  constructor(why: unknown = "", options: { cause?: unknown } = {}) {
    const cause = "cause" in options ? options.cause : why instanceof Error ? why : undefined;
    super(why instanceof Error ? one(why) : String(why), cause === undefined ? undefined : { cause });
  }

  /** @internal */
  get [FAILURE](): boolean {
    return true;
  }
}

/** Another attempt follows after the job's backoff, or after `afterMs`, up to its `max_attempts`. */
export class Retry extends Failure {
  override name = "Retry";
  override readonly kind = "retry";
  override readonly afterMs: number | undefined;

  constructor(why: unknown = "", options: { afterMs?: number | undefined; cause?: unknown } = {}) {
    super(why, options);
    this.afterMs = options.afterMs === undefined ? undefined : wait(options.afterMs);
  }
}

/** No other attempt follows: the shard is dead. */
export class Permanent extends Failure {
  override name = "Permanent";
  override readonly kind = "permanent";
}

/**
 * What the shard needs cannot serve for now: a rate limit (a 429), a replica that lags.
 *
 * Nothing of the whole job, or of any job that names the same `limits.resource`, is issued before `afterMs` are over;
 * then this shard is tried again, and the attempt counts as none of its `max_attempts`.
 */
export class Hold extends Failure {
  override name = "Hold";
  override readonly kind = "hold";
  override readonly afterMs: number;

  constructor(why: unknown, options: { afterMs: number; cause?: unknown }) {
    super(why, options);
    this.afterMs = wait(options?.afterMs);
  }
}

/** The attempt is to stop: cancelled, out of time, or its lease lost. Thrown by `shard.check()`, and the reason of `shard.signal`. */
export class Stopped extends Error {
  override name = "Stopped";

  /** @internal */
  get [STOPPED](): boolean {
    return true;
  }
}

function wait(ms: unknown): number {
  if (typeof ms !== "number" || !(ms >= 0)) {
    throw new RangeError(`afterMs: ${String(ms)}: a wait is some milliseconds from 0 up`);
  }
  return Math.floor(Math.min(ms, WAIT_MAX_MS));
}

/** What a handler returned that meant to throw it: an error. Whatever else it returns says nothing. */
export function failedOf(returned: unknown): { error: unknown } | undefined {
  return returned instanceof Error || isFailure(returned) ? { error: returned } : undefined;
}

/** Whether it says itself what follows. */
export function isFailure(error: unknown): error is Failure {
  return has(error, FAILURE);
}

/** Whether it is the end that `shard.check()` and `shard.signal` make, or what libraries make of the latter. */
export function isStop(error: unknown): boolean {
  try {
    const { name, code } = (typeof error === "object" && error !== null ? error : {}) as { name?: unknown; code?: unknown };
    return has(error, STOPPED) || name === "AbortError" || code === "ABORT_ERR";
  } catch {
    return false;
  }
}

function has(error: unknown, mark: symbol): boolean {
  return typeof error === "object" && error !== null && (error as Record<symbol, unknown>)[mark] === true;
}

/** What the engine is told of an error. */
export interface Told {
  kind: Kind;
  after_ms?: number;
  error: string;
}

/** What the engine is told of an error: what follows, and its text. */
export function told(error: unknown): Told {
  try {
    const failure = isFailure(error) ? error : within(error).find(isFailure);
    return { ...follows(failure), error: textOf(error) };
  } catch {
    // Anything can be thrown, also what throws when it is looked at.
    return { kind: "retry", error: UNSAYABLE };
  }
}

/** What follows. A class of somebody's own may say anything there, and what is no wait would end the connection. */
function follows(failure: Failure | undefined): Omit<Told, "error"> {
  const kind = failure?.kind === "permanent" || failure?.kind === "hold" ? failure.kind : "retry";
  const after = failure?.afterMs;
  if (typeof after === "number" && after >= 0) {
    return { kind, after_ms: Math.floor(Math.min(after, WAIT_MAX_MS)) };
  }
  return kind === "hold" ? { kind, after_ms: 0 } : { kind };
}

/** What several at once have in them, as an `AggregateError`. */
function within(error: unknown): unknown[] {
  const errors = typeof error === "object" && error !== null ? (error as { errors?: unknown }).errors : undefined;
  return Array.isArray(errors) ? errors : [];
}

/** The error with the chain of its causes, in one line of at most 1,024 bytes. */
export function textOf(error: unknown): string {
  const parts: string[] = [];
  const seen = new Set<unknown>();
  for (let at = error; at !== undefined && at !== null && !seen.has(at) && seen.size < CAUSES_MAX; at = causeOf(at)) {
    seen.add(at);
    const own = one(at);
    if (!parts.includes(own)) {
      parts.push(own);
    }
  }
  return cut(parts.length === 0 ? String(error) : parts.join(": "));
}

function causeOf(error: unknown): unknown {
  if (typeof error !== "object" || error === null) {
    return undefined;
  }
  // Several at once, as where each address of a name refused: the first one says enough.
  return (error as { cause?: unknown }).cause ?? within(error)[0];
}

function one(error: unknown): string {
  try {
    if (!(error instanceof Error) && !has(error, FAILURE)) {
      return typeof error === "object" && error !== null && String(error) === "[object Object]" ? JSON.stringify(error) : String(error);
    }
    const { name, message } = error as Error;
    if (message !== "" && (isFailure(error) || has(error, STOPPED))) {
      return message;
    }
    return message === "" ? name : `${name}: ${message}`;
  } catch {
    return UNSAYABLE;
  }
}

/** The text within the bytes of UTF-8 that the ledger keeps. */
function cut(text: string): string {
  const bytes = Buffer.from(text.slice(0, ERROR_MAX));
  // The half of a sign at the end is left out.
  return bytes.length <= ERROR_MAX ? bytes.toString() : new TextDecoder().decode(bytes.subarray(0, ERROR_MAX), { stream: true });
}
