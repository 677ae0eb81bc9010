// What was decided of a job's fires, and why; by days, and one by one; and of one time that somebody names.

import { ask, problemOf, query, segment } from '../api.js';
import { useLive } from '../live.js';
import { Ago, Command, Filter, Loaded, Nothing, Pager, Panel, RunLink, Table, Time, Trouble } from '../parts.js';
import { useRoute } from '../router.js';
import { State } from '../states.js';
import { html, useEffect, useState } from '../html.js';
import { command, plain, plural } from '../words.js';

const DECISIONS = ['opened', 'queued', 'skipped', 'cancelled_previous', 'expired', 'coalesced', 'paused', 'frozen', 'excluded', 'dropped', 'adopted', 'halted', 'ended'];
// How a decision looks: it has a run, it will, or it has none.
const LOOKS = { opened: 'done', adopted: 'done', cancelled_previous: 'done', queued: 'waiting', paused: 'paused', frozen: 'paused', excluded: 'cancelled', skipped: 'cancelled', ended: 'cancelled', coalesced: 'cancelled' };
const look = (decision) => LOOKS[decision] || 'trouble';

// So many days are shown, the last.
const DAYS = 42;

// The beginning of the day of a moment, or of one before it: where clocks are set, not each has 24 hours.
const dayOf = (time, before = 0) => new Date(time.getFullYear(), time.getMonth(), time.getDate() - before).getTime();

// The days that a decision is about, of those that are shown, the last first: several times may be answered for together.
function daysOf({ scheduled_at: first, last }) {
  const begin = dayOf(new Date(first));
  const days = [];
  for (let day = dayOf(new Date(last ?? first)); day >= begin && days.length < DAYS; day = dayOf(new Date(day), 1)) days.push(day);
  return days;
}

// What was decided on which day, the last first: how many times of each decision, or `null` where such stand on other days, too.
export function byDay(fires) {
  const days = new Map();
  for (const fire of fires.filter((each) => each.scheduled_at)) {
    const on = daysOf(fire);
    for (const day of on) {
      if (!days.has(day)) days.set(day, new Map());
      const of = days.get(day);
      const before = of.has(fire.decision) ? of.get(fire.decision) : 0;
      of.set(fire.decision, on.length > 1 || before === null ? null : before + fire.count);
    }
  }
  return [...days].sort(([one], [other]) => other - one).slice(0, DAYS);
}

// The days of what is shown, each with what was decided on it.
function Days({ fires }) {
  const days = byDay(fires);
  if (days.length < 2) return null;
  const said = (decision, number) => (number === null ? plain(decision) : `${number} ${plain(decision)}`);
  const words = (of) => [...of].map(([decision, number]) => said(decision, number)).join(', ');
  const name = (day) => new Date(day).toDateString();
  return html`<ol class="days" aria-label="Decisions by day">${days.reverse().map(([day, of]) => html`
    <li title=${`${name(day)}: ${words(of)}`}><span class="small faint">${name(day).slice(4, 10)}</span>
      ${[...of].map(([decision, number]) => html`<${State} state=${look(decision)}>${said(decision, number)}<//>`)}</li>`)}</ol>`;
}

export function Fires({ job }) {
  const { query: said } = useRoute();
  const { decision, after } = said;
  const live = useLive(`/jobs/${segment(job)}/fires${query({ decision, after, limit: 100 })}`);
  return html`<${Why} job=${job} />
    <div class="filters"><${Filter} name="decision" label="Decision" options=${DECISIONS.map((word) => [word, plain(word)])} /></div>
    <${Loaded} live=${live}>${({ items, unreadable }) => html`
      <${Days} fires=${items} />
      ${unreadable > 0 && html`<p class="bad">! ${plural(unreadable, 'record')} cannot be read by this build.</p>`}
      ${items.length === 0 ? html`<${Nothing} title="Nothing has been decided yet." filtered=${decision} like="No decision is like that." />` : html`<${Table} label="Decisions" items=${items} columns=${[
        ['Time', (fire) => (fire.scheduled_at ? html`<${Time} at=${fire.scheduled_at} />${fire.last && html` to <${Time} at=${fire.last} />`}` : fire.run ? 'by hand' : 'the schedule')],
        ['Decision', (fire) => html`<${State} state=${look(fire.decision)}>${plain(fire.decision)}<//>${fire.count > 1 && html` ×${fire.count}${fire.more && '+'}`}`],
        ['Why', (fire) => fire.why, 'grow'],
        ['Run', (fire) => (fire.run ? html`<${RunLink} run=${fire.run} job=${false} />` : '')],
        ['Decided', (fire) => html`<${Ago} at=${fire.decided_at} /> <span class="faint small">term ${fire.term}</span>`],
      ]} />`}
    `}<//>
    <${Pager} live=${live} />
    <${Command} text=${command(['job', 'fires', job], [['--decision', decision]])} />`;
}

// The time may stand in the address, as the API takes it; then it is asked for at once.
function Why({ job }) {
  const { query: said } = useRoute();
  const [time, set] = useState(said.time ?? '');
  const [told, tell] = useState({});
  useEffect(() => {
    if (said.time) look();
  }, []);
  const submit = (event) => {
    event.preventDefault();
    look();
  };
  const look = async () => {
    try {
      tell({ why: (await ask('GET', `/jobs/${segment(job)}/why${query({ time })}`)).data });
    } catch (problem) {
      tell({ problem: problemOf(problem) });
    }
  };
  return html`<${Panel} title="What became of one time, or will?">
    <form class="filters" onSubmit=${submit}>
      <label class="filter"><span>Time, by the clocks of its schedule</span>
        <input value=${time} placeholder="2026-03-01T02:00" onInput=${(event) => set(event.target.value)} required /></label>
      <button type="submit">Why?</button>
    </form>
    ${told.problem && html`<${Trouble} problem=${told.problem} />`}
    ${told.why && html`<div class="note" role="status"><p>${told.why.words}</p></div>`}
    ${time && html`<${Command} text=${command(['job', 'why', job, time])} />`}
  <//>`;
}
