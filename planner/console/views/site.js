// What concerns all of an installation: calendars, messages that were refused, and who has ordered what.

import { Action, parsed } from '../act.js';
import { ask, query, segment } from '../api.js';
import { read, write } from '../json.js';
import { useLive } from '../live.js';
import { Ago, Command, Empty, Filter, Head, JobLink, Loaded, Nothing, Pager, Panel, Table, Time } from '../parts.js';
import { useRoute } from '../router.js';
import { html } from '../html.js';
import { command, count, plural } from '../words.js';

const calendarBody = (values) => parsed(values.definition, 'definition');
const CALENDAR = `{
  "name": "holidays-de",
  "timezone": "Europe/Berlin",
  "dates": ["01-01", "12-25/12-26"]
}`;

function Apply({ label, calendar }) {
  const value = calendar ? write(calendar.definition, 2) : CALENDAR;
  const name = (values) => segment(calendar?.calendar || (calendarBody(values) && read(values.definition)?.name) || '');
  const headers = calendar ? { 'if-match': `"${calendar.revision}"` } : { 'if-none-match': '*' };
  const jobs = calendar?.jobs.length ? named(calendar) : 'No job names it.';
  return html`<${Action} label=${label} title=${calendar ? `Change calendar ${calendar.calendar}` : 'Define a calendar'} needs="admin"
    says=${calendar ? jobs : 'What its file would say, as JSON.'}
    fields=${[{ name: 'definition', label: 'Definition', rows: 10, required: true, value }]}
    order=${(values) => ({ method: 'PUT', path: `/calendars/${name(values)}`, body: calendarBody(values), headers })}
    command=${() => command(['calendar', 'apply', 'calendar.json'], [['--if-revision', String(calendar?.revision ?? 0)]])}
    done=${({ change, revision }) => `It is ${change}: revision ${revision}.`} />`;
}

const named = ({ jobs }) => `${plural(jobs.length, 'job')} ${jobs.length === 1 ? 'names' : 'name'} it: ${jobs.join(', ')}.`;

// A job may come to name it while the question stands there: it is the answer to that which is ordered, and not what the page knew.
function Delete({ calendar: { calendar, revision } }) {
  const counted = async ({ force }) => {
    const { data } = await ask('GET', `/calendars/${segment(calendar)}`);
    if (data.jobs.length === 0) return 'No job names it.';
    return `${named(data)} ${force ? 'What waits for it from then on fires nothing.' : 'So it stays.'}`;
  };
  return html`<${Action} label="Delete" title=${`Delete calendar ${calendar}?`} danger needs="admin" count=${counted} says=${`Revision ${revision} of it goes.`}
    fields=${[{ name: 'force', label: 'Where jobs name it', options: [['', 'it stays'], ['true', 'it goes all the same (force=true)']] }]}
    order=${({ force }) => ({ method: 'DELETE', path: `/calendars/${segment(calendar)}${force && '?force=true'}`, headers: { 'if-match': `"${revision}"` } })}
    command=${({ force }) => command(['calendar', 'delete', calendar], [['--force', Boolean(force)], ['--if-revision', revision]])}
    done=${({ jobs }) => (jobs.length ? `It is deleted. ${plural(jobs.length, 'schedule waits', 'schedules wait')} for it now: ${jobs.join(', ')}.` : 'It is deleted.')} />`;
}

export function Calendars() {
  const live = useLive('/calendars', { every: 5_000 });
  const { name = '' } = useRoute().query;
  const isMeant = ({ calendar }) => calendar.includes(name);
  return html`<${Head} title="Calendars" sub="Days and times that schedules are bound to or kept off."><${Apply} label="Define a calendar" /><//>
    <${Loaded} live=${live}>${({ items }) => items.length === 0
      ? html`<${Empty} title="There is no calendar.">A job is kept off one by <code>except = "name"</code> in its schedule, and bound to it by <code>only</code>.<//>`
      : html`<div class="filters"><${Filter} name="name" label="Name holds" /></div>
        ${!items.some(isMeant) && html`<${Empty} title="No calendar is called so." />`}
        ${items.filter(isMeant).map((calendar) => html`<${Panel} title=${calendar.calendar} aside=${html`revision ${calendar.revision}, <${Ago} at=${calendar.applied_at} />`}>
          ${calendar.unreadable ? html`<p class="bad">! ${calendar.unreadable}</p>` : html`<pre class="definition" tabindex="0">${write(calendar.definition, 2)}</pre>`}
          <p>${calendar.jobs.length ? html`Named by ${calendar.jobs.map((job) => html`<${JobLink} job=${job} /> `)}` : 'No job names it.'}</p>
          <div class="actions">${calendar.definition && html`<${Apply} label="Change" calendar=${calendar} />`}<${Delete} calendar=${calendar} /></div>
        <//>`)}`}<//>
    <${Command} text=${command(['calendar', 'list'])} />`;
}

function Drop({ number }) {
  return html`<${Action} label="Remove" title=${`Remove record ${number}?`} danger needs="admin" says="One record goes. The message itself was refused before, and does not come back."
    order=${() => ({ method: 'DELETE', path: `/unreadable/${segment(number)}` })} command=${() => command(['unreadable', 'drop', String(number)])} />`;
}

export function Unreadable() {
  const live = useLive('/unreadable?limit=100', { every: 5_000 });
  return html`<${Head} title="Unreadable" sub="Messages that could not be understood or carried out, and why." />
    <${Loaded} live=${live}>${({ items, older }) => items.length === 0
      ? html`<${Empty} title="✓ None was refused." />`
      : html`<${Table} label="Messages" items=${items} id=${(message) => message.number} columns=${[
          ['Number', (message) => message.number, 'number'],
          ['When', (message) => html`<${Ago} at=${message.at} />`],
          ['Subject', (message) => html`<span class="id">${message.subject}</span>`],
          ['Why', (message) => html`${message.reason ?? 'nobody can read its record'}${message.excerpt && html`<pre class="error">${message.excerpt}</pre>`}`, 'grow'],
          ['Record', (message) => html`<${Drop} number=${message.number} />`],
        ]} />${older > 0 && html`<p class="faint">and ${count(older)} older ones</p>`}`}<//>
    <${Command} text=${command(['unreadable', 'list'])} />`;
}

export function Log() {
  const { query: said } = useRoute();
  const live = useLive(`/log${query({ after: said.after, limit: 100 })}`, { every: 5_000 });
  return html`<${Head} title="Log" sub="Who has ordered what, here and by commands. It is on record before it is given." />
    <${Loaded} live=${live}>${({ items }) => (items.length === 0 ? html`<${Nothing} title="Nothing has been ordered yet." />` : html`<${Table} label="Orders" items=${items} id=${(order) => order.number} columns=${[
        ['When', (order) => html`<${Time} at=${order.at} />`],
        ['Who', (order) => html`${order.by ?? '–'} <span class="faint small">${order.way === 'api' ? 'over HTTP' : 'by a command'}</span>`],
        ['What', (order) => html`<b>${order.what ?? 'cannot be read'}</b>`],
        ['Of', (order) => html`<span class="id wrap">${order.of}</span>`],
        ['Besides', (order) => order.detail ?? '', 'grow'],
      ]} />`)}<//>
    <${Pager} live=${live} />
    <${Command} text=${command(['log'])} />`;
}
