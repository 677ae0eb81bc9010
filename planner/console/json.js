// JSON as it was written. JavaScript has no room for each number that JSON can say: 9007199254740993 would become another one,
// in what is shown and in what is ordered, and 2.0 would become 2. What would is kept as its text. Pure.

// Stands for what is kept while the browser's own reader and writer are at work. Nobody knows it beforehand.
const MARK = `written-${crypto.getRandomValues(new Uint32Array(4)).join('-')}-`;
const MARKED = new RegExp(`"${MARK}(\\d+)"`, 'g');

// A piece of JSON.
export class Written {
  constructor(text) {
    this.text = text;
  }

  toString() {
    return this.text;
  }

  valueOf() {
    return Number(this.text);
  }
}

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;
// Of answers alone whole numbers are kept, and shorter ones have room: most answers have none such.
const LONG = /\d{16}/;

const isWhole = (number) => Number.isSafeInteger(Number(number)) || /[.eE]/.test(number);
const isAlike = (number) => String(Number(number)) === number;

// What a text says. `every`: of definitions and of what people write each number is kept that would be written in another way.
export function read(text, { every = false } = {}) {
  const plain = JSON.parse(text);
  if (!every && !LONG.test(text)) return plain;
  const fits = every ? isAlike : isWhole;
  const marked = text.replace(TOKEN, (token) => (token[0] === '"' || fits(token) ? token : `"${MARK}${token}"`));
  if (marked === text) return plain;
  return JSON.parse(marked, (_, value) => (typeof value === 'string' && value.startsWith(MARK) ? new Written(value.slice(MARK.length)) : value));
}

// A value as text: what was kept stands there as it was written.
export function write(value, indent) {
  const kept = [];
  const text = JSON.stringify(value, (_, each) => (each instanceof Written ? MARK + (kept.push(each.text) - 1) : each), indent);
  return text && text.replace(MARKED, (_, place) => kept[place]);
}
