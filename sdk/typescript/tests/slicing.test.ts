/** Keys have the slices that docs/SLICING.md says. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { sliceOf } from "../dist/index.js";

const PAGE = join(__dirname, "../../../docs/SLICING.md");

function vectors(): [string, number, number, number][] {
  const rows = readFileSync(PAGE, "utf8").split("\n").filter((line) => line.startsWith("| `"));
  return rows.map((row) => {
    const [, key = "", hash = "", of7, of65536] = row.split("|").map((cell) => cell.trim().replace(/^`|`$/g, ""));
    return [JSON.parse(key) as string, parseInt(hash, 16), Number(of7), Number(of65536)];
  });
}

test("vectors of the page are ours", () => {
  assert.ok(vectors().length >= 8);
  for (const [key, hash, of7, of65536] of vectors()) {
    assert.equal(sliceOf(key, 7), of7, key);
    assert.equal(sliceOf(key, 65_536), of65536, key);
    assert.equal(sliceOf(key, 2 ** 32 - 1), hash % (2 ** 32 - 1), key);
  }
});

test("a whole number is hashed as its digits", () => {
  assert.equal(sliceOf(-42, 65_536), sliceOf("-42", 65_536));
  assert.equal(sliceOf(9007199254740993n, 65_536), sliceOf("9007199254740993", 65_536));
  assert.equal(sliceOf(-0, 65_536), sliceOf("0", 65_536));
});

test("a key that sides could write differently is refused", () => {
  for (const key of [1.5, 2 ** 53, NaN, null, true, undefined, Buffer.from("a"), "a\ud800"]) {
    assert.throws(() => sliceOf(key as string, 7), TypeError, String(key));
  }
});
