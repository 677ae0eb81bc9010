/** Starts runs and looks at them, over a planner's HTTP API (docs/API.md). */

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { textOf } from "./failure.js";
import { ask, type Reply } from "./http.js";
import { parse, stringify } from "./json.js";

/** Where a planner answers when nobody says otherwise. */
const API_DEFAULT = "http://127.0.0.1:7070";
/** Problems after which the same request may be sent again: it was not done, or doing it twice does no harm. */
const PASSING = ["unavailable", "timed-out", "unknown"];
/** Answers of a proxy that pass. */
const PROXY = [502, 503, 504];
/** Pauses of `wait` between two looks. */
const LOOK_FIRST_MS = 100;
const LOOK_LAST_MS = 2_000;
/** Pauses between two of the same request. */
const AGAIN_FIRST_MS = 100;
const AGAIN_LAST_MS = 2_000;

/** A JSON object, as it was answered. */
export type Json = Record<string, any>;

/** Nobody answered in time, or not as a planner does. */
export class Unreachable extends Error {
  override name = "Unreachable";

  /** @internal `passes`: whether asking again may help. */
  constructor(
    message: string,
    options?: { cause: unknown },
    readonly passes = true,
  ) {
    super(message, options);
  }
}

/** The request was understood and refused. Decide by `type`, read `message` (docs/API.md has all types). */
export class ApiError extends Error {
  override name = "ApiError";
  readonly type: string;
  readonly title: string;
  readonly faults: readonly string[];

  /** @internal */
  constructor(
    problem: Json,
    readonly status: number,
  ) {
    const faults = (Array.isArray(problem["faults"]) ? problem["faults"] : []).map(String);
    const detail = String(problem["detail"] ?? problem["title"] ?? `status ${status}`);
    super([detail, ...faults].join("; "));
    this.type = String(problem["type"] ?? "about:blank").replace(/^urn:gridloom:/, "");
    this.title = String(problem["title"] ?? "");
    this.faults = faults;
  }
}

/** The run that was waited for ended otherwise than `succeeded`; `run` has it. */
export class RunFailed extends Error {
  override name = "RunFailed";

  /** @internal */
  constructor(readonly run: Run) {
    super(`run ${run.id} ${run.state}: ${run.error ?? "no error is on record"}`);
  }
}

/** The run that was waited for has not ended in time. */
export class TimedOut extends Error {
  override name = "TimedOut";
}

/** A submission that is stored: it will be a run, whatever crashes. */
export interface Receipt {
  readonly run: string;
  readonly job: string;
  /** The request's id: the same one never makes a second run. */
  readonly id: string;
  /** `opened`, `exists`, `purged` or `queued`; not there: no planner has said so yet. */
  readonly answer: string | undefined;
  /** All that was answered. */
  readonly raw: Json;
}

/** How a run stands. */
export interface Run {
  readonly id: string;
  readonly job: string;
  readonly state: "running" | "succeeded" | "failed" | "cancelled";
  readonly rows: number | bigint;
  readonly counters: Readonly<Record<string, number | bigint>>;
  /** `planned`, `done`, `dead`, `outstanding` and others, in shards. */
  readonly shards: Readonly<Record<string, number>>;
  readonly error: string | undefined;
  /** Whether nothing follows by itself. */
  readonly ended: boolean;
  /** Whether every shard is committed. */
  readonly succeeded: boolean;
  /** All that was answered: docs/openapi.json has its form. */
  readonly raw: Json;
}

/** Where a planner is, and who asks it. */
export interface ClientOptions {
  /** The address, as `gridloom dev` prints it; left out: the variable `GRIDLOOM_API`, or this machine. */
  api?: string;
  /** One of `gridloom token`; left out: the variable `GRIDLOOM_TOKEN`. */
  token?: string;
  /** How long one request may take, with its repetitions; 30 s where nothing is said. */
  timeoutMs?: number;
  /** Who vouches for the server, in PEM, beside those that Node knows. */
  ca?: string | Buffer;
}

