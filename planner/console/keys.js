// Keys that work everywhere, and the list of them.

import { go } from './router.js';
import { html, useEffect, useRef } from './html.js';

// After g: where to.
export const PLACES = { o: '/', r: '/runs', j: '/jobs', d: '/dead', q: '/queues', w: '/workers', c: '/calendars', l: '/log', p: '/planners', u: '/unreadable', h: '/doctor' };

const LIST = [
  ['/', 'search'],
  ['?', 'this list'],
  ['g, then o r j d q w c l p u h', 'overview, runs, jobs, dead letters, queues, workers, calendars, log, planners, unreadable, doctor'],
  ['t', 'light or dark'],
  ['Esc', 'leave a question or this list'],
  ['in the grid: arrows, Shift+arrows', 'move by one shard, by ten'],
  ['in the grid: Enter', 'open the shard'],
  ['in the grid: + − 0', 'nearer, farther, all'],
];

// Also where a click beside a question has taken the focus from it: what stands in it would be gone.
const typing = (target) => document.querySelector('dialog[open]') || (target instanceof Element && target.closest('input, textarea, select, [contenteditable]'));

export function useKeys(does) {
  // When g was pressed: the page may be painted anew before the letter is.
  const led = useRef(0);
  useEffect(() => {
    const press = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
      const to = Date.now() - led.current < 1_500 && PLACES[event.key];
      led.current = 0;
      if (to) go(to);
      else if (event.key === 'g') led.current = Date.now();
      else if (does[event.key]) does[event.key]();
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  });
}

export function Keys({ close }) {
  const dialog = useRef(null);
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog ref=${dialog} aria-label="Keys" onClose=${close}><h2>Keys</h2>
    <dl class="keys">${LIST.map(([keys, what]) => html`<div><dt><kbd>${keys}</kbd></dt><dd>${what}</dd></div>`)}</dl>
    <div class="buttons"><button type="button" class="strong" onClick=${() => dialog.current.close()}>Close</button></div></dialog>`;
}
