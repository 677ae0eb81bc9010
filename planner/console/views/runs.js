// The list of runs.

import { query } from '../api.js';
import { useLive } from '../live.js';
import { Ago, Bar, Command, Filter, Head, JobLink, LeftOut, Loaded, Nothing, Pager, RunLink, Table, useNow } from '../parts.js';
import { useRoute } from '../router.js';
import { RUN_STATES, State } from '../states.js';
import { html } from '../html.js';
import { command, count, instant, lasted, lateness, plain, plural, span } from '../words.js';
import { Said, wants } from './runwhy.js';
import { WaitingRuns } from './runwaits.js';

// How far a run is, in words and as a bar. What its grid has may not be known yet.
export function Progress({ run }) {
  const { done, dead: died, outstanding } = run.shards;
  const whole = Math.max(run.grid.shards, done + died);
  // Questions that were given up are no shards.
  const given = Math.min(run.shards.given_up ?? 0, died);
  const dead = died - given;
  const label = [`${count(done)} of ${plural(whole, 'shard')} done`, dead && `${count(dead)} dead`, given && `${count(given)} given up`].filter(Boolean).join(', ');
  return html`<div class="progress"><${Bar} whole=${whole} label=${label}
      parts=${[['done', done], ['dead', dead], ['given_up', given], ['issued', run.state === 'running' ? outstanding : 0]]} />
    <span class="small">${count(done)} / ${count(whole)}${dead > 0 && html` <span class="bad">✕ ${count(dead)} dead</span>`}${given > 0 && html` <span class="faint">⊘ ${count(given)} given up</span>`}</span></div>`;
}

export function Took({ run }) {
  const now = useNow();
  const seconds = lasted(run.opened_at, run.closed_at, now);
  return seconds === null ? '–' : span(seconds < 10 ? seconds : Math.round(seconds));
}

// What an open run is in want of; that it is at work where it is in want of nothing.
function Want({ run: { waits, state } }) {
  if (state !== 'running') return null;
  if (!waits) return html`<span class="faint">–</span>`;
  const [found] = wants(waits);
  return found ? html`<${State} state="waiting"><${Said} wait=${found} /><//>` : html`<span class="faint">nothing: ${waits[0] ? html`<${Said} wait=${waits[0]} />` : 'it goes on'}</span>`;
}

// What runs wait for is told where the list was asked for that.
export const RunsTable = ({ runs, label, job = true }) => html`<${Table} label=${label} items=${runs} id=${(run) => run.run}
  columns=${[
    ['State', (run) => html`<${State} state=${run.state} />`],
    ['Run', (run) => html`<${RunLink} run=${run.run} job=${false} />`],
    ...(job ? [['Job', (run) => html`<${JobLink} job=${run.job} />`]] : []),
    ['Shards', (run) => html`<${Progress} run=${run} />`, 'grow'],
    ...(runs.some((run) => run.waits) ? [['Waits for', (run) => html`<${Want} run=${run} />`, 'grow']] : []),
    ['Rows', (run) => count(run.rows), 'number'],
    ['Opened', (run) => html`<${Ago} at=${run.opened_at} />`],
    ...(job ? [] : [['Late', (run) => (lateness(run) ? span(lateness(run)) : '–'), 'number']]),
    ['Took', (run) => html`<${Took} run=${run} />`, 'number'],
  ]} />`;

const words = (states) => states.map((state) => [state, plain(state)]);

export function Runs() {
  const { query: said } = useRoute();
  const { job, state, dead, from, to, after } = said;
  const bounds = { from: from && instant(from), to: to && instant(to) };
  const live = useLive(`/runs${query({ job, state, dead, from: bounds.from ?? undefined, to: bounds.to ?? undefined, after, waits: true, limit: 50 })}`);
  const filtered = job || state || dead || from || to;
  return html`<${Head} title="Runs" sub="Firings of jobs, the newest first." />
    <div class="filters">
      <${Filter} name="state" label="State" options=${words(RUN_STATES)} />
      <${Filter} name="job" label="Job" hint="exact name" />
      <${Filter} name="dead" label="Dead shards" options=${[['true', 'with'], ['false', 'without']]} />
      <${Filter} name="from" label="From" type="date" />
      <${Filter} name="to" label="Before" type="date" />
    </div>
    ${Object.keys(bounds).filter((name) => bounds[name] === null).map((name) => html`<${LeftOut} name=${name} wanted="no day such as 2026-03-01" />`)}
    ${!after && html`<${WaitingRuns} job=${job} />`}
    <${Loaded} live=${live}>${({ items }) => html`
      ${items.length === 0 && html`<${Nothing} title="Nothing has run yet." filtered=${filtered} like="No run is like that.">Define a job, then start a run of
        it: on its page, or as <code>gridloom run JOB</code>.<//>`}
      ${items.length > 0 && html`<${RunsTable} runs=${items} label="Runs" />`}
    `}<//>
    <${Pager} live=${live} />
    ${!(dead || from || to) && html`<${Command} text=${command(['runs', ...(job ? [job] : [])], [['--state', state]])} />`}`;
}
