// Why a run waits, what of it has failed, and who is at what.

import { useLive } from '../live.js';
import { Ago, Command, Panel, Table, Time } from '../parts.js';
import { Link } from '../router.js';
import { Sign } from '../states.js';
import { html } from '../html.js';
import { begin, command, count, deadOf, plural } from '../words.js';

// What to do about a reason: where to look, and what to type.
function remedy(wait) {
  const on = html`<${Link} to="/queues">queues<//>`;
  switch (wait.reason) {
    case 'no_worker':
      return html`Start a worker for the queue, or see whether those that were there have gone (${on}).
        <${Command} text=${command(['worker'], [['--queue', wait.queue]])} />`;
    case 'no_handler':
      return html`Workers are there, and none has the handler <b>${wait.handler}</b>: start one that registers it for the
        queue <b>${wait.queue}</b>, or name another handler in the job. <${Link} to="/workers">What workers have<//>.`;
    case 'queued':
      return html`Others of the queue come first: it begins as soon as a slot is free. More workers, or more slots for each, begin it
        sooner; what takes so long stands with the <${Link} to="/runs?state=running">runs that are open<//> (${on}).
        <${Command} text=${command(['worker'], [['--queue', wait.queue]])} />`;
    case 'concurrency':
    case 'rate':
      return html`The limit stands in the definition of <${Link} to=${`/jobs/${wait.job}`}>${wait.job}<//>.`;
    case 'aside':
      return html`It can be cancelled; a new run takes its place.`;
    case 'hold':
      return html`Nothing of it is issued until then, by itself it goes on, and no attempt is used up. What the shard said of it stands under <b>What has failed</b>.`;
    case 'behind':
      return html`<${Link} to="/runs?state=running">Runs that are open now<//>.`;
    default:
      return null;
  }
}

// These say that the run is at work, and not that it is in want of something.
const AT_WORK = ['shards', 'retry'];

export const wants = (waits) => waits.filter((wait) => !AT_WORK.includes(wait.reason));

// These do not pass unless somebody does something.
const STUCK = ['no_worker', 'no_handler', 'no_room', 'aside'];

export const stuck = (waits) => waits.filter((wait) => STUCK.includes(wait.reason));

// The same in the reader's words for times.
export function Said({ wait }) {
  if (wait.reason === 'retry') return html`${plural(wait.shards, 'failed shard')} wait for the next attempt, the first <${Ago} at=${wait.due} />`;
  if (wait.reason === 'hold') return html`a shard asked that ${wait.what} be left alone until <${Time} at=${wait.until} />`;
  return wait.words;
}

export function Waits({ run }) {
  const pauses = useLive(run.state === 'running' ? '/pauses' : null);
  const planners = useLive(run.state === 'running' ? '/planners' : null, { every: 5_000 });
  if (run.state !== 'running') return null;
  if (run.waits === null || run.waits === undefined) {
    const leads = planners.data?.items.find((planner) => planner.leads);
    if (leads) {
      return html`<div class="note is-trouble" role="status"><strong>What it waits for cannot be told just now</strong>
        <p>Planner ${leads.planner} leads, and has not said it in time; it is asked again.</p></div>`;
    }
    return html`<div class="note is-trouble" role="status"><strong>No planner leads just now</strong>
      <p>What was issued goes on; nothing more is issued until a planner leads, which takes a few seconds where one stands by.</p></div>`;
  }
  const freeze = pauses.data?.items.find((pause) => !pause.job);
  const wanted = wants(run.waits);
  const shown = wanted.length ? wanted : run.waits;
  if (shown.length === 0 && !freeze) return null;
  return html`<section class=${`note ${wanted.length ? 'is-waiting' : ''}`} aria-label="What it waits for">
    <strong>${wanted.length ? 'Why it waits' : 'At work'}</strong>
    ${shown.map((wait) => html`<p class="why"><${Sign} state=${wanted.length ? 'waiting' : 'issued'} /> <span><${Said} wait=${wait} /></span></p>
      ${wanted.length > 0 && html`<div class="small">${remedy(wait)}</div>`}`)}
    ${freeze && html`<p class="small">All schedules are frozen (${freeze.note}): open runs go on, and nothing fires.</p>`}
  </section>`;
}

export function Failures({ run }) {
  if (run.errors.length === 0 && !run.retries) return null;
  const more = run.more_errors > 0 && html`<p class="faint">and ${plural(run.more_errors, 'other error')}</p>`;
  const retries = run.retries && html`<p>${plural(run.retries.shards, 'shard')} will be tried again, the first <${Ago} at=${run.retries.first_due} />.</p>`;
  const words = (said, { error }) => new URLSearchParams({ ...said, error: begin(error) });
  const shard = (last) => {
    const probe = last.kind === 'probe';
    const to = `/runs/${run.run}/shards/${last.slice}/${last.page}${probe ? '?kind=probe' : ''}`;
    return html`<${Link} to=${to}>${last.slice}/${last.page}${probe && ' (question)'}<//>`;
  };
  return html`<${Panel} title="What has failed" aside="attempts with the same error together, the last first">
    ${retries}
    ${run.errors.length > 0 && html`<${Table} label="Errors" items=${run.errors} columns=${[
      ['Attempts', (group) => count(group.failures), 'number'],
      ['Error', (group) => html`<pre class="error">${group.error}</pre>${!group.alike && html`<span class="faint small">and others</span>`}`, 'grow'],
      ['Last', (group) => html`<${Ago} at=${group.last.at} />`],
      ['Shard', (group) => shard(group.last)],
      ['All of them', (group) => html`<${Link} to=${`/runs/${run.run}?${words({ tab: 'shards' }, group)}`}>its shards<//>`],
      ...(deadOf(run.shards) ? [['Of the dead', (group) => html`<${Link} to=${`/dead?${words({ run: run.run }, group)}`}>try only these again<//>`]] : []),
    ]} />`}${more}<//>`;
}

export function Held({ run }) {
  if (run.longest.length === 0) return null;
  return html`<${Panel} title="Who is at what" aside="shards that workers hold longest">
    <${Table} label="Shards that are held" items=${run.longest} columns=${[
      ['Worker', (held) => html`<span class="id">${held.worker}</span>`],
      ['Shard', (held) => html`<${Link} to=${`/runs/${run.run}/shards/${held.slice}/${held.page}${held.kind === 'probe' ? '?kind=probe' : ''}`}>${held.shard}<//>`],
      ['Attempt', (held) => held.attempt, 'number'],
      ['Held', (held) => html`<${Ago} at=${held.since || held.issued_at} />`],
      ['Takeover', (held) => (held.taken_over ? 'taken over' : 'no')],
    ]} /><//>`;
}
