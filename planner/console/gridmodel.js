// The cells of a run as the API tells them, run-length coded, in typed arrays; and which of them a pixel shows. What
// it costs follows from how often neighbours differ and from the size of the picture, and not from how many cells
// there are. Pure.

// By what matters least first: where a pixel shows several cells, it shows the last of these.
export const RANKS = ['done', 'not_issued', 'cancelled', 'issued', 'given_up', 'retrying', 'dead'];
// Below so many pixels a cell may share a pixel with others.
const SHARP = 3;

// `from`: the first page of the window that was asked for.
export function decode(told, from = 0) {
  const groups = told.rows.length;
  const total = told.rows.reduce((sum, row) => sum + row.runs.length / 2, 0);
  const model = {
    slices: told.slices,
    pages: told.pages,
    known: told.all_known,
    slicesABlock: told.slices_a_block,
    pagesABlock: told.pages_a_block,
    first: new Uint32Array(groups),
    end: new Uint32Array(groups),
    begin: new Uint32Array(groups + 1),
    from,
    edge: new Float64Array(total),
    rank: new Uint8Array(total),
  };
  const rankOf = told.states.map((state) => RANKS.indexOf(state) + 1);
  let at = 0;
  told.rows.forEach((row, group) => {
    model.first[group] = row.first;
    model.end[group] = row.first + row.slices;
    let page = from;
    for (let place = 0; place < row.runs.length; place += 2) {
      page += row.runs[place + 1] * told.pages_a_block;
      model.edge[at] = page;
      model.rank[at] = rankOf[row.runs[place]];
      at += 1;
    }
    model.begin[group + 1] = at;
  });
  return model;
}

// The first place of [low, high) whose value is above `wanted`.
function above(values, wanted, low, high) {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] > wanted) high = middle;
    else low = middle + 1;
  }
  return low;
}

// The rank of a cell; 0 where there is none.
export function rankAt(model, slice, page) {
  const group = above(model.end, slice, 0, model.end.length);
  if (group === model.end.length || slice < model.first[group] || page < model.from) return 0;
  const last = model.begin[group + 1];
  const place = above(model.edge, page, model.begin[group], last);
  return place < last ? model.rank[place] : 0;
}

// Where the cells [from, to) lie on an axis of `size` pixels.
function pixels(from, to, origin, cell, size) {
  const [start, end] = [(from - origin) * cell, (to - origin) * cell];
  const [low, high] = cell >= SHARP ? [Math.round(start), Math.round(end)] : [Math.floor(start), Math.ceil(end)];
  return [Math.max(0, low), Math.min(size, high)];
}

function line(model, group, view, row) {
  row.fill(0);
  const last = model.begin[group + 1];
  let place = above(model.edge, view.page, model.begin[group], last);
  let page = place > model.begin[group] ? model.edge[place - 1] : model.from;
  for (; place < last; place += 1) {
    const [low, high] = pixels(page, model.edge[place], view.page, view.width, row.length);
    if (low >= row.length) return;
    page = model.edge[place];
    const rank = model.rank[place];
    // A single dead shard among thousands must be seen.
    const least = rank === RANKS.length ? Math.min(row.length, Math.max(high, low + SHARP)) : high;
    for (let x = low; x < least; x += 1) if (row[x] < rank) row[x] = rank;
  }
}

// Which rank each pixel of `columns` by `lines` shows. `view`: the slice and the page at the upper left, and width and
// height of a cell in pixels.
export function ranks(model, view, columns, lines, into) {
  into.fill(0);
  const row = new Uint8Array(columns);
  let group = above(model.end, view.slice, 0, model.end.length);
  for (; group < model.end.length; group += 1) {
    const [low, high] = pixels(model.first[group], model.end[group], view.slice, view.height, lines);
    if (low >= lines) return into;
    line(model, group, view, row);
    for (let y = low; y < high; y += 1) {
      const at = y * columns;
      for (let x = 0; x < columns; x += 1) if (into[at + x] < row[x]) into[at + x] = row[x];
    }
  }
  return into;
}
