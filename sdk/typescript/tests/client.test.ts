/** The client, against an API that answers as docs/API.md says. */

import assert from "node:assert/strict";
import { createServer, type AddressInfo } from "node:net";
import { test } from "node:test";

import { ApiError, Client, RunFailed, TimedOut, Unreachable } from "../dist/index.js";
import { Api, problem, run } from "./api.js";

for (const name of ["GRIDLOOM_API", "GRIDLOOM_TOKEN"]) {
  delete process.env[name];
}

const receipt = { run: "hello_r_1", job: "hello", id: "x", sequence: 7 };

test("a submission carries its id and what is put over the job", () =>
  Api.play(async (api) => {
    api.lay("/jobs/hello/runs", { ...receipt, id: "monday", answer: "opened" });
    const client = new Client({ api: api.address, token: "glt_x" });
    const found = await client.submit("hello", { id: "monday", params: { day: "é", big: 2n ** 60n }, overlap: "skip", traceparent: "00-a-b-01" });
    assert.deepEqual([found.run, found.id, found.answer], ["hello_r_1", "monday", "opened"]);
    const [asked] = api.asked;
    assert.equal(asked?.method, "POST");
    assert.equal(asked.body, '{"params":{"day":"é","big":1152921504606846976},"overlap":"skip"}');
    const { headers } = asked;
    assert.deepEqual([headers["idempotency-key"], headers.authorization, headers["traceparent"]], ["monday", "Bearer glt_x", "00-a-b-01"]);
    assert.equal(headers["content-type"], "application/json");
  }));

test("an id that no header may have is said in the body", () =>
  Api.play(async (api) => {
    for (const id of ["Zürich", "订单 1", "two\nlines", " at the edge", ""]) {
      api.lay("/jobs/hello/runs", { ...receipt, id });
      assert.equal((await new Client({ api: api.address, timeoutMs: 5_000 }).submit("hello", { id, traceparent: "a\nb" })).id, id);
      const asked = api.asked.at(-1);
      assert.equal(asked?.body, JSON.stringify({ id }));
      assert.deepEqual([asked.headers["idempotency-key"], asked.headers["traceparent"]], [undefined, undefined]);
    }
  }));

test("a request that is repeated has the same id, though none was said", () =>
  Api.play(async (api) => {
    api.lay("/jobs/hello/runs", problem("unknown", 503), { status: 502, type: "text/html", text: "<p>bad gateway" }, receipt);
    assert.equal((await new Client({ api: api.address }).submit("hello")).answer, undefined);
    const ids = new Set(api.asked.map((asked) => asked.headers["idempotency-key"]));
    assert.deepEqual([api.asked.length, ids.size], [3, 1]);
  }));

test("a refusal is told with its faults, and not repeated", () =>
  Api.play(async (api) => {
    api.lay("/jobs/hello/runs", problem("refused", 422, { faults: ["grid.slices: 0"] }));
    await assert.rejects(new Client({ api: api.address }).submit("hello", { grid: { slices: 0 } }), (error: unknown) => {
      assert.ok(error instanceof ApiError);
      assert.deepEqual([error.type, error.status, error.faults], ["refused", 422, ["grid.slices: 0"]]);
      assert.equal(error.message, "refused it is; grid.slices: 0");
      return true;
    });
    assert.equal(api.asked.length, 1);
  }));

test("a wait ends with the run, and tells each look", () =>
  Api.play(async (api) => {
    api.lay("/runs/hello_r_1", run("running"), run("running"), run("succeeded"));
    const told: string[] = [];
    const found = await new Client({ api: api.address }).wait("hello_r_1", { timeoutMs: 20_000, progress: (look) => told.push(look.state) });
    assert.deepEqual([found.succeeded, found.ended, found.rows, found.counters], [true, true, 10, { bytes: 3 }]);
    assert.deepEqual(told, ["running", "running", "succeeded"]);
  }));

test("a run that failed is thrown unless nobody checks", () =>
  Api.play(async (api) => {
    api.lay("/runs/hello_r_1", run("failed", { error: "3 shards are dead" }));
    const client = new Client({ api: api.address });
    await assert.rejects(client.wait("hello_r_1"), (error: unknown) => {
      assert.ok(error instanceof RunFailed && error.run.state === "failed");
      assert.match(error.message, /3 shards are dead/);
      return true;
    });
    assert.equal((await client.wait("hello_r_1", { check: false })).error, "3 shards are dead");
  }));

