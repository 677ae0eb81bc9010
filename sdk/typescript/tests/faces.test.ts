/** The package as a program installs it: both ways to import it, with types for each. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import * as whole from "../dist/index.js";

const PACKAGE = join(__dirname, "..");

const USE = `
const worker = new Worker({ slots: 2 });
worker.handler("any", async (shard) => { shard.rows(shard.params.n); });
worker.handler<{ n: number }>("typed", (shard) => { shard.rows(shard.params.n); });
// @ts-expect-error: it has no such parameter.
worker.handler<{ n: number }>("wrong", (shard) => shard.rows(shard.params.m));
worker.pages("any", function* (probe) { yield [1, 2]; yield ["a", String(probe.after)]; });
worker.pages("typed", async function* () { yield [1n, 2n]; });
// @ts-expect-error: a page has two keys.
worker.pages("wrong", () => [[1]]);
async function handler(shard: Shard<{ n: number }>): Promise<void> {
  const { signal, deadline }: { signal: AbortSignal; deadline: Date | undefined } = shard;
  if (signal.aborted || deadline !== undefined) throw new Permanent("no", { cause: deadline });
  shard.rows(shard.params.n);
}
run(handler, { params: { n: 7 } }).then(({ ok, rows }) => console.log(ok, rows, typeof Client));
`;

const FACES = {
  "esm.mts": `import { Client, Permanent, Worker, type Shard } from "gridloom";\nimport { run } from "gridloom/testing";\n${USE}`,
  "cjs.cts": `import { Client, Permanent, Worker, type Shard } from "gridloom";\nimport { run } from "gridloom/testing";\n${USE}`,
  "plain.cts": `const { run } = require("gridloom/testing");\nrun(() => undefined).then(({ ok }: { ok: boolean }) => console.log(ok, 0, typeof require("gridloom").Client));`,
};

test("a program of either kind has types, and runs", () => {
  const folder = mkdtempSync(join(tmpdir(), "gl"));
  try {
    execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder], { cwd: PACKAGE, stdio: ["ignore", "ignore", "inherit"] });
    const [packed] = readdirSync(folder);
    const installed = join(folder, "node_modules/gridloom");
    mkdirSync(installed, { recursive: true });
    execFileSync("tar", ["-xzf", join(folder, packed as string), "-C", installed, "--strip-components=1"]);
    assert.deepEqual(readdirSync(installed).sort(), ["README.md", "dist", "package.json"]);
    for (const name of ["@types", "undici-types"]) {
      symlinkSync(join(PACKAGE, "node_modules", name), join(folder, "node_modules", name));
    }
    const compilerOptions = { target: "es2022", module: "node16", strict: true, types: ["node"], exactOptionalPropertyTypes: true };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.mts", "*.cts"] }));
    Object.entries(FACES).forEach(([name, text]) => writeFileSync(join(folder, name), text));
    execFileSync(process.execPath, [join(PACKAGE, "node_modules/typescript/bin/tsc"), "-p", folder], { stdio: ["ignore", 2, 2] });
    for (const [name, said] of [["esm.mjs", "true 7 function\n"], ["cjs.cjs", "true 7 function\n"], ["plain.cjs", "true 0 function\n"]] as const) {
      assert.equal(execFileSync(process.execPath, [join(folder, name)], { encoding: "utf8" }), said, name);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("both ways lead to the same things", async () => {
  const other = (await import("../dist/index.mjs")) as Record<string, unknown>;
  for (const [name, thing] of Object.entries(whole)) {
    assert.equal(other[name], thing, name);
  }
  assert.ok(Object.keys(whole).length >= 12);
});
