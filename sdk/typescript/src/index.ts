/**
 * Handlers for Gridloom in TypeScript and JavaScript, and a client that starts runs.
 *
 * ```ts
 * import { Worker } from "gridloom";
 *
 * const worker = new Worker();
 * worker.handler("resize", async (shard) => {
 *   for (const key of keys(shard.params.bucket)) {
 *     if (shard.owns(key)) {
 *       shard.check();
 *       shard.rows();
 *     }
 *   }
 * });
 * await worker.run();
 * ```
 */

export { WorkerGone } from "./attach.js";
export { ApiError, Client, RunFailed, TimedOut, Unreachable } from "./client.js";
export type { Asking, ClientOptions, Receipt, Run, Submission, Waiting } from "./client.js";
export { Failure, Hold, Permanent, Retry, Stopped } from "./failure.js";
export type { Kind } from "./failure.js";
export type { Handler, Page, Pages } from "./handlers.js";
export type { Attempt, Key, Probe, Shard } from "./shard.js";
export { sliceOf } from "./slicing.js";
export { Worker } from "./worker.js";
export type { WorkerOptions } from "./worker.js";
