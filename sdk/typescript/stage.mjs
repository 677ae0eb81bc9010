// Lays this package, compiled with its tests and examples, into a folder of its own below BASE, and prints which one:
//
//     node stage.mjs BASE
//
// What compiles it comes from npm, in the versions of package.json and with its digests. Nothing is left in this folder.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = resolve(HERE, "../..");
/** What tests read beside this folder. */
const BESIDE = ["Cargo.toml", "docs/SLICING.md", "sdk/frames.json"];
/** What is made, here or there. */
const MADE = ["node_modules", "dist", "built"];
const { devDependencies, digests } = JSON.parse(readFileSync(join(HERE, "package.json"), "utf8"));

function digest(...parts) {
  const hash = createHash("sha256");
  parts.forEach((part) => hash.update(part).update("\0"));
  return hash.digest("hex").slice(0, 16);
}

/** Makes a folder as a whole, or not at all: others may do so at the same time. */
function once(folder, make) {
  if (existsSync(folder)) {
    return folder;
  }
  const fresh = mkdtempSync(`${folder}.`);
  try {
    make(fresh);
    renameSync(fresh, folder);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (!existsSync(folder)) {
      throw error;
    }
  }
  return folder;
}

/** Fetches a package, and sees that it is the one that is meant. */
function fetch(name, version, into) {
  const kept = mkdtempSync(join(into, "pack-"));
  execFileSync("npm", ["pack", `${name}@${version}`, "--silent", "--ignore-scripts", "--pack-destination", kept], {
    cwd: kept,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [file] = readdirSync(kept).map((entry) => join(kept, entry));
  const found = `sha512-${createHash("sha512").update(readFileSync(file)).digest("base64")}`;
  if (found !== digests[name]) {
    throw new Error(`${name} ${version} is ${found}, and ${digests[name]} in package.json`);
  }
  const folder = join(into, "node_modules", name);
  mkdirSync(folder, { recursive: true });
  execFileSync("tar", ["-xzf", file, "-C", folder, "--strip-components=1"], { stdio: ["ignore", "inherit", "inherit"] });
  rmSync(kept, { recursive: true });
}

function* filesOf(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!MADE.includes(entry.name)) {
        yield* filesOf(path);
      }
    } else {
      yield path;
    }
  }
}

const base = resolve(process.argv[2] ?? "");
if (process.argv.length !== 3) {
  throw new Error("say where to: node stage.mjs BASE");
}
mkdirSync(base, { recursive: true });
const tools = once(join(base, `npm-${digest(JSON.stringify([devDependencies, digests]))}`), (fresh) => {
  for (const [name, version] of Object.entries(devDependencies)) {
    fetch(name, version, fresh);
  }
});
const files = [...BESIDE.map((file) => join(ROOT, file)), ...filesOf(HERE)];
const whole = digest(...files.flatMap((file) => [relative(ROOT, file), readFileSync(file)]));
const stage = once(join(base, `typescript-${whole}`), (fresh) => {
  for (const file of files) {
    cpSync(file, join(fresh, relative(ROOT, file)), { recursive: true });
  }
  const folder = join(fresh, "sdk/typescript");
  symlinkSync(join(tools, "node_modules"), join(folder, "node_modules"));
  for (const project of [".", "tests", "examples"]) {
    const compiler = join(tools, "node_modules/typescript/bin/tsc");
    execFileSync(process.execPath, [compiler, "-p", project], { cwd: folder, stdio: ["ignore", 2, 2] });
  }
});
console.log(join(stage, "sdk/typescript"));
