// Who has worked on a run when: a lane for each worker, with what it committed above its line and what it failed below.

import { segment } from '../api.js';
import { useWidth } from '../grid.js';
import { useLive } from '../live.js';
import { Loaded, Panel, Table, Time } from '../parts.js';
import { State } from '../states.js';
import { html, useMemo, useRef, useState } from '../html.js';
import { count, moment, plural, span, utc } from '../words.js';

// Pixels above the line, of it, and below.
const [UP, LINE, DOWN] = [24, 3, 9];
const HEIGHT = UP + LINE + DOWN;
const LEAST = 2;

const named = ({ worker, session, sessions }) => worker || (session ? `session ${session.slice(0, 8)}` : plural(sessions, 'other'));

// Numbers that come in turn with their span, as one a span.
function spread(pairs, spans) {
  const all = new Array(spans).fill(0);
  for (let at = 0; at < pairs.length; at += 2) all[pairs[at]] = pairs[at + 1];
  return all;
}

// From which span to which something was out.
function stretches({ first, held }) {
  const found = [];
  let at = first;
  held.forEach((spans, place) => {
    if (place % 2 === 0 && spans > 0) found.push([at, at + spans]);
    at += spans;
  });
  return found;
}

function lane(share, spans) {
  const commits = new Array(spans).fill(0);
  share.commits.forEach((number, place) => {
    commits[share.first + place] = number;
  });
  const [failures, takeovers] = [share.failures, share.takeovers].map((pairs) => spread(pairs, spans));
  const out = stretches(share);
  return { ...share, name: named(share), commits, failures, takeovers, out, last: share.first + share.commits.length };
}

const most = (lanes, of) => Math.max(1, ...lanes.flatMap((each) => each[of]));

// Bars as one path: from `line` on, upwards or downwards, at most `room` high.
function bars(numbers, { step, scale, line, room }) {
  const bar = (number, place) => {
    if (!number) return '';
    const height = Math.max(LEAST, (room * number) / scale);
    const [x, width] = [place * step, Math.max(1, step - (step > 4 ? 1 : 0))];
    return `M${x.toFixed(1)} ${line}h${width.toFixed(1)}v${(line > UP ? height : -height).toFixed(1)}h${(-width).toFixed(1)}z`;
  };
  return numbers.map(bar).join('');
}

