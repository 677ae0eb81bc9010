// Dead letters: shards whose attempts are used up. Looked through, counted, and then tried again or given up.

import { Action } from '../act.js';
import { ask, query } from '../api.js';
import { useLive } from '../live.js';
import { Ago, Command, Filter, Head, JobLink, Loaded, Nothing, Pager, Panel, RunLink, Table } from '../parts.js';
import { Link, refine, useRoute } from '../router.js';
import { html } from '../html.js';
import { begin, command, count, plural } from '../words.js';

const LIMIT = 200;

// What is no number stays as it is, and the planner refuses it: left out, it would be an order for more than was meant.
const numbered = (text) => (/^\d+$/.test(text) ? Number(text) : text);

// Which are meant, as an order says it, and as a command does.
function meant({ job, run, slice, page, error }) {
  const named = { job, run, error, slice: numbered(slice), page: numbered(page) };
  const body = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined && value !== ''));
  return Object.keys(body).length ? body : { all: true };
}

function typed(verb, body) {
  const { run, job, slice, page, error, all } = body;
  return command(['dead', verb, ...(run ? [run] : [])], [['--job', job], ['--slice', slice?.toString()], ['--page', page?.toString()], ['--error-like', error], ['--all', all]]);
}

function Bulk({ which, listed }) {
  const disabled = !listed ? 'it is not known yet which there are' : listed.items.length === 0 ? 'there is none' : null;
  const body = meant(which);
  const path = (verb) => `/dead/${verb}`;
  const counted = (verb) => async () => {
    const { data } = await ask('POST', path(verb), { body: { ...body, dry_run: true } });
    return data.shards ? `${plural(data.shards, 'dead shard')} of ${plural(data.runs, 'run')}.` : 'None is like that now.';
  };
  const done = (became) => ({ shards, runs, not_asked: left, of_runs: told }) => html`${plural(shards, 'dead shard')} of ${plural(runs - left, 'run')} ${shards === 1 ? 'is' : 'are'} ${became}.
    ${left ? html`<p>${plural(left, 'run')} could not be asked: order it again.</p>` : null}
    ${told.filter((run) => run.reason).map((run) => html`<p>${run.run}: ${run.reason}</p>`)}`;
  const scope = body.all ? 'all dead letters' : 'the dead letters that are filtered here';
  return html`<${Action} label="Retry these" title=${`Retry ${scope}?`} count=${counted('retry')} done=${done('tried again')} disabled=${disabled}
      says="Each gets as many attempts again as its job allows, by the job as it was when its run was opened. What is done is not done again."
      order=${() => ({ method: 'POST', path: path('retry'), body })} command=${() => typed('retry', body)} />
    <${Action} label="Give these up" title=${`Give ${scope} up?`} danger count=${counted('drop')} done=${done('given up')} disabled=${disabled}
      says="They stay dead, and are listed no more. What they were to do is not done."
      order=${() => ({ method: 'POST', path: path('drop'), body })} command=${() => typed('drop', body)} />`;
}

// Those with the same error together, the most first.
function Groups({ items, more }) {
  const groups = new Map();
  for (const dead of items) {
    const of = groups.get(dead.error) || { error: dead.error, number: 0, jobs: new Set(), runs: new Set(), last: dead };
    of.number += 1;
    of.jobs.add(dead.job);
    of.runs.add(dead.run);
    groups.set(dead.error, of);
  }
  const sorted = [...groups.values()].sort((a, b) => b.number - a.number);
  return html`<${Panel} title="By error" aside=${more ? `of the ${count(items.length)} that are listed here` : plural(sorted.length, 'different error')}>
    <${Table} label="Errors of dead shards" items=${sorted} columns=${[
      ['Shards', (of) => count(of.number), 'number'],
      ['Error', (of) => html`<pre class="error">${of.error}</pre>`, 'grow'],
      ['Jobs', (of) => [...of.jobs].slice(0, 3).map((job) => html`<${JobLink} job=${job} /> `)],
      ['Runs', (of) => count(of.runs.size), 'number'],
      ['Filter', (of) => html`<button type="button" onClick=${() => refine({ error: begin(of.error) })}>Only these</button>`],
    ]} /><//>`;
}

export function Dead() {
  const { query: said } = useRoute();
  const { job, run, slice, page, error, after } = said;
  const live = useLive(`/dead${query({ job, run, slice, page, error, after, limit: LIMIT })}`);
  const filtered = job || run || slice || page || error;
  const shard = (dead) => `/runs/${dead.run}/shards/${dead.slice}/${dead.page}${dead.kind === 'probe' ? '?kind=probe' : ''}`;
  return html`<${Head} title="Dead letters" sub="Shards whose attempts are used up, and that nobody has given up.">
      <${Bulk} which=${said} listed=${live.data} /><//>
    <div class="filters">
      <${Filter} name="job" label="Job" hint="exact name" />
      <${Filter} name="run" label="Run" hint="its id" holds=${['slice', 'page']} />
      ${(run || slice || page) && html`<${Filter} name="slice" label="Slice" type="number" holds=${['page']} />`}
      ${(slice || page) && html`<${Filter} name="page" label="Page" type="number" />`}
      <${Filter} name="error" label="Error holds" />
    </div>
    <${Loaded} live=${live}>${({ items, next, left_out: left }) => html`
      ${left.length > 0 && html`<p class="bad">! ${plural(left.length, 'run')} cannot be told of: ${left[0].reason}</p>`}
      ${items.length === 0 && !next && html`<${Nothing} title="✓ No shard is dead." filtered=${filtered} like="None is like that.">A shard comes here when all
        its attempts have failed.<//>`}
      ${items.length > 0 && html`<${Groups} items=${items} more=${next || after} />
        <${Table} label="Dead shards" items=${items} id=${(dead) => `${dead.run}/${dead.kind}/${dead.slice}/${dead.page}`} columns=${[
          ['Run', (dead) => html`<${RunLink} run=${dead.run} />`],
          ['Shard', (dead) => html`<${Link} to=${shard(dead)}>${dead.slice}/${dead.page}${dead.kind === 'probe' && ' (question)'}<//>`],
          ['Attempts', (dead) => count(dead.attempts), 'number'],
          ['Error', (dead) => html`<pre class="error">${dead.error}</pre>`, 'grow'],
          ['Died', (dead) => html`<${Ago} at=${dead.at} />`],
        ]} />`}
    `}<//>
    <${Pager} live=${live} />
    <${Command} text=${typed('list', filtered ? meant(said) : {})} />`;
}
