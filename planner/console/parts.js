// What all pages are made of.

import { segment } from './api.js';
import { present } from './clock.js';
import { Link, refine, useRoute } from './router.js';
import { html, useEffect, useRef, useState } from './html.js';
import { ago, count, instant, jobOf, moment, short, utc } from './words.js';

// The present, each second: for whatever says how long ago something was.
export function useNow(every = 1_000) {
  const [now, set] = useState(present);
  useEffect(() => {
    const timer = setInterval(() => set(present()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

// A moment in the zone of whoever reads; UTC where one points.
export const Time = ({ at }) => (at ? html`<time datetime=${at} title=${utc(at)}>${moment(at)}</time>` : '–');

export function Ago({ at }) {
  const now = useNow();
  return at ? html`<time datetime=${at} title=${`${moment(at)} here, ${utc(at)}`}>${ago(at, now)}</time>` : '–';
}

export const RunLink = ({ run, job = true }) => html`<${Link} to=${`/runs/${segment(run)}`} class="id" title=${run}>
  ${job && html`<span>${jobOf(run)}</span> `}<span class=${job ? 'faint' : ''}>${short(run)}</span><//>`;

export const JobLink = ({ job }) => html`<${Link} to=${`/jobs/${segment(job)}`} class="id">${job}<//>`;

// What cannot be done, and what would mend it.
export function Trouble({ problem, again }) {
  return html`<div class="note is-trouble" role="alert">
    <strong>${problem.title}</strong>
    <p>${problem.message}</p>
    ${problem.faults.length > 0 && html`<ul>${problem.faults.map((fault) => html`<li>${fault}</li>`)}</ul>`}
    ${again && html`<button type="button" onClick=${again}>Try again</button>`}
  </div>`;
}

// Whether it is to be said that something cannot be told: not where what was told of it stays, and the page says already that
// nobody answers.
const fails = ({ data, problem }) => Boolean(problem) && (data === undefined || problem.kind !== 'disconnected');

// The same where there is no room for more than a word.
export const Untold = ({ live }) => fails(live) && html`<span class="bad small" title=${live.problem.message}>! cannot be told just now</span>`;

// And where a part of a page is left out that has nothing to show.
export const Failing = ({ live, title }) => fails(live) && html`<${Panel} title=${title}><${Trouble} problem=${live.problem} again=${live.again} /><//>`;

export const Empty = ({ title, children }) => html`<div class="empty"><p><strong>${title}</strong></p>${children && html`<p>${children}</p>`}</div>`;

export const Loading = () => html`<div class="loading" role="status"><span class="pulse" aria-hidden="true"></span>Loading…</div>`;

// What is live, once it is there: until then that it loads; where it cannot be had, why, under
// the title of the page that it would be. What was there before stays.
export function Loaded({ live, title, children }) {
  const { data, problem, again } = live;
  if (data === undefined) {
    return html`<div class="stack">${title && html`<${Head} title=${title} />`}${problem ? html`<${Trouble} problem=${problem} again=${again} />` : html`<${Loading} />`}</div>`;
  }
  return html`<div class="stack">${fails(live) && html`<${Trouble} problem=${problem} />`}${children(data)}</div>`;
}

export const Head = ({ title, sub, children }) => html`<header class="head">
  <div><h1>${title}</h1>${sub && html`<p class="sub">${sub}</p>`}</div>
  <div class="actions">${children}</div>
</header>`;

export const Panel = ({ title, aside, children, wide }) => html`<section class=${`panel${wide ? ' wide' : ''}`}>
  ${title && html`<div class="panel-head"><h2>${title}</h2>${aside && html`<div class="aside">${aside}</div>`}</div>`}
  ${children}
</section>`;

// Columns are [name, cell of an item, class]. A row leads where its first link leads.
export function Table({ columns, items, label, id = (item, place) => place }) {
  const cell = (item) => ([name, of, kind = '']) => html`<td role="cell" class=${kind} data-name=${name}>${of(item)}</td>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>
    <table role="table">
      <thead role="rowgroup"><tr role="row">${columns.map(([name, , kind = '']) => html`<th role="columnheader" scope="col" class=${kind}>${name}</th>`)}</tr></thead>
      <tbody role="rowgroup">${items.map((item, place) => html`<tr role="row" key=${id(item, place)}>${columns.map(cell(item))}</tr>`)}</tbody>
    </table>
  </div>`;
}

// What a list says that has nothing in it: `title` where there is nothing of the kind. What is filtered, or goes on behind a
// place, says nothing of the rest.
export function Nothing({ title, filtered, like, children }) {
  const { query } = useRoute();
  if (query.after) return html`<${Empty} title="Nothing stands behind that place of the list any more." />`;
  return filtered ? html`<${Empty} title=${like}>Leave a filter out, or look further back.<//>` : html`<${Empty} title=${title}>${children}<//>`;
}

// The next page of a list; back leads the browser's own key. It stands beside what is loaded, and not in it: the first page is the
// way on from a place of the list that cannot be had.
export function Pager({ live }) {
  const { query } = useRoute();
  const next = live.data?.next;
  if (!next && !query.after) return null;
  return html`<nav class="pager" aria-label="Pages of the list">
    ${query.after && html`<button type="button" onClick=${() => refine({})}>First page</button>`}
    ${next && html`<button type="button" onClick=${() => refine({ after: next })}>Next page</button>`}
  </nav>`;
}

// What a field of a kind can hold. It shows nothing of what else an address says there, which could not be taken out by it.
const HOLDS = { date: (said) => /^[\d-]+$/.test(said) && instant(said) !== null, number: (said) => /^\d+$/.test(said) };

const kindFor = (kind, said) => (!said || !HOLDS[kind] || HOLDS[kind](said) ? kind : 'search');

// A word of a list's query, as a field. Typing changes the list after a moment, and leaves no trail of half words. Where it is
// emptied, those go with it that `holds` names: they say more of it, and nothing without it.
export function Filter({ name, label, options, hint, type = 'search', holds = [] }) {
  const { query } = useRoute();
  const said = query[name] || '';
  const [typed, type_] = useState(said);
  // Where the address changes, and not once it is first shown: that is heard later than what is typed at once.
  const before = useRef(said);
  useEffect(() => {
    if (before.current !== said) type_(said);
    before.current = said;
  }, [said]);
  useEffect(() => {
    if (options || typed === said) return undefined;
    const gone = typed ? [] : holds.map((each) => [each, '']);
    const timer = setTimeout(() => refine({ ...Object.fromEntries(gone), [name]: typed }, { replace: true }), 300);
    return () => clearTimeout(timer);
  }, [typed]);
  const choose = (event) => refine({ [name]: event.target.value });
  return html`<label class="filter"><span>${label}</span>${options
    ? html`<select value=${said} onChange=${choose}>
        <option value="">any</option>
        ${said && !options.some(([value]) => value === said) && html`<option value=${said} selected>${said}: there is none</option>`}
        ${options.map(([value, text]) => html`<option value=${value} selected=${value === said}>${text}</option>`)}
      </select>`
    : html`<input type=${kindFor(type, said)} name=${name} value=${typed} placeholder=${hint} onInput=${(event) => type_(event.target.value)} />`}</label>`;
}

// A word of the address that cannot be read.
export function LeftOut({ name, wanted }) {
  const { query } = useRoute();
  return html`<div class="note is-trouble" role="status"><strong>A filter of this address is left out</strong>
    <p>${name}=${query[name]} is ${wanted}: the list is shown without it.</p>
    <button type="button" onClick=${() => refine({ [name]: '' }, { replace: true })}>Take it out</button></div>`;
}

export const Facts = ({ facts }) => html`<dl class="facts">
  ${facts.filter(Boolean).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value ?? '–'}</dd></div>`)}
</dl>`;

// The command that does, or shows, the same.
export function Command({ text }) {
  const [copied, set] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      set(true);
      setTimeout(() => set(false), 1_500);
    } catch {
      // Where the browser does not allow it the text can be marked by hand.
    }
  };
  return text && html`<div class="command"><code>${text}</code>
    <button type="button" class="quiet" onClick=${copy} aria-label="Copy the command">${copied ? 'copied' : 'copy'}</button></div>`;
}

// Parts of a whole, each with its state: [state, number].
export function Bar({ parts, whole, label }) {
  const some = parts.filter(([, number]) => number > 0);
  const style = (number) => ({ width: `${whole > 0 ? (100 * number) / whole : 0}%` });
  return html`<div class="bar" role="img" aria-label=${label}>
    ${some.map(([state, number]) => html`<span class="is-${state}" style=${style(number)} title=${`${count(number)} ${state}`}></span>`)}
  </div>`;
}

// The tab that an address names, or the first where it names none of them.
export const tabOf = (tabs, said) => (tabs.some(([tab]) => tab === said) ? said : tabs[0][0]);

export const Tabs = ({ tabs, chosen, name = 'tab' }) => html`<div class="tabs" role="tablist">
  ${tabs.map(([tab, text]) => html`<button type="button" role="tab" aria-selected=${tab === chosen ? 'true' : 'false'}
    onClick=${() => refine({ [name]: tab === tabs[0][0] ? '' : tab })}>${text}</button>`)}
</div>`;

