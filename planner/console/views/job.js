// One job: what stands in its way, when it fires, what was decided of its fires and why, its runs, its definition.

import { Action, parsed } from '../act.js';
import { ask, query as said, segment } from '../api.js';
import { read, write } from '../json.js';
import { useLive } from '../live.js';
import { Ago, Command, Empty, Facts, Failing, Head, Loaded, Nothing, Panel, Pager, RunLink, Table, Tabs, tabOf, Time } from '../parts.js';
import { useRoute } from '../router.js';
import { html } from '../html.js';
import { command, count, moment, plain, plural } from '../words.js';
import { Durations } from './durations.js';
import { Edit } from './jobedit.js';
import { Fires } from './fires.js';
import { gridOf, held } from './jobs.js';
import { RunsTable } from './runs.js';
import { WaitingRuns } from './runwaits.js';

const TABS = [['runs', 'Runs'], ['fires', 'Fires'], ['definition', 'Definition'], ['backfills', 'Backfills']];

export function Pausing({ pause, of }) {
  return html`<div class="note is-waiting" role="status"><strong>${of} ${pause.all || !pause.job ? 'frozen with all jobs' : 'paused'}</strong>
    <p>by ${pause.by}, <${Ago} at=${pause.since} />: ${pause.note}${pause.until && html`; until <${Time} at=${pause.until} />`}.
      It fires nothing meanwhile; open runs go on, and runs by hand are opened.</p></div>`;
}

function Obstacles({ job, obstacles }) {
  const { pauses, missing_calendars: calendars, late, stopped, overdue } = obstacles;
  return html`${pauses.map((pause) => html`<${Pausing} pause=${pause} of=${job} />`)}
    ${calendars.length > 0 && html`<div class="note is-waiting"><strong>Its schedule waits for a calendar</strong>
      <p>There is none named ${calendars.join(', ')}: nothing fires until it is defined.</p></div>`}
    ${late && html`<div class="note is-trouble"><strong>A fire is late</strong><p>No planner has answered for the one of <${Time} at=${late} />.</p></div>`}
    ${stopped && html`<div class="note is-trouble"><strong>Nothing is decided of its fires any more</strong><p>${stopped}</p></div>`}
    ${overdue.length > 0 && html`<div class="note is-trouble"><strong>${plural(overdue.length, 'run')} had to be over by now</strong></div>`}`;
}

// What becomes of a fire while a run is open.
const OVERLAP = {
  skip: 'gets no run',
  queue_one: 'waits, the newest alone',
  queue_all: 'waits behind those that wait',
  cancel_running: 'cancels that run',
  allow: 'opens beside it',
};

// What its definition says, for whoever does not read JSON.
function Says({ definition }) {
  const { grid, retry, limits = {}, schedule } = definition;
  return html`<${Facts} facts=${[
    ['Grid', gridOf(grid).join(', ')],
    ['Attempts of a shard', retry && count(retry.max_attempts)],
    limits.timeout && ['Time for an attempt', limits.timeout],
    limits.concurrency && ['Tiles at once', count(limits.concurrency)],
    limits.rate && ['Shards', `${limits.rate} at most`],
    schedule && ['A fire while a run is open', OVERLAP[schedule.overlap ?? 'skip'] ?? schedule.overlap],
    schedule?.misfire && ['Fires that were missed', `${plain(schedule.misfire.policy)}, within ${schedule.misfire.window}`],
  ]} />`;
}

// What is to be said of a fire beyond its time.
const besides = ({ moved_from: from, excluded, waits_for: calendar, paused }) => [
  from && `moved from ${from.slice(from.indexOf('T') + 1)}: clocks leave it out`,
  excluded && `taken out by ${excluded}`,
  calendar && `waits for ${calendar}`,
  paused && 'held back',
].filter(Boolean).join('; ');