/** What is put over a job for one run of it. */
export interface Submission {
  /** The same one never makes a second run; left out: one is made by chance. */
  id?: string;
  params?: Readonly<Json>;
  grid?: Readonly<Json>;
  overlap?: string;
  traceparent?: string;
}

/** How a run is waited for. */
export interface Waiting {
  /** Left out: without limit. */
  timeoutMs?: number;
  /** Whether a run that did not succeed is thrown as {@link RunFailed}; so it is where nothing is said. */
  check?: boolean;
  /** Is told each look. */
  progress?: (run: Run) => void;
  /** Ends the waiting, not the run. */
  signal?: AbortSignal;
}

/** What a request carries. */
export interface Asking {
  body?: Readonly<Json>;
  headers?: Readonly<Record<string, string>>;
}

/** Speaks with a planner. */
export class Client {
  readonly #base: URL;
  readonly #path: string;
  readonly #token: string | undefined;
  readonly #timeoutMs: number;
  readonly #ca: string | Buffer | undefined;

  constructor({ api, token, timeoutMs = 30_000, ca }: ClientOptions = {}) {
    this.#base = addressOf(api || process.env["GRIDLOOM_API"] || API_DEFAULT);
    const path = this.#base.pathname.replace(/\/+$/, "");
    this.#path = path.endsWith("/api/v1") ? path : `${path}/api/v1`;
    // In a child of a worker the variable holds what that one knows it by.
    const isChild = process.env["GRIDLOOM_SOCKET"] !== undefined;
    this.#token = token || (isChild ? undefined : process.env["GRIDLOOM_TOKEN"]) || undefined;
    this.#timeoutMs = timeoutMs;
    this.#ca = ca;
  }

  /** Starts a run of `job`. A request that is repeated after a lost answer has the same id, and starts nothing twice. */
  async submit(job: string, { id = randomUUID(), params, grid, overlap, traceparent }: Submission = {}): Promise<Receipt> {
    const isKey = fitsAHeader(id);
    const said = { params, grid, overlap, id: isKey ? undefined : id };
    const body = Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
    const trace = traceparent !== undefined && fitsAHeader(traceparent) ? { traceparent } : {};
    const headers = { ...(isKey ? { "Idempotency-Key": id } : {}), ...trace };
    const raw = await this.call("POST", `/jobs/${encodeURIComponent(job)}/runs`, { body, headers });
    return { run: raw["run"], job: raw["job"], id: raw["id"] ?? id, answer: raw["answer"] ?? undefined, raw };
  }

  /** How a run stands. */
  async show(run: string): Promise<Run> {
    const raw = await this.call("GET", `/runs/${encodeURIComponent(run)}`);
    const { job, state, rows, counters, shards } = raw;
    const ends = { ended: state !== "running", succeeded: state === "succeeded" };
    return { id: raw["run"], job, state, rows, counters, shards, error: raw["error"] ?? undefined, ...ends, raw };
  }

  /** Waits until the run has ended, and says how. A run that waits until others of its job are over is waited for too. */
  async wait(run: string | Receipt, { timeoutMs = Infinity, check = true, progress, signal }: Waiting = {}): Promise<Run> {
    const name = typeof run === "string" ? run : run.run;
    // What is stored and was answered by nobody will be opened once a planner leads.
    const patient = typeof run !== "string" && run.answer === undefined;
    const end = performance.now() + timeoutMs;
    for (let pause = LOOK_FIRST_MS; ; pause = Math.min(pause * 1.5, LOOK_LAST_MS)) {
      signal?.throwIfAborted();
      const found = await this.#look(name, patient);
      if (found !== undefined) {
        progress?.(found);
        if (found.ended) {
          if (check && !found.succeeded) {
            throw new RunFailed(found);
          }
          return found;
        }
      }
      const left = Math.min(pause, end - performance.now());
      if (left <= 0) {
        throw new TimedOut(`run ${name} ${found === undefined ? "is not opened yet" : `is ${found.state}: ${stringify(found.shards)}`}`);
      }
      await sleep(left, undefined, signal === undefined ? {} : { signal });
    }
  }

