// Which part of a grid is seen, and how large its cells are. Pure.

const WIDE = 26;
const HIGH = 20;
const LINES = 460;

// What is seen of `model` on `width` pixels: everything, unless one has zoomed in. A window of it was told exactly.
export function fit(model, width) {
  const pages = Math.max(1, model.pages);
  const slices = Math.max(1, model.slices);
  const cell = { width: Math.min(WIDE, width / pages), height: Math.min(HIGH, LINES / slices) };
  return {
    columns: Math.max(1, Math.min(width, Math.ceil(pages * cell.width))),
    lines: Math.max(1, Math.min(LINES, Math.ceil(slices * cell.height))),
    cell,
    most: Math.max(1, WIDE / cell.width, HIGH / cell.height),
  };
}

// A view at `zoom` (1: all), whose upper left is at `slice` and `page`, within what there is.
export function seen(model, fitted, { zoom, slice, page }) {
  const scale = Math.min(Math.max(1, zoom), fitted.most);
  const width = Math.min(WIDE, fitted.cell.width * scale);
  const height = Math.min(HIGH, fitted.cell.height * scale);
  const within = (value, all, shown) => Math.max(0, Math.min(value, all - shown));
  return {
    zoom: scale,
    width,
    height,
    slice: within(slice, model.slices, fitted.lines / height),
    page: within(page, model.pages, fitted.columns / width),
  };
}

// The same point stays where it is, nearer or farther away.
export function zoomed(model, fitted, view, factor, x, y) {
  const [slice, page] = [view.slice + y / view.height, view.page + x / view.width];
  const next = seen(model, fitted, { ...view, zoom: view.zoom * factor });
  return seen(model, fitted, { ...next, slice: slice - y / next.height, page: page - x / next.width });
}

// The part that is to be told exactly, where the whole is told in blocks: by steps, so that a small move asks for
// nothing; none where that would be most of it.
export function part(model, fitted, view) {
  if (model.slicesABlock === 1 && model.pagesABlock === 1) return null;
  const [slices, pages] = [fitted.lines / view.height, fitted.columns / view.width];
  if (slices * pages > 400_000) return null;
  const step = (size) => 2 ** Math.ceil(Math.log2(Math.max(16, size / 2)));
  const range = (first, size, all) => {
    const by = step(size);
    return [Math.floor(first / by) * by, Math.min(all, Math.ceil((first + size) / by) * by) - 1];
  };
  const [first_slice, last_slice] = range(view.slice, slices, model.slices);
  const [first_page, last_page] = range(view.page, pages, model.pages);
  return { first_slice, last_slice, first_page, last_page };
}

// So that a cell is in sight.
export function showing(model, fitted, view, { slice, page }) {
  const into = (origin, at, shown) => Math.min(at, Math.max(origin, at + 1 - Math.floor(shown)));
  return seen(model, fitted, {
    ...view,
    slice: into(view.slice, slice, fitted.lines / view.height),
    page: into(view.page, page, fitted.columns / view.width),
  });
}
