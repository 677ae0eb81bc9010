/** The other end of the thread that holds the connection: what it hears, and what it is to say. */

import { existsSync } from "node:fs";
import type { NetConnectOpts } from "node:net";
import { join } from "node:path";
import { MessageChannel, receiveMessageOnPort, Worker as Thread, type MessagePort } from "node:worker_threads";

import { ProtocolError, read, type Message } from "./frames.js";
import type { Outcome } from "./shard.js";

/** What the thread is told. */
export type Order =
  | { readonly order: "send"; readonly message: Message }
  | { readonly order: "answer"; readonly outcome: Outcome; readonly more: boolean }
  | { readonly order: "close" };

/** What it tells: the text of a frame, or how the connection stands. */
export type Heard =
  | string
  | { readonly listening: string }
  | { readonly connected: true }
  | { readonly attached: true }
  | { readonly gone: true; readonly fault: string | undefined }
  | { readonly closed: true };

/** Where the connection comes from. `kills`: the process ends with it, whatever a handler does. */
export type Way =
  | { readonly connect: NetConnectOpts; readonly listen?: undefined; readonly kills: boolean }
  | { readonly connect?: undefined; readonly listen: { readonly path: string | undefined; readonly token: string }; readonly kills: boolean };

/** What the thread is given at its start. */
export type Start = Way & {
  readonly port: MessagePort;
  /** How much it has told: one number that both sides see. */
  readonly count: Int32Array;
};

/** Who listens. */
export interface Ear {
  heard(message: Message): void;
  /** The connection is over; `fault`: why, where the other side broke the protocol. */
  gone(fault: string | undefined): void;
}

/** A connection that another thread holds. */
export class Line {
  ear: Ear | undefined;
  /** Where it listens, for those who are to connect. */
  address = "";
  /** Fulfilled when the worker has said that it is the one. */
  readonly attached: Promise<void>;
  readonly #port: MessagePort;
  readonly #thread: Thread;
  readonly #count = new Int32Array(new SharedArrayBuffer(4));
  readonly #closed: Promise<void>;
  readonly #opened: Promise<void>;
  #seen = 0;
  #isOpen = false;
  #isLost = false;
  #open!: (error?: Error) => void;
  #attach!: () => void;
  #close!: () => void;

  private constructor(way: Way) {
    this.attached = new Promise((resolve) => (this.#attach = resolve));
    this.#closed = new Promise((resolve) => (this.#close = resolve));
    this.#opened = new Promise((resolve, reject) => (this.#open = (error) => (error === undefined ? resolve() : reject(error))));
    const file = join(__dirname, "thread.js");
    if (!existsSync(file)) {
      throw new Error(`${file} is not there: a bundler has to leave the package gridloom out (as external)`);
    }
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const start: Start = { ...way, port: port2, count: this.#count };
    // Nothing of the program's flags, loaders and variables: it needs none, and starts sooner.
    this.#thread = new Thread(file, { workerData: start, transferList: [port2], execArgv: [], env: {} });
    this.#port.on("message", (word: Heard) => this.#hear(word));
    this.#thread.on("error", (error) => this.#lose(`the thread of the connection failed: ${error.message}`));
    this.#thread.on("exit", () => {
      this.#lose(undefined);
      this.#close();
    });
  }

  /** A connection that is there, or that is waited for. */
  static async open(way: Way): Promise<Line> {
    const line = new Line(way);
    try {
      await line.#opened;
    } catch (error) {
      await line.close();
      throw error;
    }
    return line;
  }

  /** Takes in what has come. For whoever computes, and does not let the event loop turn. */
  look(): void {
    const count = Atomics.load(this.#count, 0);
    if (count === this.#seen) {
      return;
    }
    this.#seen = count;
    for (;;) {
      const came = receiveMessageOnPort(this.#port) as { message: Heard } | undefined;
      if (came === undefined) {
        return;
      }
      this.#hear(came.message);
    }
  }

  /** Sends a message. Where nobody hears it any more nothing happens. */
  send(message: Message): void {
    this.#order({ order: "send", message });
  }

  /** Sends an outcome, with others where `more` of its tile follow soon. */
  answer(outcome: Outcome, more: boolean): void {
    this.#order({ order: "answer", outcome, more });
  }

  /** Ends the connection, once all that was said has gone out. */
  async close(): Promise<void> {
    this.#isLost = true;
    this.#order({ order: "close" });
    await this.#closed;
    this.#port.close();
    await this.#thread.terminate();
  }

  #order(order: Order): void {
    this.#port.postMessage(order);
  }

  #hear(word: Heard): void {
    if (typeof word === "string") {
      this.#take(word);
    } else if ("connected" in word || "listening" in word) {
      this.#isOpen = true;
      this.address = "listening" in word ? word.listening : "";
      this.#open();
    } else if ("attached" in word) {
      this.#attach();
    } else if ("gone" in word) {
      this.#lose(word.fault);
    } else {
      this.#close();
    }
  }

  #take(text: string): void {
    try {
      this.ear?.heard(read(text));
    } catch (error) {
      if (!(error instanceof ProtocolError)) {
        throw error;
      }
      this.#lose(error.message);
    }
  }

  #lose(fault: string | undefined): void {
    if (this.#isLost) {
      return;
    }
    this.#isLost = true;
    if (this.#isOpen) {
      this.ear?.gone(fault);
    } else {
      this.#open(new Error(fault ?? "the connection ended before it had begun"));
    }
  }
}
