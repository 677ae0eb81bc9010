/** JSON with whole numbers of 64 bits: a number where that is exact, else a bigint. */

import { randomBytes } from "node:crypto";

/** Stands before the digits of a bigint while it is text. Nobody's text begins like this: it is made by chance. */
const MARK = `gridloom-${randomBytes(16).toString("hex")}:`;
const MARKED = new RegExp(`"${MARK}(-?\\d+)"`, "g");
/** Whether there may be a whole number that is not exact: above 2^53, which has 16 digits and begins with a 9. */
const LARGE = /\d{17}|9\d{15}/;
const ESCAPED = /\\(?:u[0-9a-fA-F]{4}|.)/g;

/** What a text of JSON says. Whole numbers that no `number` holds exactly become a `bigint`. */
export function parse(text: string): unknown {
  const plain: unknown = JSON.parse(text);
  if (!LARGE.test(text)) {
    return plain;
  }
  const marked = mark(text);
  return marked === text ? plain : JSON.parse(marked, (_, value: unknown) => unmark(value));
}

function unmark(value: unknown): unknown {
  return typeof value === "string" && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value;
}

/** Writes whole numbers that are not exact as texts with a mark. The text is known to be JSON. */
function mark(text: string): string {
  const parts: string[] = [];
  let kept = 0;
  for (let at = 0; at < text.length; ) {
    const sign = text.charCodeAt(at);
    if (sign === 0x22) {
      at = behindText(text, at);
    } else if (isOfNumber(sign)) {
      let end = at + 1;
      while (isOfNumber(text.charCodeAt(end))) {
        end++;
      }
      const digits = text.slice(at, end);
      if (/^-?\d{16,}$/.test(digits) && !Number.isSafeInteger(Number(digits))) {
        parts.push(text.slice(kept, at), `"${MARK}${digits}"`);
        kept = end;
      }
      at = end;
    } else {
      at++;
    }
  }
  return parts.join("") + text.slice(kept);
}

/** Behind the text whose first quotation mark is at `at`. */
function behindText(text: string, at: number): number {
  let end = at + 1;
  while (text.charCodeAt(end) !== 0x22) {
    end += text.charCodeAt(end) === 0x5c ? 2 : 1;
  }
  return end + 1;
}

/** One of `+ - . 0-9 E e`. */
function isOfNumber(sign: number): boolean {
  return (sign >= 0x30 && sign <= 0x39) || sign === 0x2d || sign === 0x2e || sign === 0x2b || sign === 0x45 || sign === 0x65;
}

/** The text of a value, a bigint as its digits. What is no text (half of a surrogate pair) becomes a question mark. */
export function stringify(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError)) {
      throw error;
    }
    text = JSON.stringify(value, (_, one: unknown) => (typeof one === "bigint" ? MARK + one.toString() : one)).replace(MARKED, "$1");
  }
  if (text === undefined) {
    throw new TypeError(`${typeof value} is nothing that JSON can say`);
  }
  // The only escapes of this kind that JSON.stringify writes are halves of pairs.
  return text.includes("\\ud") ? text.replace(ESCAPED, (escape) => (escape.startsWith("\\ud") ? "?" : escape)) : text;
}
