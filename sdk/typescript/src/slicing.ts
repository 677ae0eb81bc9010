/**
 * Which slice a key belongs to: a stable hash that SQL and every other language can repeat.
 *
 * docs/SLICING.md has it for databases and other languages, with test vectors.
 */

import { createHash } from "node:crypto";

/** Half of a surrogate pair: no text, and each side would write it differently. */
const HALF = /\p{Surrogate}/u;

/** The slice of `key` among `slices`. A whole number is hashed as its plain decimal digits. */
export function sliceOf(key: string | number | bigint, slices: number): number {
  return createHash("md5").update(textOf(key)).digest().readUInt32BE(0) % slices;
}

function textOf(key: unknown): string {
  switch (typeof key) {
    case "string":
      if (HALF.test(key)) {
        throw new TypeError("a key with half of a surrogate pair is no text");
      }
      return key;
    case "bigint":
      return key.toString();
    case "number":
      if (Number.isSafeInteger(key)) {
        return key.toString();
      }
      throw new TypeError(`the key ${key} is no whole number that a number holds exactly: take a bigint, or write it as text`);
    default:
      throw new TypeError(`a key is a text or a whole number, not ${key === null ? "null" : typeof key}: write it as text that all sides agree on`);
  }
}