function Comes({ next }) {
  return html`<${Panel} title="Fires next" aside=${next.words}>
    ${next.items.length === 0 ? html`<p>${next.follows ? `Each fire follows from the end of the run before it: ${next.follows}.` : 'It has no later time.'}</p>`
      : html`<${Table} label="Next fires" items=${next.items} columns=${[
        ['Opens', (fire) => html`<${Ago} at=${fire.opens_at} />`],
        ['Here', (fire) => html`<${Time} at=${fire.scheduled_at} />`],
        ['By its own clocks', (fire) => fire.local],
        ['Besides', besides, 'grow'],
      ]} />`}<//>`;
}

const OVERLAPS = ['', 'allow', 'skip', 'queue_one', 'queue_all', 'cancel_running'].map((word) => [word, word || 'as is usual: allow']);
export const MISSED = [['', 'as its schedule says'], ['skip', 'skip: none gets a run'], ['once', 'once: the newest gets a run'], ['all', 'all: each gets a run']];

const readsAsJson = (text) => {
  if (/^\s*["{[]/.test(text)) return true;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

// A parameter as the command line reads it: JSON where it is JSON, and text otherwise.
const typed = (value) => (typeof value === 'string' && !readsAsJson(value) ? value : write(value));

function Trigger({ job }) {
  const body = ({ params, overlap }) => ({ params: parsed(params, 'parameters'), overlap: overlap || undefined });
  const given = ({ params }) => {
    try {
      return Object.entries(read(params.trim() || '{}', { every: true }));
    } catch {
      return null;
    }
  };
  // None where no flag says the same: dots nest on the command line.
  const same = (values, id) => {
    const params = given(values);
    if (params?.some(([key]) => !key || /[.=]/.test(key))) return null;
    const flags = params?.map(([key, value]) => ['--param', `${key}=${typed(value)}`]) ?? [['--param', '…']];
    return command(['run', job], [...flags, ['--overlap', values.overlap], ['--id', id]]);
  };
  const counted = async (values) => {
    const { data } = await ask('POST', `/jobs/${segment(job)}/runs?dry_run=true`, { body: body(values) });
    return data.shards ? `The run has ${plural(data.shards, 'shard')}.` : 'The run will find its shards by itself.';
  };
  return html`<${Action} label="Run now" title=${`Run ${job} now?`} count=${counted}
    fields=${[{ name: 'params', label: 'Parameters over those of the job, as JSON', rows: 3, hint: '{"day": "2026-03-01"}' },
      { name: 'overlap', label: 'While another run is open', options: OVERLAPS }]}
    order=${(values, id) => ({ method: 'POST', path: `/jobs/${segment(job)}/runs`, body: body(values), headers: { 'idempotency-key': id } })}
    command=${same}
    done=${({ run, answer }) => html`${answer === 'queued' ? 'It waits until other runs are over: ' : 'It is on its way: '}<${RunLink} run=${run} />`} />`;
}

function Hold({ job, paused, unknown }) {
  if (paused) {
    return html`<${Action} label="Resume" title=${`Let ${job} fire again?`} says="Fires that were held back get a run or none, as you say."
      fields=${[{ name: 'missed', label: 'Fires that were held back', options: MISSED }]}
      order=${({ missed }) => ({ method: 'POST', path: `/jobs/${segment(job)}/resume${missed && `?missed=${missed}`}` })}
      command=${({ missed }) => command(['job', 'resume', job], [['--missed', missed]])} done=${() => 'It fires again.'} />`;
  }
  return html`<${Action} label="Pause" title=${`Hold back what ${job} fires?`} disabled=${unknown ? 'it is not known yet whether it is paused' : null}
    says="Its open runs go on, and runs by hand are opened."
    fields=${[{ name: 'note', label: 'Why; shown to everybody', required: true }, { name: 'until', label: 'Until, with its zone', hint: '2026-03-01T02:00:00Z' }]}
    order=${({ note, until }) => ({ method: 'POST', path: `/jobs/${segment(job)}/pause`, body: { note, until: until || undefined } })}
    command=${({ note, until }) => command(['job', 'pause', job], [['--note', note || '…'], ['--until', until]])} done=${held('It is paused.', job)} />`;
}

function Backfill({ job }) {
  const body = ({ from, to, concurrency }) => ({ from, to, concurrency: Number(concurrency) || 1 });
  const counted = async (values) => {
    if (!values.from || !values.to) return 'Say from when to when.';
    const { data } = await ask('POST', `/jobs/${segment(job)}/backfills?dry_run=true`, { body: body(values) });
    return `${plural(data.count, 'time')} will run again${data.excluded ? `; calendars take ${data.excluded} more out` : ''}.`;
  };
  return html`<${Action} label="Backfill" title=${`Run times of ${job} again?`} count=${counted}
    fields=${[{ name: 'from', label: 'From, by its own clocks', hint: '2026-03-01', required: true }, { name: 'to', label: 'To, which is among them', hint: '2026-03-07', required: true },
      { name: 'concurrency', label: 'Open at once', type: 'number', value: '1' }]}
    order=${(values, name) => ({ method: 'POST', path: `/jobs/${segment(job)}/backfills`, body: { ...body(values), name } })}
    command=${({ from, to, concurrency }, name) => command(['job', 'backfill', job], [['--from', from || '…'], ['--to', to || '…'], ['--concurrency', concurrency !== '1' && concurrency], ['--name', name]])}
    done=${({ backfill, count: times }) => `Backfill ${backfill} of ${plural(times, 'time')}.`} />`;
}

// What becomes of its runs, of those that are open and of those that wait to be.
function ends({ items, next }, waiting, cancels) {
  const one = items.length === 1;
  const many = `${next ? 'More than ' : ''}${plural(items.length, 'run')} of it ${one ? 'is' : 'are'} open`;
  const open = items.length === 0 ? 'No run of it is open.' : `${many}: ${cancels ? 'what has no outcome yet is cancelled' : one ? 'it goes on' : 'they go on'}.`;
  return waiting === 0 ? open : `${open} ${plural(waiting, 'that waits to be opened is', 'that wait to be opened are')} dropped.`;
}

function Delete({ job, revision }) {
  const counted = async ({ open }) => {
    const [{ data: runs }, { data: waiting }] = await Promise.all([
      ask('GET', `/runs${said({ job, state: 'running', limit: 1_000 })}`),
      ask('GET', `/runs/waiting${said({ job })}`),
    ]);
    return ends(runs, waiting.items.length, open);
  };
  return html`<${Action} label="Delete" title=${`Delete job ${job}?`} danger needs="admin"
    says=${`Its definition, revision ${revision}, goes, and it fires no more. Its runs stay, but for those that wait to be opened.`} count=${counted}
    fields=${[{ name: 'open', label: 'Its open runs', options: [['', 'go on'], ['cancel', 'are cancelled']] }]}
    order=${({ open }) => ({ method: 'DELETE', path: `/jobs/${segment(job)}${open && '?cancel=true'}`, headers: { 'if-match': `"${revision}"` } })}
    command=${({ open }) => command(['job', 'delete', job], [['--cancel', open === 'cancel'], ['--if-revision', revision]])}
    done=${({ open, cancelled, dropped = [] }) => `It is deleted; ${plural(open.length, 'run')} open, ${count(cancelled.length)} cancelled${dropped.length ? `, ${count(dropped.length)} that waited dropped` : ''}.`} />`;
}

function Backfills({ job }) {
  const live = useLive(`/jobs/${segment(job)}/backfills`);
  const end = (of) => html`<${Action} label="End" title=${`End backfill ${of.backfill}?`} danger disabled=${of.ended ? 'it has ended' : null}
    says=${`${plural(of.count - of.opened, 'time')} of it ${of.count - of.opened === 1 ? 'has' : 'have'} no run yet, and will get none. What is open goes on.`}
    order=${() => ({ method: 'DELETE', path: `/jobs/${segment(job)}/backfills/${segment(of.backfill)}` })}
    command=${() => command(['job', 'backfill', job], [['--cancel', of.backfill]])} done=${() => 'It has ended.'} />`;
  return html`<${Loaded} live=${live}>${({ items }) => items.length === 0
    ? html`<${Empty} title="No backfill is remembered.">A backfill runs times of the schedule again.<//>`
    : html`<${Table} label="Backfills" items=${items} columns=${[
      ['Name', (of) => html`<span class="id">${of.backfill}</span>`],
      ['From', (of) => html`<${Time} at=${of.from} />`],
      ['To', (of) => html`<${Time} at=${of.to} />`],
      ['Opened', (of) => `${count(of.opened)} of ${count(of.count)}`],
      ['By', (of) => `${of.by}, ${moment(of.asked_at)}`, 'grow'],
      ['State', (of) => (of.ended ? (of.cancelled_by ? `ended by ${of.cancelled_by}` : 'ended') : end(of))],
    ]} />`}<//>`;
}

function JobRuns({ job }) {
  const { query } = useRoute();
  const live = useLive(`/runs${said({ job, limit: 50, after: query.after, waits: true })}`);
  return html`${!query.after && html`<${WaitingRuns} job=${job} />`}<${Loaded} live=${live}>${({ items }) => (items.length === 0
    ? html`<${Nothing} title="It has not run yet.">Start it: Run now, or <code>gridloom run ${job}</code>.<//>`
    : html`<${Durations} runs=${items} /><${RunsTable} runs=${items} label=${`Runs of ${job}`} job=${false} />`)}<//><${Pager} live=${live} />`;
}

