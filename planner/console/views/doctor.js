// What is wrong, and what to do about it: the lines of `gridloom doctor`, as this planner finds them. They are asked for
// when the page is opened and when somebody wants it: an examination is not made again and again for a page left open.

import { ask, onAnswers, problemOf } from '../api.js';
import { Ago, Command, Empty, Head, Loaded, Panel } from '../parts.js';
import { State } from '../states.js';
import { html, useEffect, useRef, useState } from '../html.js';
import { command, count, plural, span } from '../words.js';

const LOOKS = { bad: 'trouble', note: 'note', ok: 'fine' };
const WORDS = { bad: 'bad', note: 'to know', ok: 'fine' };

// What stands there is kept while it is looked again, and where that cannot be done.
function useExamined() {
  const [state, set] = useState({ busy: true, data: undefined, problem: null });
  const failed = useRef(false);
  const again = async () => {
    set((before) => ({ ...before, busy: true }));
    try {
      const { data } = await ask('GET', '/doctor');
      failed.current = false;
      set({ busy: false, data, problem: null });
    } catch (problem) {
      failed.current = true;
      set((before) => ({ ...before, busy: false, problem: problemOf(problem) }));
    }
  };
  useEffect(() => {
    again();
    // The planner answers again: so does this.
    return onAnswers((answers) => answers === true && failed.current && again());
  }, []);
  return { ...state, again };
}

const Line = ({ line }) => html`<li><${State} state=${LOOKS[line.result]}>${WORDS[line.result]}<//>
  <div><p><b>${line.check}</b> ${line.found}</p>
    ${line.advice && html`<p><span class="faint">What to do:</span> ${line.advice}</p>`}
    ${line.key && html`<p class="faint small">More in docs/OPERATIONS.md, under <code>${line.key}</code></p>`}</div></li>`;

const Lines = ({ title, lines }) => lines.length > 0 && html`<${Panel} title=${title} aside=${plural(lines.length, 'line')}>
  <ul class="examined">${lines.map((line) => html`<${Line} line=${line} />`)}</ul><//>`;

function Found({ examined, busy }) {
  const of = (result) => examined.items.filter((line) => line.result === result);
  const counted = ['bad', 'note', 'ok'].map((result) => `${count(of(result).length)} ${WORDS[result]}`).join(', ');
  return html`<p class="faint">Planner ${examined.planner} looked <${Ago} at=${examined.at} />, for ${span(examined.took_ms / 1_000)}: <span role="status">${busy ? 'looking again…' : counted}</span></p>
    ${of('bad').length === 0 && html`<${Empty} title="✓ Nothing is bad." />`}
    <${Lines} title="Bad" lines=${of('bad')} />
    <${Lines} title="Somebody should know" lines=${of('note')} />
    <${Lines} title="As it should be" lines=${of('ok')} />`;
}

export function Doctor() {
  const live = useExamined();
  const { busy, data, problem, again } = live;
  return html`<${Head} title="Doctor" sub="Is everything there, and what is to be done where it is not? A look takes a second or two.">
      <button type="button" disabled=${busy} onClick=${again}>${busy ? 'Looking…' : 'Examine again'}</button><//>
    ${busy && !data && !problem && html`<p class="faint">The broker, the planners and the workers are asked…</p>`}
    <${Loaded} live=${live}>${(examined) => html`<${Found} examined=${examined} busy=${busy} />`}<//>
    <${Command} text=${command(['doctor'])} />`;
}
