// How states look: each has a sign and a word besides its colour, on the page and in the grid alike.

import { html } from './html.js';
import { plain } from './words.js';

const SIGNS = {
  running: '▸',
  succeeded: '✓',
  failed: '✕',
  cancelled: '–',
  waiting: '…',
  not_issued: '·',
  issued: '▸',
  retrying: '↻',
  done: '✓',
  dead: '✕',
  given_up: '⊘',
  paused: '‖',
  fine: '✓',
  trouble: '!',
  note: 'i',
  silent: '?',
};

// The states of shards in the order in which they are told.
export const SHARD_STATES = ['done', 'issued', 'retrying', 'not_issued', 'dead', 'given_up', 'cancelled'];
export const RUN_STATES = ['running', 'succeeded', 'failed', 'cancelled'];

export const Sign = ({ state }) => html`<span class="sign is-${state}" aria-hidden="true">${SIGNS[state] || '·'}</span>`;

export const State = ({ state, children }) =>
  html`<span class="state is-${state}"><${Sign} state=${state} />${children || plain(state)}</span>`;

// A run as one box of a strip.
export const Box = ({ state, title, href }) =>
  html`<a class="box is-${state}" href=${href} title=${title} aria-label=${title}>${SIGNS[state] || '·'}</a>`;
