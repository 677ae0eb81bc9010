// How the installation stands: what needs somebody, what runs, how fast, and what comes.

import { segment } from '../api.js';
import { useLive } from '../live.js';
import { Ago, Empty, Failing, Head, JobLink, Loaded, Panel, Table, Time, Trouble } from '../parts.js';
import { Link } from '../router.js';
import { State } from '../states.js';
import { html, useRef } from '../html.js';
import { count, plural, rough, span } from '../words.js';
import { unmanned } from './crew.js';
import { FreezeAll } from './jobs.js';
import { RunsTable } from './runs.js';
import { WaitingRuns } from './runwaits.js';
import { stuck } from './runwhy.js';

const WINDOW_MS = 10_000;
// So many open runs are shown.
const SHOWN = 8;

// Shards a second of all runs that are open, by what has been seen of them in the last seconds.
function useRate(runs) {
  const samples = useRef([]);
  if (!runs) return null;
  const now = Date.now();
  const done = new Map(runs.map((run) => [run.run, run.shards.done]));
  const all = samples.current;
  if (all.length === 0 || now - all[all.length - 1].at > 500) all.push({ at: now, done });
  while (all.length > 2 && now - all[0].at > WINDOW_MS) all.shift();
  const first = all[0];
  const grown = [...done].reduce((sum, [run, number]) => sum + Math.max(0, number - (first.done.get(run) ?? number)), 0);
  return now - first.at > 1_500 ? grown / ((now - first.at) / 1_000) : null;
}

const Tile = ({ to, name, value, more, state }) => html`<${Link} to=${to} class=${`tile ${state ? `is-${state}` : ''}`}>
  <span class="tile-name">${name}</span><span class="tile-value">${value}</span><span class="tile-more">${more}</span><//>`;

// What needs somebody, each as [state, words, where].
function troubles({ planners, queues, workers, dead, unreadable, late }) {
  const found = [];
  const add = (state, words, to) => found.push({ state, words, to });
  if (planners && !planners.items.some((planner) => planner.leads)) add('trouble', 'No planner leads just now: nothing new is issued.', '/planners');
  planners?.items.filter((planner) => planner.trouble).forEach((planner) => add('trouble', `Planner ${planner.planner}: ${planner.trouble}`, '/planners'));
  planners?.items.filter((planner) => planner.files).forEach((planner) => add('trouble', `The API of ${planner.planner}: ${planner.files}`, '/planners'));
  for (const { job, run, due } of late?.items || []) {
    if (run) add('trouble', html`A run of ${job} is not over, and had to be by <${Time} at=${due} />.`, `/runs/${segment(run)}`);
    else add('trouble', html`${job} is late: nobody has answered for its fire of <${Time} at=${due} />.`, `/jobs/${segment(job)}`);
  }
  if (late?.more) add('trouble', `${plural(late.more, 'fire or run is', 'fires or runs are')} late besides.`, '/doctor');
  (queues?.items || []).flatMap(unmanned).forEach((words) => add('trouble', words, '/queues'));
  workers?.items.filter((worker) => worker.trouble).forEach((worker) => add('trouble', `Worker ${worker.worker}: ${worker.trouble}`, '/workers'));
  const silent = workers?.items.filter((worker) => !worker.answers).length;
  if (silent) add('silent', `${plural(silent, 'worker')} fell silent without a goodbye.`, '/workers');
  if (dead?.items.length) add('dead', `${plural(dead.items.length, 'run')}${dead.next ? ' or more' : ''} with dead shards.`, '/dead');
  if (unreadable?.items.length) add('trouble', `${plural(unreadable.items.length + unreadable.older, 'message')} could not be understood or carried out.`, '/unreadable');
  return found;
}

// Open runs that go on only when somebody does something, those with the same reason together.
const stays = (waits) => stuck(waits?.items ?? []).map(({ words, runs, run, job }) => ({
  state: 'waiting',
  words: runs === 1 ? `A run of ${job} waits: ${words}` : `${plural(runs, 'run')} wait, one of ${job} the longest: ${words}`,
  to: `/runs/${segment(run)}`,
}));

// Somebody has paused these on purpose: whatever else there is comes first.
const held = (pauses) => (pauses?.items ?? []).filter((pause) => pause.job)
  .map(({ job, note }) => ({ state: 'paused', words: `${job} is paused: ${note}`, to: `/jobs/${segment(job)}` }));

// What that follows from: nothing is the matter where all of it says so.
const ASKED = ['planners', 'queues', 'workers', 'pauses', 'dead', 'unreadable', 'late', 'waits'];

function none(all) {
  const asked = ASKED.map((name) => all[name]);
  if (asked.some((live) => live.problem)) return html`<${State} state="silent">not all of it can be told just now<//>`;
  return asked.some((live) => !live.data) ? html`<span class="faint">Looking…</span>` : html`<${State} state="fine">nothing<//>`;
}

