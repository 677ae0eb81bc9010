// How a view of a grid gets onto a canvas: one image a change, and signs on cells that are large enough for them.

import { RANKS, rankAt, ranks } from './gridmodel.js';

// From so many pixels on cells are told apart by a gap, and have their sign.
const GAP = 5;
const SIGN = 11;
const SIGNS = { issued: '▸', retrying: '↻', dead: '✕', given_up: '⊘', cancelled: '–' };

// Colours of ranks as the page's style says them: of `legend`, an element with one child a state.
export function palette(legend) {
  const of = (state) => {
    const child = legend.querySelector(`.sign.is-${state}`);
    const style = getComputedStyle(child);
    const numbers = (text) => text.match(/[\d.]+/g).map(Number);
    const [red, green, blue] = numbers(style.backgroundColor);
    return { pixel: (255 << 24) | (blue << 16) | (green << 8) | red, ink: style.color };
  };
  return RANKS.map(of);
}

export class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
  }

  size(columns, lines, ratio) {
    const [width, height] = [Math.round(columns * ratio), Math.round(lines * ratio)];
    if (this.image?.width === width && this.image?.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.canvas.style.width = `${columns}px`;
    this.canvas.style.height = `${lines}px`;
    this.image = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.ranks = new Uint8Array(width * height);
  }

  paint(model, view, { columns, lines }, colours) {
    const ratio = globalThis.devicePixelRatio || 1;
    this.size(columns, lines, ratio);
    const scaled = { ...view, width: view.width * ratio, height: view.height * ratio };
    ranks(model, scaled, this.image.width, this.image.height, this.ranks);
    this.colour(scaled, colours, ratio);
    this.context.putImageData(this.image, 0, 0);
    if (Math.min(view.width, view.height) >= SIGN) this.sign(model, scaled, colours);
  }

  colour(view, colours, ratio) {
    const { width, height } = this.image;
    const of = new Uint32Array([0, ...colours.map(({ pixel }) => pixel)]);
    const [gapX, gapY] = [gaps(view.page, view.width, width, ratio), gaps(view.slice, view.height, height, ratio)];
    for (let y = 0, at = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1, at += 1) {
        this.pixels[at] = gapX[x] | gapY[y] ? 0 : of[this.ranks[at]];
      }
    }
  }

  sign(model, view, colours) {
    const { width, height } = this.image;
    const context = this.context;
    context.font = `${Math.floor(Math.min(view.width, view.height) * 0.72)}px sans-serif`;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    const [lastSlice, lastPage] = [view.slice + height / view.height, view.page + width / view.width];
    for (let slice = Math.floor(view.slice); slice < lastSlice; slice += 1) {
      for (let page = Math.floor(view.page); page < lastPage; page += 1) {
        const rank = rankAt(model, slice, page);
        const sign = rank > 0 && SIGNS[RANKS[rank - 1]];
        if (!sign) continue;
        context.fillStyle = colours[rank - 1].ink;
        context.fillText(sign, (page + 0.5 - view.page) * view.width, (slice + 0.55 - view.slice) * view.height);
      }
    }
  }
}

// The pixels between cells, on an axis of `size`.
function gaps(origin, cell, size, ratio) {
  const found = new Uint8Array(size);
  if (cell < GAP * ratio) return found;
  const wide = Math.max(1, Math.round(ratio));
  for (let at = Math.floor(origin); (at - origin) * cell < size; at += 1) {
    const end = Math.round((at + 1 - origin) * cell);
    for (let pixel = end - wide; pixel < end; pixel += 1) if (pixel >= 0 && pixel < size) found[pixel] = 1;
  }
  return found;
}
