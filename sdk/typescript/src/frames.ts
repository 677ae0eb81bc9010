/** Frames of the child protocol: 4 bytes of length, big endian, then one JSON object (docs/CHILD-PROTOCOL.md §2). */

import { parse, stringify } from "./json.js";

/** Most bytes of JSON in one frame, both ways. */
export const FRAME_MAX = 8 * 1024 * 1024;

/** The other side broke the protocol. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}

/** A message of the protocol. */
export interface Message {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** The frame of a message. */
export function encode(message: Message): Buffer {
  const text = stringify(message);
  const length = Buffer.byteLength(text);
  if (length > FRAME_MAX) {
    throw new RangeError(`a message of ${length} bytes, ${FRAME_MAX} are the most`);
  }
  const frame = Buffer.allocUnsafe(4 + length);
  frame.writeUInt32BE(length);
  frame.write(text, 4);
  return frame;
}

/** The message that a frame's text says. */
export function read(text: string): Message {
  let said: unknown;
  try {
    said = parse(text);
  } catch (error) {
    throw new ProtocolError(`a frame that is no JSON: ${(error as Error).message}`);
  }
  if (typeof said !== "object" || said === null || Array.isArray(said) || typeof (said as Message).type !== "string") {
    throw new ProtocolError("a frame that is no JSON object with a type");
  }
  return said as Message;
}

/** Finds the frames in bytes as they arrive. Room is taken for what has arrived, not for what a length says. */
export class Splitter {
  #parts: Buffer[] = [];
  #size = 0;
  #length: number | undefined;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  /** The texts of the frames that are whole now. */
  push(bytes: Buffer): string[] {
    this.#parts.push(bytes);
    this.#size += bytes.length;
    const texts: string[] = [];
    for (;;) {
      if (this.#length === undefined) {
        if (this.#size < 4) {
          return texts;
        }
        this.#length = lengthOf(this.#take(4));
      }
      if (this.#size < this.#length) {
        return texts;
      }
      texts.push(this.#text(this.#take(this.#length)));
      this.#length = undefined;
    }
  }

  #text(body: Buffer): string {
    try {
      return this.#decoder.decode(body);
    } catch {
      throw new ProtocolError("a frame that is no UTF-8");
    }
  }

  #take(length: number): Buffer {
    let first = this.#parts[0] ?? Buffer.alloc(0);
    if (first.length < length) {
      first = Buffer.concat(this.#parts);
      this.#parts = [first];
    }
    this.#size -= length;
    if (first.length === length) {
      this.#parts.shift();
    } else {
      this.#parts[0] = first.subarray(length);
    }
    return first.subarray(0, length);
  }
}

function lengthOf(head: Buffer): number {
  const length = head.readUInt32BE(0);
  if (length === 0 || length > FRAME_MAX) {
    throw new ProtocolError(`a frame of ${length} bytes, 1 to ${FRAME_MAX} are allowed`);
  }
  return length;
}
