/**
 * Which answers to a probe can be believed, and how much of one fits.
 *
 * A row whose key lies in two pages is done twice, and no audit of shards would show it: pages that share a key are
 * refused, whatever their type.
 */

import { Permanent } from "./failure.js";
import type { Page, Pages } from "./handlers.js";
import type { Key, Probe } from "./shard.js";

/** Most bytes of a key that is a text. */
const KEY_MAX = 256;
const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/** Takes pages one by one, until no more fit. */
export class Answer {
  readonly pages: [Key, Key][] = [];
  /** Where the next probe goes on; not there: the slice is known to its end. */
  cursor: Key | undefined;
  readonly #probe: Probe;
  #room: number;
  readonly #texts = new Set<Key>();

  constructor(probe: Probe) {
    this.#probe = probe;
    this.#room = probe.room;
  }

  /** Asks a function, or a generator, for pages as far as they fit. */
  async fill(pages: Pages): Promise<void> {
    const found: unknown = await pages(this.#probe);
    if (isAsync(found)) {
      for await (const page of found) {
        if (!this.#goesOn(page)) {
          return;
        }
      }
    } else if (isSync(found)) {
      for (const page of found) {
        if (!this.#goesOn(page)) {
          return;
        }
      }
    } else {
      throw new Permanent("pages are a list of [first, last], or a generator that yields them");
    }
  }

  #goesOn(page: unknown): boolean {
    this.#probe.check();
    return this.take(page);
  }

  /** Whether the page was taken. Where not, the rest is for the next probe, which goes on behind the last one. */
  take(page: unknown): boolean {
    if (!Array.isArray(page) || page.length !== 2) {
      throw new Permanent("a page is a list of its first and its last key");
    }
    const keys: [Key, Key] = [key(page[0]), key(page[1])];
    const cost = 1 + costOf(keys[0]) + costOf(keys[1]);
    const last = this.pages.at(-1);
    if (last !== undefined && (cost > this.#room || this.pages.length >= this.#probe.pagesMax)) {
      this.cursor = last[1];
      return false;
    }
    if (cost > this.#room) {
      throw new Permanent(`a page whose keys take ${cost} bytes, ${this.#room} are the most`);
    }
    this.#check(keys, last === undefined ? this.#probe.after : last[1]);
    this.#room -= cost;
    this.pages.push(keys);
    return true;
  }

  #check([first, last]: Page, before: Key | undefined): void {
    const number = this.pages.length + 1;
    if (isText(first) !== isText(last) || (before !== undefined && isText(before) !== isText(first))) {
      throw new Permanent(`page ${number} with whole numbers for keys beside texts: take one type`);
    }
    if (isText(first) ? this.#comesTwice(first, last, before) : meets(number, first, last as Whole, before as Whole | undefined)) {
      const unique = "the key of pages must be unique: take one that is, such as the primary key";
      throw new Permanent(`page ${number} shares a key with a page before it, whose row would be done twice: ${unique}`);
    }
  }

  /** How texts are ordered only their database knows, but one that comes twice is in two pages in every order. */
  #comesTwice(first: Key, last: Key, before: Key | undefined): boolean {
    const again = first === before || this.#texts.has(first) || this.#texts.has(last);
    this.#texts.add(first).add(last);
    return again;
  }
}

type Whole = number | bigint;

/** Whether a page begins with the key that the one before it ends with. A number and a bigint are compared by what they say. */
function meets(number: number, first: Whole, last: Whole, before: Whole | undefined): boolean {
  if (before !== undefined && first < before) {
    throw new Permanent(`page ${number} begins before the page before it ends: pages must be in order`);
  }
  if (first > last) {
    throw new Permanent(`page ${number} ends before it begins`);
  }
  return before !== undefined && first <= before;
}

function isAsync(found: unknown): found is AsyncIterable<unknown> {
  return typeof found === "object" && found !== null && Symbol.asyncIterator in found;
}

function isSync(found: unknown): found is Iterable<unknown> {
  return typeof found === "object" && found !== null && Symbol.iterator in found;
}

function isText(key: Key): key is string {
  return typeof key === "string";
}

function key(said: unknown): Key {
  if (typeof said === "string") {
    const size = Buffer.byteLength(said);
    if (size > KEY_MAX || /\p{Surrogate}/u.test(said)) {
      throw new Permanent(size > KEY_MAX ? `a key of ${size} bytes, ${KEY_MAX} are the most` : "a key with half of a surrogate pair is no text");
    }
    return said;
  }
  if (typeof said === "bigint") {
    if (said > INT64_MAX || said < INT64_MIN) {
      throw new Permanent(`the key ${said} goes beyond 64 bits: write it as text`);
    }
    return said;
  }
  if (typeof said === "number" && Number.isInteger(said)) {
    if (!Number.isSafeInteger(said)) {
      throw new Permanent(`the key ${said} is larger than a number holds exactly: take a bigint`);
    }
    return said;
  }
  throw new Permanent(`a key is a whole number or a text, not ${typeof said === "number" ? said : typeof said}: write String(...) around it`);
}

function costOf(key: Key): number {
  return isText(key) ? Buffer.byteLength(key) + 5 : 9;
}
