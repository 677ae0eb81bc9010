// Cells that have changed, put into a grid as it was told: both run-length coded. Pure.

// The runs of a row from `from` to `to`, cut out of it.
function cut(runs, from, to) {
  const found = [];
  let page = 0;
  for (let at = 0; at < runs.length && page < to; at += 2) {
    const end = page + runs[at + 1];
    const [low, high] = [Math.max(page, from), Math.min(end, to)];
    if (low < high) push(found, runs[at], high - low);
    page = end;
  }
  return found;
}

function push(runs, state, pages) {
  if (pages <= 0) return;
  if (runs.length && runs[runs.length - 2] === state) runs[runs.length - 1] += pages;
  else runs.push(state, pages);
}

const pagesOf = (runs) => runs.reduce((sum, number, at) => (at % 2 ? sum + number : sum), 0);

// A row as it is after a change: what lies before and behind the told pages is as it was.
function changed(runs, change, blank) {
  const told = pagesOf(change.runs);
  const parts = [cut(runs, 0, change.page)];
  const before = pagesOf(parts[0]);
  if (before < change.page) parts.push([blank, change.page - before]);
  parts.push(change.runs, cut(runs, change.page + told, change.pages));
  const all = [];
  for (const part of parts) for (let at = 0; at < part.length; at += 2) push(all, part[at], part[at + 1]);
  push(all, blank, change.pages - pagesOf(all));
  return cut(all, 0, change.pages);
}

function overlay(rows, change, blank) {
  const [first, end] = [change.first, change.first + change.slices];
  const next = [];
  let covered = first;
  const put = (from, to, runs) => from < to && next.push({ first: from, slices: to - from, runs });
  for (const row of rows) {
    const last = row.first + row.slices;
    put(row.first, Math.min(last, first), row.runs);
    const [low, high] = [Math.max(row.first, first), Math.min(last, end)];
    if (low < high) {
      put(covered, low, changed([], change, blank));
      put(low, high, changed(row.runs, change, blank));
      covered = high;
    }
    put(Math.max(row.first, end), last, row.runs);
  }
  put(covered, end, changed([], change, blank));
  return next.sort((a, b) => a.first - b.first);
}

// The grid after a change; null where it has to be asked for anew: it is told in blocks, or too much has changed.
export function applied(grid, cells) {
  if (!cells.rows || grid.slices_a_block > 1 || grid.pages_a_block > 1) return null;
  const blank = grid.states.indexOf('not_issued');
  const rows = cells.rows.reduce((all, change) => overlay(all, change, blank), grid.rows);
  return { ...grid, slices: cells.slices, pages: cells.pages, all_known: cells.all_known, rows };
}