test("a wait gives up at its time limit, or when it is told to", () =>
  Api.play(async (api) => {
    api.lay("/runs/hello_r_1", run("running"));
    const client = new Client({ api: api.address });
    await assert.rejects(client.wait("hello_r_1", { timeoutMs: 200 }), (error: Error) => error instanceof TimedOut && /running/.test(error.message));
    const end = new AbortController();
    await assert.rejects(client.wait("hello_r_1", { progress: () => end.abort(), signal: end.signal }), /abort/i);
  }));

test("a run that waits behind another is waited for, and one that nobody knows is not", () =>
  Api.play(async (api) => {
    const client = new Client({ api: api.address });
    api.lay("/runs/hello_r_1", problem("not-found", 404), run("succeeded"));
    api.lay("/runs/waiting?job=hello", { items: [{ run: "hello_r_1" }] });
    assert.ok((await client.wait("hello_r_1", { timeoutMs: 20_000 })).succeeded);
    api.lay("/runs/hello_r_2", problem("not-found", 404));
    await assert.rejects(client.wait("hello_r_2", { timeoutMs: 20_000 }), (error: unknown) => error instanceof ApiError && error.type === "not-found");
  }));

test("a receipt that nobody answered yet is waited for", () =>
  Api.play(async (api) => {
    api.lay("/jobs/hello/runs", { ...receipt, answer: null });
    api.lay("/runs/hello_r_1", problem("not-found", 404), run("succeeded"));
    const client = new Client({ api: api.address });
    assert.ok((await client.wait(await client.submit("hello"), { timeoutMs: 20_000 })).succeeded);
  }));

test("a token follows no redirect", () =>
  Api.play((api) =>
    Api.play(async (other) => {
      api.lay("/runs/hello_r_1", { status: 302, type: "", text: other.address + "/api/v1/runs/hello_r_1" });
      await assert.rejects(new Client({ api: api.address, token: "glt_x" }).show("hello_r_1"), ApiError);
      assert.deepEqual(other.asked, []);
    }),
  ));

test("nobody there is told with the address", async () => {
  const free = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => free.once("listening", resolve));
  const api = `http://127.0.0.1:${(free.address() as AddressInfo).port}`;
  await new Promise((resolve) => free.close(resolve));
  const told = (error: Error): boolean => error instanceof Unreachable && error.message.includes(api) && /ECONNREFUSED|no answer within/.test(error.message);
  await assert.rejects(new Client({ api, timeoutMs: 300 }).show("hello_r_1"), told);
});

test("somebody who never answers is given up", async () => {
  const silent = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => silent.once("listening", resolve));
  const api = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  await assert.rejects(new Client({ api, timeoutMs: 200 }).show("hello_r_1"), /no answer within/);
  silent.close();
});

test("an address that is none is refused at once", () => {
  for (const api of ["127.0.0.1:7070", "nats://127.0.0.1", "http://", "http://u:p@h", "http://h?x=1"]) {
    assert.throws(() => new Client({ api }), TypeError, api);
  }
});

test("a client in a child of a worker does not tell the API by what that one knows it", () =>
  Api.play(async (api) => {
    process.env["GRIDLOOM_SOCKET"] = "/run/worker.sock";
    process.env["GRIDLOOM_TOKEN"] = "0123456789abcdef";
    try {
      await assert.rejects(new Client({ api: api.address }).show("r"), ApiError);
      await assert.rejects(new Client({ api: api.address, token: "glt_x" }).show("r"), ApiError);
    } finally {
      delete process.env["GRIDLOOM_SOCKET"];
      delete process.env["GRIDLOOM_TOKEN"];
    }
    assert.deepEqual(api.asked.map((asked) => asked.headers.authorization), [undefined, "Bearer glt_x"]);
  }));

test("base path and environment are heeded", () =>
  Api.play(async (api) => {
    process.env["GRIDLOOM_API"] = api.address + "/gridloom/";
    process.env["GRIDLOOM_TOKEN"] = "glt_y";
    try {
      await assert.rejects(new Client().show("../a/b"), ApiError);
    } finally {
      delete process.env["GRIDLOOM_API"];
      delete process.env["GRIDLOOM_TOKEN"];
    }
    const [asked] = api.asked;
    assert.deepEqual([asked?.path, asked?.headers.authorization], ["/gridloom/api/v1/runs/..%2Fa%2Fb", "Bearer glt_y"]);
  }));

test("an answer of something else than a planner is told", () =>
  Api.play(async (api) => {
    api.lay("/runs/hello_r_1", { status: 200, type: "text/html", text: "<p>hello" });
    await assert.rejects(new Client({ api: api.address }).show("hello_r_1"), /is it a planner/);
    assert.equal(api.asked.length, 1);
  }));