export function Job({ name }) {
  const { query } = useRoute();
  const tab = tabOf(TABS, query.tab);
  const live = useLive(`/jobs/${segment(name)}`);
  const scheduled = Boolean(live.data?.definition?.schedule);
  const next = useLive(scheduled ? `/jobs/${segment(name)}/next?count=5` : null, { every: 5_000 });
  const own = next.data?.obstacles.pauses.some((pause) => pause.job);
  return html`<${Loaded} live=${live} title=${name}>${(job) => html`
    <${Head} title=${html`<span class="id">${name}</span>`} sub=${html`${job.definition ? `handler ${job.definition.handler}, queue ${job.definition.queue ?? 'default'}` : 'cannot be read'},
      revision ${job.revision}, applied <${Ago} at=${job.applied_at} />`}>
      <${Trigger} job=${name} />
      ${scheduled && html`<${Hold} job=${name} paused=${own} unknown=${!next.data} /><${Backfill} job=${name} />`}
      <${Delete} job=${name} revision=${job.revision} /><//>
    ${job.definition && html`<${Says} definition=${job.definition} />`}
    ${job.unreadable && html`<div class="note is-trouble"><strong>This build cannot read it</strong><p>${job.unreadable}</p></div>`}
    <${Failing} live=${next} title="Fires next, and what keeps it from that" />
    ${next.data && html`<${Obstacles} job=${name} obstacles=${next.data.obstacles} />`}
    ${scheduled ? next.data && html`<${Comes} next=${next.data} />` : html`<p class="faint">No schedule: it runs by hand and by message alone, so there is nothing to pause.</p>`}
    <${Tabs} tabs=${TABS} chosen=${tab} />
    ${tab === 'runs' && html`<${JobRuns} job=${name} />`}
    ${tab === 'fires' && html`<${Fires} job=${name} />`}
    ${tab === 'definition' && html`<${Edit} job=${job} again=${live.again} />`}
    ${tab === 'backfills' && html`<${Backfills} job=${name} />`}
    <${Command} text=${command(['job', 'show', name])} />`}<//>`;
}
