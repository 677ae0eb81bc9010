// The grid of a run: slices down, pages across, on one canvas. What one points at is named at once, without anything
// being painted; keys do whatever the mouse does.

import { query, segment } from './api.js';
import { decode, rankAt, RANKS } from './gridmodel.js';
import { Painter, palette } from './gridpaint.js';
import { fit, part, seen, showing, zoomed } from './gridview.js';
import { useLive } from './live.js';
import { go } from './router.js';
import { Sign } from './states.js';
import { html, useEffect, useMemo, useRef, useState } from './html.js';
import { count, plain, plural } from './words.js';

const STEP = 1.5;
const FAR = 4;

export function useWidth(element) {
  const [width, set] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => set(Math.floor(entry.contentRect.width)));
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return width;
}

// Whatever has the page look otherwise: colours are read anew.
function useLook() {
  const [look, set] = useState(0);
  useEffect(() => {
    const changed = () => set((number) => number + 1);
    const media = matchMedia('(prefers-color-scheme: dark)');
    media.addEventListener('change', changed);
    addEventListener('gridloom-look', changed);
    return () => {
      media.removeEventListener('change', changed);
      removeEventListener('gridloom-look', changed);
    };
  }, []);
  return look;
}

// The exact cells of what is seen, where the whole is told in blocks.
function useDetail(run, model, fitted, view) {
  const wanted = part(model, fitted, view);
  const [settled, settle] = useState(null);
  const key = wanted ? query(wanted) : null;
  useEffect(() => {
    const timer = setTimeout(() => settle(key), 150);
    return () => clearTimeout(timer);
  }, [key]);
  const live = useLive(settled && settled === key ? `/runs/${segment(run)}/grid${settled}` : null);
  return useMemo(() => (live.data && wanted ? decode(live.data, wanted.first_page) : null), [live.data, key]);
}

export function Grid({ run, told, legend }) {
  const [canvas, frame, mark, readout] = [useRef(null), useRef(null), useRef(null), useRef(null)];
  const model = useMemo(() => decode(told), [told]);
  const width = useWidth(frame);
  const look = useLook();
  const fitted = useMemo(() => fit(model, width || 1), [model.pages, model.slices, width]);
  const [asked, ask] = useState({ zoom: 1, slice: 0, page: 0 });
  const view = seen(model, fitted, asked);
  const detail = useDetail(run, model, fitted, view);
  const shown = detail || model;
  const at = useRef({});
  const cursor = useRef({ slice: 0, page: 0 });
  // What was pointed at last: how it stands may change meanwhile.
  const pointed = useRef(null);
  at.current = { model, shown, fitted, view, ask, cursor, pointed, run, canvas, mark, readout };

  useEffect(() => {
    if (!width) return undefined;
    canvas.current.painter ||= new Painter(canvas.current);
    const colours = palette(legend.current);
    const request = requestAnimationFrame(() => canvas.current?.painter.paint(shown, view, fitted, colours));
    return () => cancelAnimationFrame(request);
  }, [shown, fitted, look, view.zoom, view.slice, view.page]);
  useEffect(() => point(at.current, pointed.current), [shown, fitted, view.zoom, view.slice, view.page]);
  useEffect(() => {
    const wheel = (event) => onWheel(event, at.current);
    canvas.current.addEventListener('wheel', wheel, { passive: false });
    return () => canvas.current?.removeEventListener('wheel', wheel);
  }, []);

  const by = (factor) => () => ask(zoomed(model, fitted, view, factor, fitted.columns / 2, fitted.lines / 2));
  const blocks = !detail && (model.pagesABlock > 1 || model.slicesABlock > 1);
  return html`<div class="grid" ref=${frame}>
    <div class="grid-bar">
      <span class="readout" ref=${readout} aria-live="polite"></span>
      ${fitted.most > 1.05 && html`<span class="zoom">
        <button type="button" onClick=${by(1 / STEP)} aria-label="Farther away" disabled=${view.zoom <= 1}>−</button>
        <button type="button" onClick=${by(STEP)} aria-label="Nearer" disabled=${view.zoom >= fitted.most}>+</button>
        <button type="button" onClick=${() => ask({ zoom: 1, slice: 0, page: 0 })} disabled=${view.zoom <= 1}>All</button>
      </span>`}
    </div>
    <div class="cells">
      <canvas ref=${canvas} tabindex="0" role="application" aria-roledescription="grid"
        aria-label=${`The grid: ${axes(model)}. Arrow keys move, Enter opens a shard, plus and minus zoom, 0 shows all.`}
        onPointerMove=${(event) => onMove(event, at.current)} onPointerLeave=${() => leave(at.current)}
        onPointerDown=${(event) => grab(event, at.current)} onKeyDown=${(event) => onKey(event, at.current)}></canvas>
      <div class="mark" ref=${mark} hidden></div>
    </div>
    ${blocks && html`<p class="faint small">Told in blocks of ${plural(model.slicesABlock, 'slice')} and ${plural(model.pagesABlock, 'page')}, each by
      what in it matters most; nearer, each shard is shown.</p>`}
  </div>`;
}