  /** `undefined`: it waits to be opened. */
  async #look(run: string, patient: boolean): Promise<Run | undefined> {
    try {
      return await this.show(run);
    } catch (error) {
      if (!(error instanceof ApiError) || error.type !== "not-found") {
        throw error;
      }
      if (patient || (await this.#waits(run))) {
        return undefined;
      }
      // It may have been opened between the two questions.
      return this.show(run);
    }
  }

  async #waits(run: string): Promise<boolean> {
    const job = encodeURIComponent(run.split("_")[0] ?? "");
    const { items } = await this.call("GET", `/runs/waiting?job=${job}`);
    return Array.isArray(items) && items.some((item: Json) => item["run"] === run);
  }

  /**
   * Any request of the API (docs/API.md): `client.call("POST", "/runs/RUN/cancel")`. Passing troubles are tried again until
   * the client's time is over; what changes something should say `Idempotency-Key`, or be harmless twice.
   */
  async call(method: string, path: string, asking: Asking = {}): Promise<Json> {
    const end = performance.now() + this.#timeoutMs;
    for (let pause = AGAIN_FIRST_MS; ; pause = Math.min(pause * 2, AGAIN_LAST_MS)) {
      try {
        return await this.#once(method, path, asking, Math.max(end - performance.now(), 50));
      } catch (error) {
        const passes = (error instanceof Unreachable && error.passes) || (error instanceof ApiError && PASSING.includes(error.type));
        if (!passes || performance.now() + pause >= end) {
          throw error;
        }
      }
      // By chance, so that many that were cut off at once do not come back at once.
      await sleep(pause * (0.5 + Math.random() / 2));
    }
  }

  async #once(method: string, path: string, { body, headers }: Asking, timeoutMs: number): Promise<Json> {
    const said: Record<string, string> = { Accept: "application/json", ...headers };
    if (this.#token !== undefined) {
      said["Authorization"] = `Bearer ${this.#token}`;
    }
    if (body !== undefined) {
      said["Content-Type"] = "application/json";
    }
    const text = body === undefined ? undefined : stringify(body);
    let reply: Reply;
    try {
      reply = await ask({ base: this.#base, path: this.#path + path, method, headers: said, body: text, timeoutMs, ca: this.#ca });
    } catch (error) {
      throw new Unreachable(`no answer of ${this.#name}: ${textOf(error)}`, { cause: error });
    }
    return this.#heard(reply);
  }

  get #name(): string {
    return this.#base.origin + this.#path;
  }

  #heard({ status, type, text }: Reply): Json {
    if (status >= 200 && status < 300) {
      return text === "" ? {} : this.#json(status, text);
    }
    if (type === "application/problem+json") {
      throw new ApiError(this.#json(status, text), status);
    }
    // A proxy's own answers: passing ones are tried again, the others are told as they are.
    if (PROXY.includes(status)) {
      throw new Unreachable(`${this.#name} answers ${status}`);
    }
    throw new ApiError({ detail: `${this.#name} answers ${status} and no problem: is it a planner?` }, status);
  }

  #json(status: number, text: string): Json {
    let said: unknown;
    try {
      said = parse(text);
    } catch {
      throw new Unreachable(`${this.#name} answers ${status} with something else than JSON: is it a planner?`, undefined, false);
    }
    return typeof said === "object" && said !== null && !Array.isArray(said) ? said : { items: said };
  }
}

/** Whether a header says exactly this: visible signs of ASCII, with blanks between them alone. */
function fitsAHeader(text: string): boolean {
  return /^[!-~]([ -~]*[!-~])?$/.test(text);
}

function addressOf(said: string): URL {
  let address: URL;
  try {
    address = new URL(said);
  } catch {
    throw new TypeError(`${said} is no address of an API: write it as ${API_DEFAULT}`);
  }
  if (address.protocol !== "http:" && address.protocol !== "https:") {
    throw new TypeError(`${said} is no address of an API: write it as ${API_DEFAULT}`);
  }
  if (address.username !== "" || address.password !== "" || address.search !== "" || address.hash !== "") {
    throw new TypeError("the address of an API holds neither a password nor a query: say token beside it");
  }
  return address;
}