function Lane({ of, step, scales, width, silent }) {
  const line = of.out.map(([first, end]) => `M${(first * step).toFixed(1)} ${UP}H${(end * step).toFixed(1)}v${LINE}H${(first * step).toFixed(1)}z`).join('');
  const taken = of.takeovers.map((number, place) => number > 0 && html`<text x=${((place + 0.5) * step).toFixed(1)} y="9">⇄<title>${tookOver(number)}</title></text>`);
  const told = [`${count(of.done)} committed`, of.failed > 0 && `${count(of.failed)} failed`].filter(Boolean).join(', ');
  return html`<li class="lane">
    <div class="lane-name"><span class="id wrap">${of.name}</span>${silent && html` <${State} state="silent">silent<//>`}
      <span class="faint small block">${told}${of.taken_over > 0 && html`, <span class="took">⇄ ${tookOver(of.taken_over)}</span>`}</span></div>
    <svg width=${width} height=${HEIGHT} viewBox=${`0 0 ${width} ${HEIGHT}`} aria-hidden="true">
      <path class="lane-base" d=${`M0 ${UP + 1}H${width}v1H0z`} />
      <path class="lane-out" d=${line} />
      <path class="lane-done" d=${bars(of.commits, { step, scale: scales.done, line: UP, room: UP - 10 })} />
      <path class="lane-failed" d=${bars(of.failures, { step, scale: scales.failed, line: UP + LINE, room: DOWN })} />
      ${taken}</svg></li>`;
}

const tookOver = (number) => `took over ${plural(number, 'shard')}`;

// What one points at, in words.
function said(work, lanes, { place, at }) {
  const of = lanes[place];
  const begins = Date.parse(work.from) + at * work.span_ms;
  const done = [
    of.commits[at] > 0 && `${count(of.commits[at])} committed`,
    of.failures[at] > 0 && `${count(of.failures[at])} failed`,
    of.takeovers[at] > 0 && tookOver(of.takeovers[at]),
  ].filter(Boolean);
  const out = of.out.some(([first, end]) => at >= first && at < end);
  const words = done.length ? done.join(', ') : out ? 'told of nothing, and something was out that it told of later' : 'nothing';
  return html`<b>${of.name}</b>, ${span(work.span_ms / 1_000)} from ${moment(begins)} <span class="faint">(${utc(begins)})</span>: ${words}`;
}

const AHEAD = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function Lanes({ work, silent }) {
  const frame = useRef(null);
  const width = useWidth(frame);
  const [pointed, point] = useState(null);
  const lanes = useMemo(() => work.workers.map((share) => lane(share, work.spans)), [work]);
  const step = width / work.spans;
  const scales = useMemo(() => ({ done: most(lanes, 'commits'), failed: most(lanes, 'failures') }), [lanes]);
  const within = ({ place, at }) => ({ place: Math.max(0, Math.min(lanes.length - 1, place)), at: Math.max(0, Math.min(work.spans - 1, at)) });
  const seen = pointed && within(pointed);
  const onMove = (event) => {
    const row = event.target.closest('.lane');
    const box = frame.current.getBoundingClientRect();
    const x = event.clientX - box.left;
    if (!row || x < 0 || x >= box.width) return point(null);
    return point({ place: [...row.parentElement.children].indexOf(row), at: Math.floor(x / step) });
  };
  const onKey = (event) => {
    const by = AHEAD[event.key];
    if (!by) return;
    event.preventDefault();
    const from = seen || { place: 0, at: lanes[0].first - by[1] };
    point(within({ place: from.place + by[0], at: from.at + by[1] }));
  };
  const begin = Date.parse(work.from);
  return html`<div class="lanes">
    <p class="readout" aria-live="polite">${seen ? said(work, lanes, seen) : `each bar is ${span(work.span_ms / 1_000)}`}</p>
    <div class="lanes-all" tabindex="0" role="application" aria-roledescription="lanes" onKeyDown=${onKey}
      aria-label=${`What ${plural(lanes.length, 'worker')} did over time. Arrow keys move; the table below says the same.`}
      onPointerMove=${onMove} onPointerLeave=${() => point(null)}>
      <ul>${lanes.map((of) => html`<${Lane} key=${of.session ?? 'others'} of=${of} step=${step} scales=${scales} width=${width} silent=${silent.has(of.session)} />`)}</ul>
      <div class="lanes-frame" ref=${frame} aria-hidden="true">${seen && html`<i style=${{ left: `${seen.at * step}px`, width: `${Math.max(1, step)}px` }}></i>`}</div>
    </div>
    <div class="lanes-axis small faint"><${Time} at=${work.from} /><span><${Time} at=${new Date(begin + work.spans * work.span_ms).toISOString()} /></span></div>
    <p class="legend small faint"><span><i class="lane-key is-done"></i>committed, above the line</span><span><i class="lane-key is-dead"></i>failed, below it</span>
      <span><i class="lane-key is-issued"></i>something was out that it told of</span><span>⇄ took over what another may have held</span></p>
    <details><summary>The same as a table</summary>${asTable(work, lanes)}</details>
  </div>`;
}

function asTable(work, lanes) {
  const moment_ = (place) => new Date(Date.parse(work.from) + place * work.span_ms).toISOString();
  return html`<${Table} label="Workers of this run" items=${lanes} columns=${[
    ['Worker', (of) => html`<span class="id">${of.name}</span>`],
    ['Committed', (of) => count(of.done), 'number'],
    ['Failed', (of) => count(of.failed), 'number'],
    ['Taken over', (of) => count(of.taken_over), 'number'],
    ['First', (of) => html`<${Time} at=${moment_(of.first)} />`],
    ['Last told of something', (of) => html`<${Time} at=${moment_(of.last)} />`, 'grow'],
  ]} />`;
}

export function Work({ run }) {
  const open = run.state === 'running';
  const live = useLive(`/runs/${segment(run.run)}/workers`, { every: open ? 3_000 : 10_000 });
  const workers = useLive(open ? '/workers' : null, { every: 5_000 });
  const silent = new Set(workers.data?.items.filter((worker) => !worker.answers).map((worker) => worker.session));
  const aside = live.data?.workers.length > 0 && 'who said what when, as the ledger has it';
  return html`<${Panel} title="Workers over time" aside=${aside}>
    <${Loaded} live=${live}>${(work) => work.workers.length === 0
      ? html`<p class="faint">No worker has told anything of it so far.</p>`
      : html`<${Lanes} work=${work} silent=${silent} />`}<//><//>`;
}
