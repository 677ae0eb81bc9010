/** One request over HTTP, as far as the client needs it: no redirects, and an end whatever happens. */

import { request as plain, type IncomingMessage, type RequestOptions } from "node:http";
import { request as secure } from "node:https";
import { rootCertificates } from "node:tls";

/** What is asked. */
export interface Question {
  readonly base: URL;
  readonly path: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  readonly timeoutMs: number;
  /** Who vouches for the server, beside those that Node knows. */
  readonly ca: string | Buffer | undefined;
}

/** What is answered. */
export interface Reply {
  readonly status: number;
  /** The media type, without what stands behind it. */
  readonly type: string;
  readonly text: string;
}

/** Asks once. Rejects where there is no answer in time. */
export function ask({ base, path, method, headers, body, timeoutMs, ca }: Question): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const options: RequestOptions & { ca?: (string | Buffer)[] } = {
      // Without the brackets of an address of IPv6.
      hostname: base.hostname.replace(/^\[(.*)\]$/, "$1"),
      port: base.port === "" ? undefined : base.port,
      path,
      method,
      headers: body === undefined ? headers : { ...headers, "Content-Length": String(Buffer.byteLength(body)) },
      ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }),
    };
    const asked = (base.protocol === "https:" ? secure : plain)(options, (answer) => {
      read(answer).then(resolve, reject).finally(() => clearTimeout(late));
    });
    const late = setTimeout(() => asked.destroy(new Error(`no answer within ${Math.ceil(timeoutMs)} ms`)), timeoutMs);
    asked.on("error", (error) => {
      clearTimeout(late);
      reject(error);
    });
    asked.end(body);
  });
}

async function read(answer: IncomingMessage): Promise<Reply> {
  const parts: Buffer[] = [];
  for await (const part of answer) {
    parts.push(part as Buffer);
  }
  const type = (answer.headers["content-type"] ?? "").split(";")[0] ?? "";
  return { status: answer.statusCode ?? 0, type: type.trim().toLowerCase(), text: Buffer.concat(parts).toString() };
}
