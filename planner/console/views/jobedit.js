// The definition of a job, and how it is changed: what would differ, and when it would fire then, before it is applied;
// and only where nobody else has changed it meanwhile.

import { hindrance, Me } from '../act.js';
import { ask, Problem, segment } from '../api.js';
import { read, write, Written } from '../json.js';
import { again as all } from '../live.js';
import { Command, Panel, Table, Time, Trouble } from '../parts.js';
import { html, useContext, useEffect, useState } from '../html.js';
import { moment, plural } from '../words.js';

const written = (definition) => write(definition, 2);
const shown = (value) => (value === undefined || value === null ? '–' : write(value));

// When it fires as it stands; nothing where it has no schedule, or that cannot be told.
async function firesNow({ job, definition }) {
  if (!definition.schedule) return [];
  try {
    const { data } = await ask('GET', `/jobs/${segment(job)}/next?count=5`);
    return data.items.map((fire) => fire.scheduled_at);
  } catch {
    return null;
  }
}

// The fires that are next, as they are and as they would be, side by side.
function Fires({ before, after }) {
  const has = (list, at) => list.some((other) => Date.parse(other) === Date.parse(at));
  const rows = Array.from({ length: Math.max(before.length, after.length) }, (_, place) => [before[place], after[place]]);
  if (rows.length === 0) return null;
  return html`<${Table} label="Fires before and after" items=${rows} columns=${[
    ['Fires now', ([at]) => (at ? html`<${Time} at=${at} />${!has(after, at) && html` <span class="bad">− goes</span>`}` : '–')],
    ['Would fire', ([, at]) => (at ? html`<${Time} at=${at} />${!has(before, at) && html` <b>+ new</b>`}` : '–'), 'grow'],
  ]} />`;
}

export function Edit({ job, again }) {
  const hindered = hindrance(useContext(Me), 'admin');
  const [text, type] = useState(null);
  const [told, tell] = useState({});
  const [base, rebase] = useState(job);
  useEffect(() => {
    if (text === null) rebase(job);
  }, [job, text]);
  const put = async (dry) => {
    tell({ busy: true });
    try {
      read(text);
      const headers = { 'if-match': `"${base.revision}"` };
      const { data } = await ask('PUT', `/jobs/${segment(base.job)}${dry ? '?dry_run=true' : ''}`, { body: new Written(text), headers, every: true });
      tell({ data, text, fires: dry && data.change !== 'unchanged' ? await firesNow(base) : null });
      if (dry) return;
      type(null);
      again();
      all();
    } catch (fault) {
      tell({ problem: fault instanceof Problem ? fault : new Problem({ title: 'Not JSON', detail: fault.message }) });
    }
  };
  const leave = () => {
    type(null);
    tell({});
  };
  if (!job.definition) return null;
  const edited = text !== null;
  // What was found out of another text says nothing of this one.
  const compared = told.data && told.text === text;
  return html`<${Panel} title="Definition" aside=${`revision ${base.revision}`}>
    ${edited ? html`<label class="field"><span class="faint small">What its file would say, as JSON</span>
        <textarea class="definition" rows="22" spellcheck=${false} value=${text} onInput=${(event) => { type(event.target.value); tell({}); }}></textarea></label>`
      : html`<pre class="definition" tabindex="0">${written(job.definition)}</pre>`}
    ${edited && job.revision !== base.revision && html`<div class="note is-trouble"><strong>Somebody has changed it meanwhile</strong>
      <p>Revision ${job.revision} stands there now. Leave this, and edit that one.</p></div>`}
    ${told.problem && html`<${Trouble} problem=${told.problem} />`}
    ${(compared || !edited) && told.data && html`<${Differences} data=${told.data} fires=${told.fires} />`}
    <div class="buttons">
      ${!edited && html`<button type="button" disabled=${Boolean(hindered)} title=${hindered} onClick=${() => { type(written(job.definition)); tell({}); }}>Edit</button>`}
      ${edited && html`<button type="button" class="quiet" onClick=${leave}>Leave it</button>
        <button type="button" disabled=${told.busy} onClick=${() => put(true)}>What would change?</button>
        <button type="button" class="strong" disabled=${told.busy || !compared} title=${compared ? '' : 'look at what would change first'} onClick=${() => put(false)}>Apply</button>`}
    </div>
    ${edited && html`<${Command} text=${`gridloom job apply --if-revision ${base.revision} ${base.job}.json`} />`}
  <//>`;
}

function Differences({ data, fires }) {
  if (data.change === 'unchanged') return html`<div class="note" role="status"><p>Nothing would change.</p></div>`;
  return html`<div class="note is-fine" role="status"><strong>${data.dry_run ? `${plural(data.changes.length, 'key')} would change` : `Applied: revision ${data.revision}`}</strong>
    ${data.fires && html`<p>It fires ${data.fires}${data.next.length > 0 ? `: next ${data.next.map((at) => moment(at)).join(', ')}` : ''}.</p>`}</div>
    ${fires && html`<${Fires} before=${fires} after=${data.next} />`}
    ${fires === null && data.dry_run && html`<p class="faint">When it fires as it stands cannot be told just now.</p>`}
    ${data.changes.length > 0 && html`<${Table} label="What differs" items=${data.changes} columns=${[
      ['Key', (change) => html`<code>${change.key}</code>`],
      ['Before', (change) => html`<code>${shown(change.before)}</code>`],
      ['After', (change) => html`<code>${shown(change.after)}</code>`, 'grow'],
    ]} />`}`;
}
