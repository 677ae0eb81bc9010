// One stream of events a page: what changes of what is looked at. Which topics those are follows from the paths that
// are watched. Where there is no stream, because nobody looks or the planner has none, nothing comes, and polling goes on.

import { BASE, query } from './api.js';
import { read } from './json.js';

const SETTLE_MS = 200;
const AGAIN_MS = 5_000;
// Where it is refused again and again.
const AGAIN_MAX_MS = 60_000;
const TOPICS_MAX = 16;
const RUNS_MAX = 4;

const FIXED = { '/queues': 'queues', '/workers': 'workers', '/planners': 'planners', '/pauses': 'pauses' };

// What stands where the id of a run does, and is none.
const LISTS = ['waiting', 'waits'];

const ofRun = (id) => `run:${decodeURIComponent(id)}`;

// Which topic is asked for because of a path; none: nobody tells of it. A run is told of cell by cell, which is too much
// where nobody looks at its cells.
export function topicOf(path) {
  const [plain] = path.split('?');
  if (FIXED[plain]) return FIXED[plain];
  if (plain === '/runs' || plain === '/jobs') return plain.slice(1);
  if (plain === '/dead') return 'dead';
  const run = path.match(/^\/runs\/([^/?]+)\/grid$/);
  return run ? ofRun(run[1]) : null;
}

// Which topic a path follows where it is told of.
export function followed(path) {
  const run = path.match(/^\/runs\/([^/?]+)$/);
  return run && !LISTS.includes(run[1]) ? ofRun(run[1]) : topicOf(path);
}

export class Stream {
  // `lines(all)` takes what an event says; `ended()` hears that no more comes of what was told.
  constructor(lines, ended) {
    this.lines = lines;
    this.ended = ended;
    this.wanted = [];
    this.topics = '';
    this.source = null;
    this.timer = 0;
    this.pause = AGAIN_MS;
  }

  // These paths are watched now.
  watch(paths) {
    const all = [...new Set(paths.map(topicOf).filter(Boolean))].sort();
    const runs = all.filter((topic) => topic.startsWith('run:')).slice(0, RUNS_MAX);
    this.wanted = [...all.filter((topic) => !topic.startsWith('run:')), ...runs].slice(0, TOPICS_MAX);
    this.later(SETTLE_MS);
  }

  later(after) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), after);
  }

  open() {
    const topics = document.hidden ? '' : this.wanted.join();
    if (topics === this.topics && (!topics || this.source)) return;
    this.close();
    this.topics = topics;
    if (!topics) return;
    const source = new EventSource(`${BASE}/api/v1/events${query({ topics })}`);
    this.source = source;
    for (const kind of ['reset', 'change']) {
      source.addEventListener(kind, (event) => this.heard(event));
    }
    source.onerror = () => this.failed();
  }

  heard(event) {
    this.pause = AGAIN_MS;
    this.lines(event.data.split('\n').filter(Boolean).map((line) => read(line)));
  }

  // The browser comes back by itself unless it was refused.
  failed() {
    this.ended();
    if (this.source?.readyState !== EventSource.CLOSED) return;
    this.close();
    this.later(this.pause);
    this.pause = Math.min(2 * this.pause, AGAIN_MAX_MS);
  }

  close() {
    this.source?.close();
    this.source = null;
    this.topics = '';
    this.ended();
  }
}