const axes = (model) => `${plural(model.slices, 'slice')} down, ${plural(model.pages, 'page')} across${model.known ? '' : ' so far'}`;

// The cell under a place of the canvas; none beside the grid.
function under({ model, view }, x, y) {
  const [slice, page] = [Math.floor(view.slice + y / view.height), Math.floor(view.page + x / view.width)];
  return slice >= 0 && page >= 0 && slice < model.slices && page < model.pages ? { slice, page } : null;
}

function point(now, cell) {
  const { view, shown, mark, readout, model } = now;
  now.pointed.current = cell;
  const rank = cell ? rankAt(shown, cell.slice, cell.page) : 0;
  const [element, words] = [mark.current, readout.current];
  if (!element || !words) return;
  element.hidden = !rank;
  const said = rank ? `slice ${count(cell.slice)}, page ${count(cell.page)}: ${plain(RANKS[rank - 1])}` : axes(model);
  // Whoever listens is told of what is new alone.
  if (words.textContent !== said) words.textContent = said;
  if (!rank) return;
  const [width, height] = [Math.max(4, view.width), Math.max(4, view.height)];
  element.style.transform = `translate(${(cell.page - view.page) * view.width - 1}px, ${(cell.slice - view.slice) * view.height - 1}px)`;
  element.style.width = `${width + 1}px`;
  element.style.height = `${height + 1}px`;
}

const leave = (now) => point(now, null);

function onMove(event, now) {
  if (event.buttons) return;
  point(now, under(now, event.offsetX, event.offsetY));
}

// A click opens a shard; whoever holds the button moves the picture.
function grab(event, now) {
  if (event.button !== 0) return;
  const { view, fitted, model, ask, run } = now;
  const from = { x: event.clientX, y: event.clientY };
  const cell = under(now, event.offsetX, event.offsetY);
  let moved = false;
  const move = (next) => {
    const [x, y] = [next.clientX - from.x, next.clientY - from.y];
    moved ||= Math.hypot(x, y) > FAR;
    if (moved) ask(seen(model, fitted, { ...view, slice: view.slice - y / view.height, page: view.page - x / view.width }));
  };
  const stop = () => {
    removeEventListener('pointermove', move);
    removeEventListener('pointerup', end);
    removeEventListener('pointercancel', stop);
  };
  const end = () => {
    stop();
    if (!moved && cell && rankAt(now.shown, cell.slice, cell.page)) open(run, cell);
  };
  addEventListener('pointermove', move);
  addEventListener('pointerup', end);
  addEventListener('pointercancel', stop);
}

const open = (run, { slice, page }) => go(`/runs/${segment(run)}/shards/${slice}/${page}`);

// The wheel zooms where there is something to see nearer, and moves the page otherwise.
function onWheel(event, now) {
  const { view, fitted, model, ask } = now;
  const nearer = event.deltaY < 0;
  if (fitted.most <= 1.05 || (nearer ? view.zoom >= fitted.most : view.zoom <= 1)) return;
  event.preventDefault();
  const factor = Math.exp(-Math.max(-100, Math.min(100, event.deltaY)) * 0.004);
  ask(zoomed(model, fitted, view, factor, event.offsetX, event.offsetY));
}

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function onKey(event, now) {
  const { view, fitted, model, ask, cursor, run } = now;
  const middle = [fitted.columns / 2, fitted.lines / 2];
  const zooms = { '+': STEP, '=': STEP, '-': 1 / STEP };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (MOVES[event.key]) {
    const by = event.shiftKey ? 10 : 1;
    const [down, right] = MOVES[event.key];
    const within = (value, all) => Math.max(0, Math.min(all - 1, value));
    const cell = cursor.current;
    cursor.current = { slice: within(cell.slice + down * by, model.slices), page: within(cell.page + right * by, model.pages) };
    const next = showing(model, fitted, view, cursor.current);
    ask(next);
    point({ ...now, view: next }, cursor.current);
  } else if (event.key === 'Enter') {
    open(run, cursor.current);
  } else if (zooms[event.key]) {
    ask(zoomed(model, fitted, view, zooms[event.key], ...middle));
  } else if (event.key === '0') {
    ask({ zoom: 1, slice: 0, page: 0 });
  } else {
    return;
  }
  event.preventDefault();
}

// What the colours and signs of the grid mean, and how many shards stand so. Leads to the shards in that state.
export const Legend = ({ states, counts, element, choose }) => html`<ul class="legend" ref=${element}>
  ${states.map((state) => html`<li><button type="button" class="quiet" onClick=${() => choose(state)}
    title=${`Show shards that are ${plain(state)}`}><${Sign} state=${state} />${plain(state)}
    ${counts[state] !== undefined && html`<b>${count(counts[state])}</b>`}</button></li>`)}
</ul>`;
