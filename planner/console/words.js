// How numbers, moments and spans of time are said, and how a command is written. Pure, but for what the present is where nobody
// says it.

import { present } from './clock.js';
import { Written } from './json.js';

const COUNT = new Intl.NumberFormat('en-US');
const SMALL = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 });

export const count = (number) => (number === null || number === undefined ? '–' : COUNT.format(number instanceof Written ? number.text : number));
export const rough = (number) => (number >= 100 ? COUNT.format(Math.round(number)) : SMALL.format(number));
export const plural = (number, word, many = `${word}s`) => `${count(number)} ${number === 1 ? word : many}`;

const two = (number) => String(number).padStart(2, '0');

// In the zone of whoever reads, as 2026-11-29 14:03:05; without the day where that is today.
export function moment(at, now = new Date(present())) {
  const time = new Date(at);
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return time.toDateString() === now.toDateString() ? clock : `${day} ${clock}`;
}

export const utc = (at) => `${new Date(at).toISOString().replace('T', ' ').slice(0, 19)} UTC`;

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
];

// A span of time by its two largest units.
export function span(seconds) {
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1_000))} ms`;
  if (seconds < 10) return `${SMALL.format(seconds)} s`;
  let rest = Math.round(seconds);
  const said = [];
  for (const [unit, size] of UNITS) {
    const whole = Math.floor(rest / size);
    if (whole > 0 || said.length) said.push(whole > 0 ? `${whole} ${unit}` : '');
    rest -= whole * size;
    if (said.length === 2) break;
  }
  return said.filter(Boolean).join(' ');
}

// A span of time by its largest unit alone: for lists.
export function about(seconds) {
  const [unit, size] = UNITS.find(([, each]) => seconds >= each) || UNITS[3];
  return `${Math.floor(seconds / size)} ${unit}`;
}

export function ago(at, now = present()) {
  const seconds = (now - new Date(at).getTime()) / 1_000;
  if (Math.abs(seconds) < 1) return 'just now';
  return seconds > 0 ? `${about(seconds)} ago` : `in ${about(-seconds)}`;
}

// How long something took, or has been going on.
export function lasted(from, to, now = present()) {
  if (!from) return null;
  return Math.max(0, ((to ? new Date(to).getTime() : now) - new Date(from).getTime()) / 1_000);
}

// By how many seconds a run was opened after the time that it is for; nothing where that is no second.
export function lateness(run) {
  const late = run.scheduled_at && run.opened_at ? lasted(run.scheduled_at, run.opened_at) : 0;
  return late >= 1 ? late : 0;
}

const PLAIN = /^[A-Za-z0-9_./:=@%+,-]+$/;
// What a terminal takes for keys where somebody pastes it, whatever quotes stand around it: Ctrl-C, and what stands behind it is a
// command of its own. Errors come from anybody.
const KEYS = /[\u0000-\u001f\u007f-\u009f]/g;

const pressed = (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`;

// A word as a shell takes it. What has keys in it stands as bash, zsh and ksh write it.
export const quoted = (word) => {
  if (PLAIN.test(word)) return word;
  const text = String(word);
  if (text.search(KEYS) < 0) return `'${text.replaceAll("'", "'\\''")}'`;
  return `$'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replace(KEYS, pressed)}'`;
};

// A command of words and flags: `flags` are [name, value], and without a value left out. A value that looks like a flag
// is tied to its own. Nothing where no command can say it: no word has a zero in it.
export function command(words, flags = []) {
  const said = flags.flatMap(([name, value]) => {
    if (value === undefined || value === null || value === '' || value === false) return [];
    if (value === true) return [name];
    const text = String(value);
    return text.startsWith('-') ? [quoted(`${name}=${text}`)] : [name, quoted(text)];
  });
  if ([...words, ...flags.map(([, value]) => value)].some((word) => String(word).includes('\0'))) return null;
  return ['gridloom', ...words.map((word) => quoted(String(word))), ...said].join(' ');
}

const DAY = /^\d{4}-\d\d-(\d\d)(T.+)?$/;

// The moment that a word of an address names, as the API takes it: a day of whoever reads, from its beginning, or a time
// with its zone. null: it names none.
export function instant(text) {
  const [, day, clock] = DAY.exec(text) ?? [];
  if (!day) return null;
  const time = new Date(clock ? text : `${text}T00:00`);
  const isOne = !Number.isNaN(time.getTime()) && (clock || time.getDate() === Number(day));
  return isOne ? time.toISOString() : null;
}

// Dead shards and questions of a run that nobody gave up.
export const deadOf = ({ dead, dead_probes: questions = 0, given_up: given = 0 }) => Math.max(0, dead + questions - given);

// The beginning of an error, by which such are found: no sign of it is cut in two.
export const begin = (text) => [...text].slice(0, 200).join('');

// The name of a state, for people.
export const plain = (state) => state.replaceAll('_', ' ');

// The part of an id that tells runs of one job apart: names of jobs have no underscore.
export function short(run) {
  const own = run.slice(run.indexOf('_') + 1);
  return own.length > 20 ? `${own.slice(0, 10)}…` : own;
}

export const jobOf = (run) => run.slice(0, run.indexOf('_'));
