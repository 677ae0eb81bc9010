// Runs that are asked for and wait to be opened: which they are, behind what, and the end of one.

import { Action } from '../act.js';
import { query, segment } from '../api.js';
import { useLive } from '../live.js';
import { Ago, Command, Facts, Failing, Head, JobLink, Loading, Panel, RunLink, Table, Trouble } from '../parts.js';
import { Link } from '../router.js';
import { State } from '../states.js';
import { html, useRef } from '../html.js';
import { command, count, plural, short } from '../words.js';

// What each policy makes of a run that others are before.
const POLICIES = {
  queue_one: 'one waits at a time, and a newer one takes its place',
  queue_all: 'it waits behind those that wait already',
  cancel_running: 'the run before it is cancelled, and it opens after that',
};

const OUTCOMES = {
  done: 'Done',
  nothing: 'There was nothing to do',
  dropped: 'It is dropped',
  pending: 'It is ordered, and done as soon as a planner has read it',
};

// What became of an order of a run.
export const became = ({ outcome, shards, reason }) =>
  `${OUTCOMES[outcome] || outcome}${shards ? `: ${plural(shards, 'dead shard')}` : ''}${reason ? `: ${reason}` : ''}.`;

// A list of them, where there are any; of `job` alone, and so many at most.
export function WaitingRuns({ job, most = Infinity }) {
  const live = useLive(`/runs/waiting${query({ job })}`, { every: 5_000 });
  const items = live.data?.items ?? [];
  if (items.length === 0) return html`<${Failing} live=${live} title="Wait to be opened" />`;
  const more = items.length > most && html`<${Link} to="/runs">all ${count(items.length)}<//>`;
  return html`<${Panel} title="Wait to be opened" aside=${more}>
    <${Table} label="Runs that wait to be opened" items=${items.slice(0, most)} id=${(run) => run.run} columns=${[
      ['State', () => html`<${State} state="waiting" />`],
      ['Run', (run) => html`<${RunLink} run=${run.run} job=${false} />`],
      ...(job ? [] : [['Job', (run) => html`<${JobLink} job=${run.job} />`]]),
      ['Waits for the end of', (run) => (run.waits_for ? html`<${RunLink} run=${run.waits_for} />` : 'not decided yet'), 'grow'],
      ['Asked for', (run) => html`<${Ago} at=${run.asked_at} />`],
    ]} /><//>`;
}

// The page of one, by what the planner said of a run that is not open.
export function WaitingRun({ id, problem }) {
  const live = useLive('/runs/waiting');
  const found = live.data?.items.find((run) => run.run === id);
  // What becomes of an order is said here, also where the run is gone by then.
  const last = useRef(null);
  last.current = found ?? last.current;
  const run = last.current;
  if (!run && !live.data && !live.problem) return html`<${Loading} />`;
  if (!run) return html`<${Head} title=${short(id)} /><${Trouble} problem=${problem} /><${Failing} live=${live} title="Runs that wait to be opened" />`;
  const over = !found ? 'it waits no more' : found.cancelled_by ? 'it is cancelled already' : null;
  const decided = html`<${Link} to=${`/jobs/${segment(run.job)}?tab=fires`}>What was decided of its job<//>`;
  return html`<${Head} title=${html`<${State} state=${found ? 'waiting' : 'cancelled'}>${found ? 'waiting' : 'waits no more'}<//> <span class="id">${short(id)}</span>`}
      sub=${html`a run of <${JobLink} job=${run.job} /> <span class="faint id wrap">${id}</span>`}>
      <${Action} label="Cancel" title=${`Cancel run ${short(id)}?`} danger disabled=${over}
        says="It is dropped, and never opened. No shard of it has begun."
        command=${() => command(['cancel', id])} done=${became}
        order=${() => ({ method: 'POST', path: `/runs/${segment(id)}/cancel` })} /><//>
    ${found ? html`<${Why} run=${run} decided=${decided} />` : html`<div class="note" role="status"><p>It is being opened, or was dropped. ${decided}.</p></div>`}
    <${Facts} facts=${[['Asked for', html`<${Ago} at=${run.asked_at} />`]]} />
    <${Command} text=${command(['job', 'why', run.job, id])} />`;
}

function Why({ run, decided }) {
  return html`<section class="note is-waiting" aria-label="What it waits for"><strong>Why it waits</strong>
    ${run.cancelled_by ? html`<p>${run.cancelled_by} has cancelled it: it is dropped as soon as a planner has read that.</p>`
      : run.waits_for ? html`<p>It is opened when <${RunLink} run=${run.waits_for} /> is over.</p>`
        : html`<p>It was asked for, and nothing is decided of it yet: the planner that leads does that.</p>`}
    <p class="small">Its overlap policy is ${run.overlap}: ${POLICIES[run.overlap] ?? 'it waits'}. ${decided}.</p></section>`;
}
