// What is shown stays as it is now. A stream of events says what changes; whatever it does not tell is asked for every
// two seconds, as is everything where there is no stream, and nothing while the page is hidden. An answer that is the
// same as before changes nothing, and nothing is painted.

import { Problem, problemOf, text } from './api.js';
import { applied } from './gridcells.js';
import { read } from './json.js';
import { followed, Stream, topicOf } from './stream.js';
import { useEffect, useReducer } from './html.js';

const EVERY_MS = 2_000;
// While a stream tells of it: in case it missed something. What is wanted often is never asked for less than a fifth as
// often.
const TOLD_MS = 20_000;
const TOLD_TIMES = 5;
// Where a stream says only that something has changed.
const SOON_MS = 1_000;
// Answers that nobody looks at any more: going back shows them at once.
const KEPT = 40;

// What people have written stands in these answers: a number of it is shown as it was written, and put back so.
const DEFINED = /^\/(jobs\/[^/]+|calendars)$/;

const all = new Map();
// Topics that the stream that is open has told of.
const told = new Set();

class Watched {
  constructor(path) {
    this.path = path;
    this.topic = topicOf(path);
    this.follows = followed(path);
    this.isGrid = path.endsWith('/grid');
    // Whether cells of a grid may lack, so that what changes must not be put on top; and the newest change left out.
    this.broken = this.isGrid;
    this.missed = 0;
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
    if (this.users.size === 0) {
      clearTimeout(this.timer);
      this.broken = this.isGrid;
    }
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
      const before = this.problem;
      const isNew = answer !== this.text;
      const isTaken = this.take(isNew ? read(answer, { every: DEFINED.test(this.path) }) : this.data);
      if (isTaken) this.text = answer;
      this.problem = null;
      return (isNew && isTaken) || Boolean(before);
    } catch (problem) {
      const before = this.problem?.message;
      this.problem = problemOf(problem);
      return before !== this.problem.message;
    }
  }

  // An answer; not a grid that is older than what a stream has made of it meanwhile.
  take(data) {
    if (this.isGrid) {
      if (!this.broken && data.at < this.data.at) return false;
      this.broken = data.at < this.missed;
    }
    this.data = data;
    return true;
  }

  // A stream says that it cannot be had just now: what is there is as it was.
  fail(problem) {
    this.problem = problem;
    this.tell();
    this.soon();
  }

  // What a stream says it is now.
  put(data) {
    this.data = data;
    this.text = null;
    this.problem = null;
    this.tell();
  }

  // How long until it is asked for again. No stream tells why a run waits.
  get every() {
    const own = Math.min(...this.users.values());
    if (!Number.isFinite(own) && this.problem) return EVERY_MS;
    return told.has(this.topic) && !this.problem && !this.broken ? Math.max(own, Math.min(TOLD_MS, TOLD_TIMES * own)) : own;
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
  if (line.problem) told.delete(line.topic);
  else told.add(line.topic);
  if (line.unchanged) return;
  for (const found of looked().filter((watched) => watched.follows === line.topic)) {
    if (line.problem) failed(found, line);
    else if (found.isGrid) ofGrid(found, line);
    else if (line.topic.startsWith('run:')) ofRun(found, line);
    else if (line.items && !['runs', 'jobs'].includes(line.topic)) found.put({ ...found.data, ...line });
    else found.soon();
  }
}

function failed(found, line) {
  found.broken = found.isGrid;
  found.fail(new Problem(line.problem, line.problem.status));
}

function ofRun(found, line) {
  if (found.data && line.run) found.put({ ...found.data, ...line.run });
  else found.soon();
}

function ofGrid(found, line) {
  if (found.data && line.at <= found.data.at) return undefined;
  const grid = line.grid ?? (!found.broken && line.cells && applied(found.data, line.cells));
  found.broken = !grid;
  if (grid) return found.put({ ...grid, at: line.at });
  found.missed = line.at ?? found.missed;
  return found.soon();
}

const stream = new Stream(
  (lines) => lines.forEach(apply),
  () => {
    if (told.size === 0) return;
    told.clear();
    looked().forEach((watched) => watched.again());
  },
);

const watch = () => stream.watch(looked().map((watched) => watched.path));

function watched(path) {
  if (!all.has(path)) all.set(path, new Watched(path));
  return all.get(path);
}

// What stands under `path`: `data` (undefined until the first answer), and `problem` if it cannot be had just now, in
// which case `data` is what was there before. No path: nothing. `every`: in milliseconds; Infinity: until it is told once.
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
  // A page that is left may be kept for the way back, and its stream with it: a browser has six connections to a host.
  addEventListener('pagehide', () => stream.close());
  addEventListener('pageshow', ({ persisted }) => {
    if (!persisted) return;
    watch();
    again();
  });
  addEventListener('online', () => again());
}
