// How something is ordered: a button; then a question that says what will be done and of how many, with the command
// that does the same; then what became of it. Whoever may not is told why beforehand.

import { ask, Problem, problemOf } from './api.js';
import { Written } from './json.js';
import { again } from './live.js';
import { Command, Trouble } from './parts.js';
import { createContext, html, useContext, useEffect, useRef, useState } from './html.js';

// Who asks, and what they may: `role`, `readOnly`.
export const Me = createContext({ role: 'viewer', readOnly: true });
const ROLES = ['viewer', 'operator', 'admin'];

export function hindrance(me, needs) {
  if (me.readOnly) return 'this planner changes nothing: it was started with --api-read-only';
  if (ROLES.indexOf(me.role) < ROLES.indexOf(needs)) return `this needs the role ${needs}, and yours is ${me.role}`;
  return null;
}

const INITIAL = { values: {}, counted: null, problem: null, busy: false, result: null };

// Names what one question orders: pressed again because an answer was lost, it is the same order. As long as the name of
// a backfill may be.
const drawn = () => [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

// `order(values, id)` is { method, path, body, headers }; `command(values, id)` what does the same, or nothing; `id` is the
// question's own. `count(values)`: what a dry run says, as a sentence, of those that `counts` names, or of all; `fields` are asked for: { name, label, hint,
// required, options, rows, value }.
export function Action({ label, title, needs = 'operator', danger = false, disabled = null, ...rest }) {
  const why = disabled || hindrance(useContext(Me), needs);
  return html`<button type="button" class=${danger ? 'danger' : ''} disabled=${Boolean(why)} title=${why || title}
      onClick=${() => put({ ...rest, label, title, danger, id: drawn() })}>${label}</button>`;
}

let put = () => {};

// Where the question of the button that was pressed stands: beside the page, so that it and its answer stay whatever the
// order, or a broker that does not answer, makes of what held the button.
export function Questions() {
  const [question, set] = useState(null);
  useEffect(() => {
    put = set;
  }, []);
  // It hears later that it was closed: by then another may stand there.
  const close = () => set((now) => (now?.id === question.id ? null : now));
  return question && html`<${Question} key=${question.id} ...${question} close=${close} />`;
}

function Question({ id, label, title, danger, says, fields = [], count, counts, order, command, done, close, goes }) {
  const given = Object.fromEntries(fields.map((field) => [field.name, field.value ?? '']));
  const [state, set] = useState({ ...INITIAL, values: given });
  const dialog = useRef(null);
  const change = (part) => set((before) => ({ ...before, ...part }));
  const { values, problem, busy, result } = state;
  // What is asked for comes first, and leaving it where nothing is; then what was pressed: it was not to be pressed meanwhile, and
  // whoever has no mouse would be nowhere.
  useEffect(() => {
    dialog.current.showModal();
    dialog.current.querySelector('input, select, textarea, .buttons button').focus();
  }, []);
  useEffect(() => {
    if (result || problem) dialog.current.querySelector('[type=submit]').focus();
  }, [result, problem]);
  // What was ordered cannot be taken back: who left meanwhile would not hear what became of it. What was pressed has lost its
  // focus by then, so a key is nobody's; and it counts from the press on, whenever that is painted.
  const ordered = useRef(false);
  useEffect(() => {
    const stay = (event) => ordered.current && event.key === 'Escape' && event.preventDefault();
    addEventListener('keydown', stay);
    return () => removeEventListener('keydown', stay);
  }, []);
  const counted = useCount(count, values, counts);
  const lacks = (count && counted.text === undefined) || fields.some((field) => field.required && !values[field.name]);
  const typed = command && !result && command(values, id);
  const submit = async (event) => {
    event.preventDefault();
    if (result) return dialog.current.close();
    ordered.current = true;
    change({ busy: true, problem: null });
    try {
      const { method, path, body, headers } = order(values, id);
      const { data } = await ask(method, path, { body, headers });
      ordered.current = false;
      change({ busy: false, result: done ? done(data, values) : 'Done.' });
      again();
      if (goes) goes(data);
    } catch (failed) {
      const refused = problemOf(failed);
      ordered.current = false;
      change({ busy: false, problem: refused });
      // It is not as it was counted, maybe.
      if (!refused.passes) counted.anew?.();
    }
  };
  const field = (of) => html`<${Field} field=${of} value=${values[of.name]}
    set=${(value) => change({ values: { ...values, [of.name]: value }, problem: null })} />`;
  return html`<dialog ref=${dialog} aria-label=${title} onClose=${close}><form onSubmit=${submit}>
    <h2>${title}</h2>
    ${says && html`<div class="says">${typeof says === 'function' ? says(values) : says}</div>`}
    ${!result && fields.map(field)}
    ${!result && count && (counted.problem ? html`<${Trouble} problem=${counted.problem} again=${counted.again} />`
      : html`<p class="counted" role="status">${counted.text ?? 'Counting…'}</p>`)}
    ${problem && html`<${Trouble} problem=${problem} />`}
    ${result && html`<div class="note is-fine" role="status">${result}</div>`}
    ${typed && html`<div class="same"><span>The same by the command line</span><${Command} text=${typed} /></div>`}
    <div class="buttons">
      ${!result && html`<button type="button" class="quiet" disabled=${busy} onClick=${() => dialog.current.close()}>Leave it</button>`}
      <button type="submit" class=${danger && !result ? 'danger strong' : 'strong'} disabled=${busy || (!result && lacks)}>
        ${result ? 'Close' : busy ? 'One moment…' : label}</button>
    </div>
  </form></dialog>`;
}

// What a dry run says of these values, after a moment without typing: `text`, or `problem` where it cannot be told; nothing until
// then. What is not counted is not ordered.
function useCount(count, values, counts) {
  const [said, say] = useState({});
  const [round, next] = useState(0);
  const key = JSON.stringify(counts ? counts.map((name) => values[name]) : values);
  useEffect(() => {
    if (!count) return undefined;
    let over = false;
    const timer = setTimeout(async () => {
      try {
        const text = await count(values);
        if (!over) say({ key, text });
      } catch (problem) {
        if (!over) say({ key, problem: problemOf(problem) });
      }
    }, 200);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [key, round]);
  // What was said stays until it is said anew; or nothing is.
  const anew = () => next(round + 1);
  const again = () => {
    say({});
    anew();
  };
  return said.key === key ? { ...said, again, anew } : {};
}

function Field({ field, value, set }) {
  const { name, label, hint, required, options, rows, type = 'text' } = field;
  const typed = (event) => set(event.target.value);
  let input = html`<input name=${name} type=${type} value=${value} placeholder=${hint} required=${required} onInput=${typed} autocomplete="off" />`;
  if (options) {
    input = html`<select name=${name} onChange=${typed}>
      ${options.map(([each, text]) => html`<option value=${each} selected=${each === value}>${text}</option>`)}</select>`;
  } else if (rows) {
    input = html`<textarea name=${name} rows=${rows} value=${value} placeholder=${hint} onInput=${typed} spellcheck=${false}></textarea>`;
  }
  return html`<label class="field"><span>${label}${required ? '' : html` <span class="faint">(may be left out)</span>`}</span>${input}</label>`;
}

// Text that should be JSON, as it is sent: as it was written. An empty one says nothing.
export function parsed(text, name) {
  if (!text.trim()) return undefined;
  try {
    JSON.parse(text);
    return new Written(text);
  } catch (fault) {
    throw new Problem({ title: 'Not JSON', detail: `${name}: ${fault.message}` });
  }
}
