/** A planner's HTTP API as far as the client asks it, with answers that a test lays ready. */

import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export type Json = Record<string, unknown>;

export function run(state: string, more: Json = {}): Json {
  const shards = { planned: 4, done: 4, dead: 0, outstanding: 0, late: 0, retried: 0, taken_over: 0 };
  return { run: "hello_r_1", job: "hello", queue: "default", state, grid: { slices: 2, shards: 4 }, shards, rows: 10, counters: { bytes: 3 }, ...more };
}

export function problem(kind: string, status: number, more: Json = {}): Laid {
  const body = { type: `urn:gridloom:${kind}`, title: "t", status, detail: `${kind} it is`, ...more };
  return { status, type: "application/problem+json", text: JSON.stringify(body) };
}

/** An answer that was laid ready. */
export interface Laid {
  status: number;
  type: string;
  text: string;
}

/** A request as it came. */
export interface Asked {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** Answers each path with what was laid ready for it, the last of it for ever. */
export class Api {
  readonly asked: Asked[] = [];
  readonly #ready = new Map<string, Laid[]>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, reply) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        const path = request.url ?? "";
        this.asked.push({ method: request.method ?? "", path, headers: request.headers, body: Buffer.concat(parts).toString() });
        const ready = this.#ready.get(path) ?? [{ status: 404, type: "application/problem+json", text: "{}" }];
        const { status, type, text } = (ready.length > 1 ? ready.shift() : ready[0]) as Laid;
        const redirects = status === 302;
        reply.writeHead(status, redirects ? { Location: text } : { "Content-Type": type }).end(redirects ? "" : text);
      });
    });
  }

  /** Plays with an API, and ends it. */
  static async play(test: (api: Api) => Promise<void>): Promise<void> {
    const api = new Api();
    await new Promise<void>((resolve) => api.#server.listen(0, "127.0.0.1", resolve));
    try {
      await test(api);
    } finally {
      api.#server.closeAllConnections();
      api.#server.close();
    }
  }

  get address(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What `/api/v1` + path is answered with, one after the other. */
  lay(path: string, ...answers: (Json | Laid)[]): void {
    const laid = answers.map((one) => ("text" in one ? (one as Laid) : { status: 200, type: "application/json", text: JSON.stringify(one) }));
    this.#ready.set("/api/v1" + path, laid);
  }
}
