/** Frames as both sides have them: those of sdk/frames.json, and hostile ones. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { encode, FRAME_MAX, ProtocolError, read, Splitter, type Message } from "../dist/frames.js";
import { parse, stringify } from "../dist/json.js";

interface Golden {
  frame_max: number;
  frames: { name: string; message: Message; hex: string }[];
  broken: { name: string; hex: string }[];
}

const GOLDEN = parse(readFileSync(join(__dirname, "../../frames.json"), "utf8")) as Golden;

function messages(bytes: Buffer, splitter = new Splitter()): Message[] {
  return splitter.push(bytes).map(read);
}

for (const { name, message, hex } of GOLDEN.frames) {
  test(`golden frame is read as its message: ${name}`, () => {
    const bytes = Buffer.from(hex, "hex");
    assert.deepEqual(messages(Buffer.concat([bytes, bytes])), [message, message]);
  });

  test(`golden frame in pieces is the same: ${name}`, () => {
    const bytes = Buffer.from(hex, "hex");
    const splitter = new Splitter();
    const found = [...bytes, ...bytes].flatMap((byte) => messages(Buffer.from([byte]), splitter));
    assert.deepEqual(found, [message, message]);
  });

  test(`what is written is read as the same: ${name}`, () => {
    const written = encode(message);
    assert.equal(written.readUInt32BE(0), written.length - 4);
    assert.deepEqual(parse(written.subarray(4).toString()), message);
  });
}

for (const { name, hex } of GOLDEN.broken) {
  test(`broken frame is told as such: ${name}`, () => {
    assert.throws(() => messages(Buffer.from(hex, "hex")), ProtocolError);
  });
}

test("bounds are those of the page", () => {
  assert.equal(GOLDEN.frame_max, FRAME_MAX);
  assert.throws(() => encode({ type: "x", text: "x".repeat(FRAME_MAX) }), RangeError);
});

test("a length takes no room before its bytes are there", () => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(FRAME_MAX);
  const before = process.memoryUsage().arrayBuffers;
  const splitters = Array.from({ length: 20 }, () => new Splitter());
  splitters.forEach((splitter) => assert.deepEqual(splitter.push(Buffer.from(head)), []));
  assert.ok(process.memoryUsage().arrayBuffers - before < FRAME_MAX / 4);
});

test("a frame that was nested without end is broken", () => {
  const body = Buffer.from("[".repeat(200_000));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  assert.throws(() => messages(Buffer.concat([head, body])), ProtocolError);
});

test("half of a pair does not break the frame, and what looks like one stays", () => {
  const said = { type: "x", text: "a\ud800b", other: "\\ud800", pair: "😀" };
  const written = JSON.parse(encode(said).subarray(4).toString()) as Message;
  assert.deepEqual(written, { ...said, text: "a?b" });
});

test("whole numbers are exact up to 64 bits, and stay numbers where they can", () => {
  const text = '{"a":9007199254740991,"b":9007199254740993,"c":[-9223372036854775808,"9223372036854775807"],"d":12345678901234567.5,"e":1e300,"f":"\\"9007199254740993"}';
  const said = parse(text) as Record<string, unknown>;
  assert.deepEqual(said, {
    a: 9007199254740991,
    b: 9007199254740993n,
    c: [-9223372036854775808n, "9223372036854775807"],
    d: 12345678901234567.5,
    e: 1e300,
    f: '"9007199254740993',
  });
  assert.equal(stringify([9007199254740993n, -1n, "1n"]), '[9007199254740993,-1,"1n"]');
});
