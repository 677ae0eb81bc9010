// Search from everywhere: jobs, runs by their id, calendars, and all pages.

import { query } from './api.js';
import { useLive } from './live.js';
import { Trouble } from './parts.js';
import { go } from './router.js';
import { html, useEffect, useRef, useState } from './html.js';
import { jobOf } from './words.js';

const RUN = /^[a-z0-9-]+_[A-Za-z0-9_-]+$/;

function useSettled(text) {
  const [settled, settle] = useState('');
  useEffect(() => {
    const timer = setTimeout(() => settle(text), 150);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}

function found(text, pages, jobs, runs, calendars) {
  const lower = text.toLowerCase();
  const list = [];
  if (RUN.test(text)) list.push({ to: `/runs/${text}`, kind: 'run', name: text });
  pages.filter(([, name]) => name.toLowerCase().includes(lower)).forEach(([to, name]) => list.push({ to, kind: 'page', name }));
  jobs.forEach((job) => list.push({ to: `/jobs/${job.job}`, kind: 'job', name: job.job }));
  calendars.filter(({ calendar }) => calendar.toLowerCase().includes(lower)).slice(0, 8)
    .forEach(({ calendar }) => list.push({ to: `/calendars${query({ name: calendar })}`, kind: 'calendar', name: calendar }));
  runs.forEach((run) => list.push({ to: `/runs/${run.run}`, kind: `run, ${run.state}`, name: run.run }));
  return list.slice(0, 20);
}

export function Search({ pages, close }) {
  const dialog = useRef(null);
  const [typed, type] = useState('');
  const [place, move] = useState(0);
  const text = useSettled(typed.trim());
  const jobs = useLive(`/jobs${query({ name: text, limit: 8 })}`, { every: Infinity });
  const exact = jobs.data?.items.find((job) => job.job === text)?.job ?? (jobs.data?.items.length === 1 ? jobs.data.items[0].job : '');
  const runs = useLive(`/runs${query({ job: exact || (RUN.test(text) ? jobOf(text) : ''), limit: 8 })}`, { every: Infinity });
  const calendars = useLive('/calendars', { every: Infinity });
  useEffect(() => dialog.current.showModal(), []);
  const asked = [jobs, runs, calendars];
  const problem = asked.find((one) => one.problem)?.problem;
  const list = found(text, pages, jobs.data?.items || [], runs.data?.items || [], calendars.data?.items || []);
  const at = Math.min(place, list.length - 1);
  const open = (item) => {
    dialog.current.close();
    go(item.to);
  };
  // Whoever is faster than the answer means what they typed, and not what stands there of the text before.
  const ready = typed.trim() === text && asked.every((one) => one.data || one.problem);
  const [hurried, hurry] = useState(false);
  useEffect(() => {
    if (!hurried || !ready) return;
    hurry(false);
    if (list[at]) open(list[at]);
  }, [hurried, ready]);
  const keys = (event) => {
    if (event.key === 'ArrowDown') move(Math.min(list.length - 1, at + 1));
    else if (event.key === 'ArrowUp') move(Math.max(0, at - 1));
    else if (event.key === 'Enter') hurry(true);
    else return;
    event.preventDefault();
  };
  return html`<dialog class="search" ref=${dialog} aria-label="Search" onClose=${close}>
    <input type="search" role="combobox" aria-label="Search jobs, runs, calendars and pages" aria-expanded="true" aria-controls="found" aria-autocomplete="list"
      aria-activedescendant=${list[at] ? `found-${at}` : undefined} placeholder="A job, the id of a run, a calendar, a page…"
      value=${typed} onInput=${(event) => { type(event.target.value); move(0); hurry(false); }} onKeyDown=${keys} />
    <ul id="found" role="listbox" aria-label="Found">${list.map((item, number) => html`<li role="option" id=${`found-${number}`}
      aria-selected=${number === at ? 'true' : 'false'} onClick=${() => open(item)}><span class="id">${item.name}</span><span class="faint small">${item.kind}</span></li>`)}</ul>
    ${problem ? html`<${Trouble} problem=${problem} />`
      : list.length === 0 && html`<p class="faint">${asked.every((one) => one.data) ? 'Nothing is called so.' : 'Looking…'}</p>`}
  </dialog>`;
}
