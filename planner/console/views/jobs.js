// The list of jobs: when each fires next, and how its last runs ended.

import { Action, parsed } from '../act.js';
import { ask, BASE, query, segment } from '../api.js';
import { read } from '../json.js';
import { useLive } from '../live.js';
import { Ago, Command, Filter, Head, JobLink, Loaded, Nothing, Pager, Table, Untold } from '../parts.js';
import { go, useRoute } from '../router.js';
import { Box, Sign, State } from '../states.js';
import { html, useEffect, useRef, useState } from '../html.js';
import { command, count, lateness, moment, plural, span } from '../words.js';

const STRIP = 20;
const SLOW_MS = 10_000;

// Whether an element has been in sight: what is told of each job is asked for only then.
function useSight() {
  const element = useRef(null);
  const [seen, set] = useState(false);
  useEffect(() => {
    const observer = new IntersectionObserver(([entry]) => entry.isIntersecting && set(true));
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return [element, seen];
}

// The last runs, the newest at the right.
export function Strip({ job }) {
  const [element, seen] = useSight();
  const live = useLive(seen ? `/runs${query({ job, limit: STRIP })}` : null, { every: SLOW_MS });
  const runs = [...(live.data?.items || [])].reverse();
  const late = (run) => (lateness(run) ? `, ${span(lateness(run))} late` : '');
  const box = (run) => html`<${Box} key=${run.run} state=${run.state} href=${`${BASE}/runs/${run.run}`}
    title=${`${run.state}, opened ${run.opened_at ? moment(run.opened_at) : '–'}${late(run)}`} />`;
  return html`<span class="strip" ref=${element}>${runs.map(box)}${live.data && runs.length === 0 && html`<span class="faint">never ran</span>`}<${Untold} live=${live} /></span>`;
}

export function why(obstacles) {
  const { pauses, missing_calendars: calendars, stopped, late } = obstacles;
  const frozen = pauses.find((pause) => pause.all);
  if (frozen) return ['paused', `frozen: ${frozen.note}`];
  if (pauses.length) return ['paused', `paused: ${pauses[0].note}`];
  if (calendars.length) return ['waiting', `waits for calendar ${calendars.join(', ')}`];
  if (stopped) return ['trouble', 'nothing is decided any more'];
  if (late) return ['trouble', 'late'];
  return null;
}

export function Next({ job }) {
  const [element, seen] = useSight();
  const live = useLive(seen ? `/jobs/${segment(job)}/next?count=1` : null, { every: SLOW_MS });
  const next = live.data;
  const hindered = next && why(next.obstacles);
  const fire = next?.items[0];
  return html`<span ref=${element}>
    ${hindered && html`<${State} state=${hindered[0]}>${hindered[1]}<//> `}
    ${fire && html`<${Ago} at=${fire.opens_at} />`}
    ${next && html`<span class="faint small block">${next.words}</span>`}
    ${live.problem?.kind === 'conflict' ? html`<span class="faint">by hand alone</span>` : html`<${Untold} live=${live} />`}
  </span>`;
}

// Of how many jobs a freeze is, or the end of one.
export async function scheduled(words) {
  const [{ data: jobs }, { data: pauses }] = await Promise.all([ask('GET', '/jobs?scheduled=true&limit=1000'), ask('GET', '/pauses')]);
  const alone = pauses.items.filter((pause) => pause.job).length;
  return `${jobs.next ? 'More than ' : ''}${plural(jobs.items.length, 'job')} with a schedule ${words(jobs.items.length === 1)}${alone ? `; ${count(alone)} paused one by one` : ''}.`;
}

// What is paused already keeps its note and its end: whoever pauses it, too, is told whose those are. One's own order may come
// twice, where an answer was lost.
export const held = (words, job = null) => ({ changed, pauses }, { note, until }) => {
  const first = !changed && pauses.find((pause) => pause.job === job);
  if (!first || (first.note === note && (!until || Date.parse(first.until) === Date.parse(until)))) return words;
  return html`Nothing is changed: it was paused already, by ${first.by}, <${Ago} at=${first.since} />: ${first.note}.`;
};

export function FreezeAll({ pauses }) {
  if (!pauses || pauses.items.some((pause) => !pause.job)) return null;
  return html`<${Action} label="Freeze all" title="Hold back what all jobs fire?" danger says="Open runs go on, and runs by hand are opened. Everybody sees it on every page."
    count=${() => scheduled((one) => (one ? 'fires nothing then' : 'fire nothing then'))} counts=${[]}
    fields=${[{ name: 'note', label: 'Why; shown to everybody', required: true }]}
    order=${({ note }) => ({ method: 'POST', path: '/freeze', body: { note } })}
    command=${({ note }) => command(['job', 'pause', '--all'], [['--note', note || '…']])} done=${held('All schedules are frozen.')} />`;
}

// The grid of a definition in a few words: its slices, which are the items of a sharding elsewhere, and their pages.
export function gridOf(grid) {
  const { count: each = 1, rows, page_size: size, probe } = grid.pages ?? {};
  const all = [rows ?? 0].flat().reduce((sum, number) => sum + number, 0);
  const pages = probe ? 'pages found by a probe' : rows === undefined ? `${plural(each, 'page')} each` : `pages of ${count(size)} of ${plural(all, 'row')}`;
  return [plural(grid.slices, 'slice'), pages];
}

function Cells({ grid }) {
  const [slices, pages] = gridOf(grid);
  return html`${slices} <span class="faint small block">${pages}</span>`;
}

const handler = (job) => job.definition?.handler ?? '–';

export function Jobs() {
  const { query: said } = useRoute();
  const { name, queue, handler: of, scheduled, after } = said;
  const live = useLive(`/jobs${query({ name, queue, handler: of, scheduled, after, limit: 50 })}`);
  const pauses = useLive('/pauses');
  const filtered = name || queue || of || scheduled;
  const nextOf = (job) => (job.unreadable ? html`<${State} state="trouble">unreadable<//>`
    : job.definition?.schedule ? html`<${Next} job=${job.job} />` : html`<span class="faint">by hand alone</span>`);
  return html`<${Head} title="Jobs" sub="Definitions: what is done, over which grid, and when."><${Define} /><${FreezeAll} pauses=${pauses.data} /><//>
    <div class="filters">
      <${Filter} name="name" label="Name holds" />
      <${Filter} name="queue" label="Queue" />
      <${Filter} name="handler" label="Handler" />
      <${Filter} name="scheduled" label="Schedule" options=${[['true', 'with'], ['false', 'without']]} />
    </div>
    <${Loaded} live=${live}>${({ items }) => html`
      ${items.length === 0 && html`<${Nothing} title="No job is defined yet." filtered=${filtered} like="No job is like that.">Write a job file, then
        <code>gridloom job apply FILE</code>; or define one here.<//>`}
      ${items.length > 0 && html`<${Table} label="Jobs" items=${items} id=${(job) => job.job} columns=${[
        ['Job', (job) => html`<${JobLink} job=${job.job} />`],
        ['Handler', (job) => html`${handler(job)} <span class="faint">on ${job.definition?.queue ?? 'default'}</span>`],
        ['Grid', (job) => (job.definition ? html`<${Cells} grid=${job.definition.grid} />` : '–')],
        ['Fires next', nextOf, 'grow'],
        ['Last runs', (job) => html`<${Strip} job=${job.job} />`],
      ]} />`}
    `}<//>
    <${Pager} live=${live} />
    <p class="faint small"><${Sign} state="succeeded" /> succeeded <${Sign} state="failed" /> failed <${Sign} state="cancelled" /> cancelled <${Sign} state="running" /> running</p>
    <${Command} text=${command(['job', 'list'])} />`;
}

const EXAMPLE = `{
  "name": "hello",
  "handler": "noop",
  "grid": { "slices": 4, "pages": { "count": 25 } }
}`;

function Define() {
  const body = (values) => parsed(values.definition, 'definition');
  const name = (values) => (body(values) && read(values.definition)?.name) || '';
  return html`<${Action} label="Define a job" title="Define a job" needs="admin"
    says="What its file would say, as JSON. Nothing is changed where a job of that name is there already."
    fields=${[{ name: 'definition', label: 'Definition', rows: 12, required: true, value: EXAMPLE }]}
    order=${(values) => ({ method: 'PUT', path: `/jobs/${segment(name(values))}`, body: body(values), headers: { 'if-none-match': '*' } })}
    command=${() => 'gridloom job apply --if-revision 0 job.json'}
    done=${({ job, fires }) => `${job} is defined. ${fires ? `It fires ${fires}.` : 'It runs by hand alone.'}`}
    goes=${({ job }) => setTimeout(() => go(`/jobs/${job}`), 800)} />`;
}