function Needs({ all, told }) {
  const found = [...troubles(told), ...stays(told.waits), ...held(told.pauses)];
  return html`<${Panel} title="What needs somebody" aside=${html`<${Link} to="/doctor">examine everything<//>`}>
    ${found.length === 0 ? html`<p>${none(all)}</p>` : html`<ul class="needs">
      ${found.slice(0, 12).map(({ state, words, to }) => html`<li><${State} state=${state}> <//><${Link} to=${to}>${words}<//></li>`)}
      ${found.length > 12 && html`<li class="faint">and ${count(found.length - 12)} more</li>`}</ul>`}
  <//>`;
}

function Tiles({ queues, workers, running, dead }) {
  const rate = useRate(running?.items);
  const items = queues?.items || [];
  const pending = items.reduce((sum, queue) => sum + queue.pending, 0);
  const flying = items.reduce((sum, queue) => sum + queue.in_flight, 0);
  const oldest = Math.max(0, ...items.map((queue) => queue.oldest_s ?? 0));
  const here = (workers?.items || []).filter((worker) => worker.answers);
  const [busy, capacity] = here.reduce(([sum, all], worker) => [sum + worker.in_flight, all + worker.capacity], [0, 0]);
  const open = running && `${count(running.items.length)}${running.next ? '+' : ''}`;
  const died = dead && `${count(dead.items.length)}${dead.next ? '+' : ''}`;
  return html`<div class="tiles">
    <${Tile} to="/runs?state=running" name="Runs open" value=${open ?? '–'} more=${rate === null ? 'measuring…' : `${rough(rate)} shards/s`} />
    <${Tile} to="/queues" name="Tiles waiting" value=${queues ? count(pending) : '–'} more=${queues && `${count(flying)} in flight`} />
    <${Tile} to="/queues" name="Oldest tile" value=${queues ? (oldest ? span(oldest) : 'none') : '–'} more="not acknowledged" />
    <${Tile} to="/workers" name="Workers" value=${workers ? count(here.length) : '–'} more=${workers && `${count(busy)} of ${plural(capacity, 'tile')} busy`} state=${workers && here.length === 0 ? 'trouble' : ''} />
    <${Tile} to="/dead" name="Runs with dead" value=${died ?? '–'} more=${dead && (dead.items.length ? 'wait for somebody' : 'no dead letters')} state=${dead?.items.length ? 'dead' : ''} />
  </div>`;
}

function Coming() {
  const fires = useLive('/fires/next?limit=12', { every: 10_000 });
  if (!fires.data?.items.length) return html`<${Failing} live=${fires} title="Fires next" />`;
  return html`<${Panel} title="Fires next" aside=${html`<${Link} to="/jobs?scheduled=true">all jobs with a schedule<//>`}>
    <${Table} label="Next fires" items=${fires.data.items} id=${(fire) => fire.job} columns=${[
      ['Job', (fire) => html`<${JobLink} job=${fire.job} />`],
      ['Next', (fire) => html`${fire.paused && html`<${State} state="paused">held back<//> `}<${Ago} at=${fire.opens_at} /><span class="faint small block">${fire.words}</span>`, 'grow'],
    ]} /><//>`;
}

// Those that are over; where none is, all.
function ended(runs) {
  const over = runs.filter((run) => run.state !== 'running');
  return (over.length ? over : runs).slice(0, 10);
}

function First() {
  return html`<${Empty} title="Nothing has run yet.">Define a job (<${Link} to="/jobs">jobs<//>, or <code>gridloom job apply FILE</code>), then start it.<//>`;
}

export function Overview() {
  const all = {
    planners: useLive('/planners'),
    queues: useLive('/queues'),
    workers: useLive('/workers'),
    pauses: useLive('/pauses'),
    running: useLive('/runs?state=running&waits=true&limit=100'),
    waits: useLive('/runs/waits', { every: 5_000 }),
    dead: useLive('/runs?dead=true&limit=100', { every: 5_000 }),
    unreadable: useLive('/unreadable?limit=1', { every: 10_000 }),
    late: useLive('/alarms', { every: 5_000 }),
  };
  const told = Object.fromEntries(Object.entries(all).map(([name, live]) => [name, live.data]));
  // What cannot be had just now is as it was, and is not shown as if it were fresh.
  const untold = Object.values(all).map((live) => live.problem).find((problem) => problem && problem.kind !== 'disconnected');
  const recent = useLive('/runs?limit=40');
  const shown = told.running?.items.slice(0, SHOWN) ?? [];
  return html`<${Head} title="Overview"><${FreezeAll} pauses=${told.pauses} /><//>
    ${untold && html`<${Trouble} problem=${untold} />`}
    <${Tiles} ...${told} />
    <${Needs} all=${all} told=${told} />
    ${shown.length > 0 && html`<${Panel} title="Open runs" aside=${told.running.items.length > SHOWN && html`<${Link} to="/runs?state=running">all of them<//>`}><${RunsTable} runs=${shown} label="Open runs" /><//>`}
    <${WaitingRuns} most=${SHOWN} />
    <${Coming} />
    <${Panel} title="Last runs" aside=${html`<${Link} to="/runs">all runs<//>`}>
      <${Loaded} live=${recent}>${({ items }) => (items.length === 0 ? html`<${First} />` : html`<${RunsTable} runs=${ended(items)} label="Last runs" />`)}<//><//>
    <p class="faint small">Times are those of your zone; UTC stands behind each.</p>`;
}
