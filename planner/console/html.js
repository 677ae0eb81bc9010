// What everything on the page is made with. Names, notes, errors and bodies of messages come from anybody: what would be there
// without being seen, or turn the direction of what stands beside it, is written out, as the command writes it.

import { Written } from './json.js';
import { html as made } from './vendor/preact.js';

export * from './vendor/preact.js';

// Controls but tab and line feed, marks of direction, and what has no width.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}]/gu;

const out = (sign) => {
  const code = sign.codePointAt(0);
  return code < 0x80 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
};

export const seen = (text) => text.replace(UNSEEN, out);

// What somebody edits stays as it is.
const EDITED = /\bvalue=$/;

const hides = (value) => typeof value === 'string' && value.search(UNSEEN) >= 0;

// What hides nothing stays the very same: who compares it with the one before finds it unchanged.
function told(value) {
  if (value instanceof Written) return value.text;
  if (hides(value)) return seen(value);
  return Array.isArray(value) && value.some((each) => hides(each) || each instanceof Written) ? value.map(told) : value;
}

export const html = (parts, ...values) => made(parts, ...values.map((value, place) => (EDITED.test(parts[place]) ? value : told(value))));
