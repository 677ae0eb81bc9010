// The proof of a run's coverage, made when somebody asks for it: it reads the whole ledger of the run.

import { ask, problemOf, segment } from '../api.js';
import { Command, Facts, Loading, Panel, Trouble } from '../parts.js';
import { Link } from '../router.js';
import { html, useState } from '../html.js';
import { command, count, plural } from '../words.js';

export function Audit({ run }) {
  const [state, set] = useState({});
  const prove = async () => {
    set({ busy: true });
    try {
      set({ report: (await ask('GET', `/runs/${segment(run)}/audit`)).data });
    } catch (problem) {
      set({ problem: problemOf(problem) });
    }
  };
  return html`<${Panel} title="Was every shard committed exactly once?">
    <p>The audit folds the raw ledger of the run, never a summary: each cell of the grid must have one outcome, none two
      that no takeover explains, and nothing may have come that was never asked for.</p>
    <p><button type="button" class="strong" onClick=${prove} disabled=${state.busy}>${state.report ? 'Audit again' : 'Audit now'}</button></p>
    ${state.busy && html`<${Loading} />`}
    ${state.problem && html`<${Trouble} problem=${state.problem} />`}
    ${state.report && html`<${Report} report=${state.report} />`}
    <${Command} text=${command(['audit', run])} />
  <//>`;
}

function verdict({ ok, ended, committed, planned, dead }) {
  if (!ok) return 'No: the ledger contradicts it.';
  if (!ended) return `So far, yes: ${count(committed)} of ${plural(planned, 'planned shard')} committed, and the run goes on.`;
  const without = dead ? ` ${plural(dead, 'dead shard')} ${dead === 1 ? 'has' : 'have'} no success.` : '';
  return `Yes: ${plural(committed, 'shard')} committed, each exactly once.${without}`;
}

function Report({ report }) {
  const open = report.ended === null || report.ended === undefined;
  const cells = (name, list, all) => list.length > 0 && html`<p><b>${name}:</b> ${list.slice(0, 50).map(({ slice, page }) => html`
    <${Link} to=${`/runs/${report.run}/shards/${slice}/${page}`}>${slice}/${page}<//> `)}${all > 50 && ` and ${count(all - 50)} more`}</p>`;
  return html`<div class=${`note ${report.ok ? 'is-fine' : 'is-trouble'}`} role="status"><strong>${report.ok ? '✓' : '✕'} ${verdict(report)}</strong></div>
    <${Facts} facts=${[
      ['Planned', count(report.planned)],
      ['Committed', count(report.committed)],
      ['Dead', count(report.dead)],
      report.cancelled > 0 && ['Cancelled', count(report.cancelled)],
      [open ? 'Without an outcome yet' : 'Lost', count(report.lost_cells)],
      ['Twice', count(report.twice_cells)],
      ['Unexpected', count(report.unexpected_cells + report.unexpected_records)],
      ['Repeated, and explained', count(report.repeated)],
      ['Takeovers', count(report.takeovers)],
    ]} />
    ${!open && cells('Lost', report.lost, report.lost_cells)}
    ${cells('Twice', report.twice, report.twice_cells)}
    ${cells('Unexpected', report.unexpected, report.unexpected_cells)}`;
}
