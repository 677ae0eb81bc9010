/** What a worker can do: functions by name. */

import type { Key, Probe, Shard } from "./shard.js";

/** A handler. What it returns is not looked at, but awaited. */
export type Handler<P = any> = (shard: Shard<P>) => unknown;

/** First and last key of a page, both inside it. */
export type Page = readonly [Key, Key];

/** Says the pages of a slice: a generator, `async` or not, or a function that returns a list. */
export type Pages<P = any> = (probe: Probe<P>) => Found | Promise<Found>;
type Found = Iterable<Page> | AsyncIterable<Page>;

const NAME = /^[a-z0-9-]{1,48}$/;

/** Handlers and their probes by name. */
export class Handlers {
  readonly runs = new Map<string, Handler>();
  readonly pages = new Map<string, Pages>();

  /** Registers a handler. */
  addRun(name: string, run: Handler): void {
    if (typeof name !== "string" || !NAME.test(name)) {
      throw new RangeError(`handler ${JSON.stringify(name)}: a name has 1 to 48 of a-z, 0-9 and -, as a job file says it`);
    }
    if (this.runs.has(name)) {
      throw new Error(`handler ${JSON.stringify(name)} is there already`);
    }
    if (typeof run !== "function") {
      throw new TypeError(`handler ${JSON.stringify(name)} is no function`);
    }
    if (/^(Async)?GeneratorFunction$/.test(run.constructor.name)) {
      throw new TypeError(`handler ${JSON.stringify(name)} is a generator, so calling it does nothing: take the * out`);
    }
    this.runs.set(name, run);
  }

  /** Registers the probe of a handler. */
  addPages(name: string, pages: Pages): void {
    if (this.pages.has(name)) {
      throw new Error(`handler ${JSON.stringify(name)} has its pages already`);
    }
    if (typeof pages !== "function") {
      throw new TypeError(`pages of handler ${JSON.stringify(name)} are no function`);
    }
    this.pages.set(name, pages);
  }

  /** Refuses what could not work. */
  check(): void {
    if (this.runs.size === 0) {
      throw new Error('a worker without handlers: write worker.handler("NAME", async (shard) => { ... })');
    }
    const lost = [...this.pages.keys()].filter((name) => !this.runs.has(name));
    if (lost.length > 0) {
      throw new Error(`pages of ${lost.join(", ")}, which are no handlers of this worker`);
    }
  }
}
