// One run: its grid, how far it is and how fast, what it waits for, what has failed, and the proof of its coverage.

import { Action } from '../act.js';
import { segment } from '../api.js';
import { Grid, Legend } from '../grid.js';
import { useLive } from '../live.js';
import { Ago, Command, Facts, Head, JobLink, Loaded, Panel, Tabs, tabOf, Time, useNow } from '../parts.js';
import { refine, useRoute } from '../router.js';
import { SHARD_STATES, State } from '../states.js';
import { html, useMemo, useRef } from '../html.js';
import { command, count, deadOf, lasted, plural, rough, short, span } from '../words.js';
import { Audit } from './audit.js';
import { became, WaitingRun } from './runwaits.js';
import { Failures, Held, Waits } from './runwhy.js';
import { Work } from './runwork.js';
import { Progress } from './runs.js';
import { Shards } from './shards.js';

const WINDOW_MS = 20_000;

// Shards a second: of the last seconds while one looks, and of the whole run before that or at its end.
function useRate(run) {
  const samples = useRef([]);
  const done = run.shards.done;
  if (run.closed_at) return done / Math.max(0.001, lasted(run.opened_at, run.closed_at));
  const now = Date.now();
  const all = samples.current;
  if (all.length === 0 || all[all.length - 1].done !== done || now - all[all.length - 1].at > 1_000) all.push({ at: now, done });
  while (all.length > 2 && now - all[0].at > WINDOW_MS) all.shift();
  const seconds = (now - all[0].at) / 1_000;
  if (seconds > 3) return (done - all[0].done) / seconds;
  return done / Math.max(0.001, lasted(run.opened_at, null));
}

// Shards without an outcome, of those that are known: while probes ask for more pages nobody knows how many there will be.
const leftOf = (run) => Math.max(0, run.grid.shards - run.shards.done - run.shards.dead);
const soFar = (known) => (known ? '' : ' that are known so far');

function Pace({ run, known }) {
  useNow();
  const rate = useRate(run);
  const left = leftOf(run);
  const open = run.state === 'running';
  const eta = open && known !== false && left > 0 && rate > 0.01 && left / rate > 1 ? span(left / rate) : null;
  return html`<${Facts} facts=${[
    ['Rate', `${rough(rate)} shards/s`],
    open && ['Left', `${count(left)}${soFar(known)}${eta ? `, about ${eta}` : ''}`],
    ['Rows', count(run.rows)],
    ['Opened', html`<${Time} at=${run.opened_at} />`],
    run.scheduled_at && Math.abs(new Date(run.scheduled_at) - new Date(run.opened_at)) > 1_000 && ['Meant for', html`<${Time} at=${run.scheduled_at} />`],
    run.closed_at ? ['Ended', html`<${Time} at=${run.closed_at} />`] : ['For', span(Math.round(lasted(run.opened_at, null)))],
    run.closed_at && ['Took', span(lasted(run.opened_at, run.closed_at))],
    run.deadline && ['Has to be over', html`<${Ago} at=${run.deadline} />${run.overdue && html` <span class="bad">! overdue</span>`}`],
    ['Queue', run.queue],
    run.shards.retried > 0 && ['Retried', count(run.shards.retried)],
    run.shards.taken_over > 0 && ['Taken over', count(run.shards.taken_over)],
    run.shards.late > 0 && ['Late successes', count(run.shards.late)],
    run.shards.dead_probes > 0 && ['Dead questions', count(run.shards.dead_probes)],
    run.shards.given_up > 0 && ['Given up', count(run.shards.given_up)],
    ...Object.entries(run.counters).map(([name, value]) => [name, count(value)]),
  ]} />`;
}

