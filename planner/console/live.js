// What is shown stays as it is now. A stream of events says what changes; whatever it does not tell is asked for every
// two seconds, as is everything where there is no stream, and nothing while the page is hidden. An answer that is the
// same as before changes nothing, and nothing is painted.

import { Problem, text } from './api.js';
import { applied } from './gridcells.js';
import { Stream, topicOf } from './stream.js';
import { useEffect, useReducer } from './vendor/preact.js';

const EVERY_MS = 2_000;
// While a stream tells of it: in case it missed something.
const TOLD_MS = 20_000;
// Where a stream says only that something has changed.
const SOON_MS = 1_000;
// Answers that nobody looks at any more: going back shows them at once.
const KEPT = 40;

const all = new Map();
let streaming = false;

class Watched {
  constructor(path) {
    this.path = path;
    this.topic = topicOf(path);
    this.users = new Map();
    this.data = undefined;
    this.problem = null;
    this.text = null;
    this.timer = 0;
    this.busy = false;
    this.wanted = false;
    this.asked = 0;
  }

  add(listener, every) {
    this.users.set(listener, every);
    all.delete(this.path);
    all.set(this.path, this);
    watch();
    this.ask();
  }

  drop(listener) {
    this.users.delete(listener);
    if (this.users.size === 0) clearTimeout(this.timer);
    forget();
    watch();
  }

  async ask() {
    if (this.busy) {
      this.wanted = true;
      return;
    }
    clearTimeout(this.timer);
    this.busy = true;
    this.asked = Date.now();
    const changed = await this.fetch();
    this.busy = false;
    if (changed) this.tell();
    this.again();
  }

  tell() {
    this.users.forEach((_, listener) => listener());
  }

  async fetch() {
    try {
      const answer = await text(this.path);
      const same = answer === this.text && !this.problem;
      if (answer !== this.text) this.data = JSON.parse(answer);
      this.text = answer;
      this.problem = null;
      return !same;
    } catch (problem) {
      const before = this.problem?.message;
      this.problem = problem instanceof Problem ? problem : new Problem({ detail: String(problem) });
      return before !== this.problem.message;
    }
  }

  // What a stream says it is now.
  put(data) {
    this.data = data;
    this.text = null;
    this.problem = null;
    this.tell();
  }

  // How long until it is asked for again. A run's stream tells nothing of why it waits.
  get every() {
    const own = Math.min(...this.users.values());
    const isTold = streaming && this.topic && !(this.topic.startsWith('run:') && !this.path.endsWith('/grid'));
    return isTold ? Math.max(own, TOLD_MS) : own;
  }

  again() {
    if (this.users.size === 0 || document.hidden) return;
    const every = this.wanted ? 250 : this.every;
    this.wanted = false;
    clearTimeout(this.timer);
    if (Number.isFinite(every)) this.timer = setTimeout(() => this.ask(), every);
  }

  // Something of it has changed: once a second at most, and what is asked for seldom is asked for seldom then, too.
  soon() {
    if (this.users.size === 0 || document.hidden) return;
    const pause = Math.max(SOON_MS, Math.min(...this.users.values()) / 4);
    if (!Number.isFinite(pause)) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), Math.max(0, this.asked + pause - Date.now()));
  }
}

function forget() {
  const idle = [...all.values()].filter((watched) => watched.users.size === 0);
  idle.slice(0, Math.max(0, idle.length - KEPT)).forEach((watched) => all.delete(watched.path));
}

const looked = () => [...all.values()].filter((watched) => watched.users.size > 0);

function apply(line) {
  for (const found of looked().filter((watched) => watched.topic === line.topic)) {
    if (line.topic.startsWith('run:')) ofRun(found, line);
    else if (line.items && !['runs', 'jobs'].includes(line.topic)) found.put({ ...found.data, ...line });
    else if (!line.problem) found.soon();
  }
}

function ofRun(found, line) {
  const isGrid = found.path.endsWith('/grid');
  if (!found.data || line.problem) return found.soon();
  if (!isGrid) {
    if (line.run) found.put({ ...found.data, ...line.run });
    return undefined;
  }
  if (line.at <= found.data.at) return undefined;
  const grid = line.grid ?? (line.cells && applied(found.data, line.cells));
  return grid ? found.put({ ...grid, at: line.at }) : found.soon();
}

const stream = new Stream(
  (lines) => lines.forEach(apply),
  (open) => {
    if (open === streaming) return;
    streaming = open;
    looked().forEach((watched) => watched.again());
  },
);

const watch = () => stream.watch(looked().map((watched) => watched.path));

function watched(path) {
  if (!all.has(path)) all.set(path, new Watched(path));
  return all.get(path);
}

// What stands under `path`: `data` (undefined until the first answer), and `problem` if it cannot be had just now, in
// which case `data` is what was there before. No path: nothing. `every`: in milliseconds; Infinity: once.
export function useLive(path, { every = EVERY_MS } = {}) {
  const [, changed] = useReducer((number) => number + 1, 0);
  useEffect(() => {
    if (!path) return undefined;
    const found = watched(path);
    const listener = () => changed();
    found.add(listener, every);
    return () => found.drop(listener);
  }, [path, every]);
  const found = path ? watched(path) : null;
  return { data: found?.data, problem: found?.problem ?? null, again: () => found?.ask() };
}

// Asks anew for whatever is looked at: after an order, or when the page is seen again.
export function again() {
  looked().forEach((found) => found.ask());
}

export function listen() {
  document.addEventListener('visibilitychange', () => {
    watch();
    if (!document.hidden) again();
  });
  addEventListener('online', () => again());
}
