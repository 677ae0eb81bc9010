// One shard: its attempts, who held each under which fence, and what came of it.

import { Action } from '../act.js';
import { segment } from '../api.js';
import { useLive } from '../live.js';
import { Ago, Command, Facts, Head, Loaded, Panel, RunLink, Table, Time } from '../parts.js';
import { State } from '../states.js';
import { html } from '../html.js';
import { command, count, lasted, span } from '../words.js';

const TAKEOVERS = {
  count: 'it was delivered again',
  floor: 'the broker or its consumer was new, so it was claimed with care',
  again: 'its worker got it a second time',
  returned: 'the one before handed it back',
};

const who = (author) => (author ? author.worker || html`session <span class="id">${author.session}</span>` : 'a worker that said nothing');

function result(attempt) {
  if (!attempt.result) return attempt.held_by.length ? 'issued' : 'waiting';
  return attempt.result.done ? 'done' : 'dead';
}

const word = (attempt) => {
  if (!attempt.result) return attempt.held_by.length ? 'under way' : 'no outcome yet';
  if (attempt.result.done) return 'committed';
  return attempt.result.held ? 'held: does not count' : 'failed';
};

function Attempt({ attempt }) {
  const { result: outcome } = attempt;
  const took = outcome && span(lasted(attempt.issued_at, outcome.ended_at));
  const counters = Object.entries(outcome?.counters || {}).map(([name, value]) => [name, count(value)]);
  return html`<${Panel} title=${`Attempt ${attempt.attempt}`} aside=${html`<${State} state=${result(attempt)}>${word(attempt)}<//>`}>
    <${Facts} facts=${[
      ['Issued', html`<${Time} at=${attempt.issued_at} />`],
      outcome && ['Ended', html`<${Time} at=${outcome.ended_at} /> (after ${took})`],
      outcome && ['By', who(outcome.by)],
      outcome && ['Fence', count(outcome.fence)],
      !outcome && attempt.held_by.length > 0 && ['Held by', attempt.held_by.map(who)],
      outcome && ['Rows', count(outcome.rows)],
      ['Wave, tile', `${attempt.wave}, ${attempt.tile}`],
      ...counters,
    ]} />
    ${outcome?.error && html`<pre class="error block">${outcome.error}</pre>`}
    ${outcome?.output && html`<p class="small faint">Its result</p><pre class="error block">${outcome.output}</pre>`}
    ${attempt.holders.length > 0 && html`<${Table} label="Who held it" items=${attempt.holders} columns=${[
      ['Held by', (holder) => who(holder.by)],
      ['Fence', (holder) => count(holder.fence), 'number'],
      ['Takeover', (holder) => (holder.takeover ? html`<${State} state="retrying">taken over<//> <span class="faint small">${TAKEOVERS[holder.takeover]}</span>` : 'the first')],
      ['Taken', (holder) => html`<${Time} at=${holder.taken_at} />`],
      ['Announced', (holder) => html`<${Time} at=${holder.started_at} />`],
      ['Given back', (holder) => html`<${Time} at=${holder.returned_at} />`],
    ]} />`}
    ${attempt.uncounted.map((said) => html`<p class="faint">Said too late, and not counted: ${said.done ? 'success' : 'failure'} of ${who(said.by)}
      under fence ${count(said.fence)}${said.error && `: ${said.error}`}</p>`)}
  <//>`;
}

export function Shard({ run, slice, page, kind }) {
  const live = useLive(`/runs/${[run, 'shards', slice, page].map(segment).join('/')}${kind === 'probe' ? '?kind=probe' : ''}`);
  return html`<${Loaded} live=${live} title=${`Shard ${slice}/${page}`}>${(story) => html`
    <${Head} title=${html`<${State} state=${story.state} /> ${story.kind === 'probe' ? `Question ${story.page} of slice ${story.slice}` : `Shard ${story.slice}/${story.page}`}`}
      sub=${html`slice ${story.slice}, ${story.kind} ${story.page} of <${RunLink} run=${run} />`}>
      <${Orders} story=${story} /></${Head}>
    <${Facts} facts=${[
      story.bounds && ['Bounds', html`<span class="id">${story.bounds.join(' … ')}</span>`],
      ['Attempts', `${story.earlier_attempts + story.attempts.length} of ${story.max_attempts}`],
      story.uncounted_attempts > 0 && ['That do not count', count(story.uncounted_attempts)],
      story.retry_due && ['Next attempt', html`<${Ago} at=${story.retry_due} />`],
      ['Queue', story.queue],
    ]} />
    ${story.earlier_attempts > 0 && html`<p class="faint">${count(story.earlier_attempts)} earlier attempts are not told.</p>`}
    ${story.attempts.length === 0 && html`<p>Nothing of it has been issued.</p>`}
    ${[...story.attempts].reverse().map((attempt) => html`<${Attempt} key=${attempt.attempt} attempt=${attempt} />`)}
    <${Command} text=${command(['show', run], [['--shard', story.shard]])} />`}<//>`;
}

function Orders({ story }) {
  const { run, slice, page, state, kind } = story;
  const disabled = state !== 'dead' ? 'only a dead shard is retried or given up' : kind === 'probe' ? 'retry the run' : null;
  const flags = [['--slice', String(slice)], ['--page', String(page)]];
  const body = { run, slice, page };
  const done = ({ shards }) => (shards ? 'Done.' : 'There was nothing to do.');
  return html`<${Action} label="Retry" title=${`Retry shard ${slice}/${page}?`} disabled=${disabled} done=${done}
      says="This one shard gets as many attempts again as its job allows, and the run goes on."
      command=${() => command(['dead', 'retry', run], flags)} order=${() => ({ method: 'POST', path: '/dead/retry', body })} />
    <${Action} label="Give up" title=${`Give shard ${slice}/${page} up?`} danger disabled=${disabled} done=${done}
      says="This one shard stays dead and is listed no more among the dead letters."
      command=${() => command(['dead', 'drop', run], flags)} order=${() => ({ method: 'POST', path: '/dead/drop', body })} />`;
}