function Orders({ run, known }) {
  const open = run.state === 'running';
  const left = leftOf(run);
  const retried = deadOf(run.shards);
  return html`<${Action} label="Cancel" title=${`Cancel run ${short(run.run)}?`} danger disabled=${open ? null : 'it is over'}
      says=${`${plural(left, 'shard')} of ${count(run.grid.shards)}${soFar(known)} ${left === 1 ? 'has' : 'have'} no outcome yet: nothing more of them is started, and what runs is stopped. What is done stays done.`}
      command=${() => command(['cancel', run.run])} done=${became}
      order=${() => ({ method: 'POST', path: `/runs/${segment(run.run)}/cancel` })} />
    <${Action} label="Retry" title=${`Retry run ${short(run.run)}?`} disabled=${retried || run.state === 'cancelled' || (run.state === 'failed' && left) ? null : 'nothing of it is dead'}
      says=${`${plural(retried, 'dead shard')} will be tried again, by the job as it was when the run was opened${run.state === 'cancelled' ? ', and the run goes on where it was cancelled' : ''}. What is done is not done again.`}
      command=${() => command(['retry', run.run])} done=${became}
      order=${() => ({ method: 'POST', path: `/runs/${segment(run.run)}/retry` })} />`;
}

// How many cells stand in each state, as far as they are told exactly.
function counted(told) {
  if (!told || told.pages_a_block > 1 || told.slices_a_block > 1) return {};
  const sums = Object.fromEntries(told.states.map((state) => [state, 0]));
  for (const { slices, runs } of told.rows) {
    for (let at = 0; at < runs.length; at += 2) sums[told.states[runs[at]]] += slices * runs[at + 1];
  }
  return sums;
}

function Cells({ run, grid }) {
  const legend = useRef(null);
  const counts = useMemo(() => counted(grid.data), [grid.data]);
  const choose = (state) => refine({ tab: 'shards', state });
  return html`<${Legend} states=${SHARD_STATES} counts=${counts} element=${legend} choose=${choose} />
    <${Loaded} live=${grid}>${(told) => html`<${Grid} run=${run.run} told=${told} legend=${legend} />`}<//>`;
}

const TABS = [['grid', 'Grid'], ['shards', 'Shards'], ['audit', 'Audit']];

// So a run is told of that is not open: it may wait to be.
const ABSENT = ['not-found', 'conflict'];

export function Run({ id }) {
  const { query } = useRoute();
  const tab = tabOf(TABS, query.tab);
  const live = useLive(`/runs/${segment(id)}`);
  const over = live.data && live.data.state !== 'running';
  const absent = ABSENT.includes(live.problem?.kind) && !live.data;
  const grid = useLive(tab === 'grid' && !absent ? `/runs/${segment(id)}/grid` : null, { every: over ? 10_000 : 2_000 });
  // Where its cells are not looked at nobody has said that all are known.
  const known = grid.data?.all_known;
  if (absent) return html`<${WaitingRun} id=${id} problem=${live.problem} />`;
  return html`<${Loaded} live=${live} title=${short(id)}>${(run) => html`
    <${Head} title=${html`<${State} state=${run.state} /> <span class="id">${short(run.run)}</span>`}
      sub=${html`a run of <${JobLink} job=${run.job} /> <span class="faint id wrap">${run.run}</span>`}>
      <${Orders} run=${run} known=${known} /><//>
    ${run.error && html`<div class="note is-trouble"><strong>Why it did not succeed</strong><p>${run.error}</p></div>`}
    <${Progress} run=${run} />
    <${Waits} run=${run} />
    <${Pace} run=${run} known=${known} />
    <${Tabs} tabs=${TABS} chosen=${tab} />
    ${tab === 'grid' && html`<${Panel} wide><${Cells} run=${run} grid=${grid} /><//>
      <${Work} run=${run} /><${Failures} run=${run} /><${Held} run=${run} />`}
    ${tab === 'shards' && html`<${Shards} run=${run.run} />`}
    ${tab === 'audit' && html`<${Audit} run=${run.run} />`}
    <${Command} text=${command(['show', run.run])} />`}<//>`;
}
