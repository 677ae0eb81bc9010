// Counts the words of a text file, each slice its own lines. As it stands, with Node 18 and newer:
//
//     gridloom dev                                          # leave it running
//     gridloom worker --processes 2 -- node words.mjs       # in this folder; leave it running
//     gridloom job apply words.toml
//     gridloom run words --wait --param file=words.mjs

import { readFile } from "node:fs/promises";

import { Permanent, Worker } from "gridloom";

const worker = new Worker();

worker.handler("words", async (shard) => {
  const { file } = shard.params;
  if (!file) {
    throw new Permanent("params.file is missing: say --param file=PATH");
  }
  let longest = "";
  // A file that is not there is tried again: it may come.
  const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
  for (const [number, line] of lines.entries()) {
    if (!shard.owns(number)) {
      continue;
    }
    shard.check();
    shard.rows();
    for (const word of line.split(/\s+/).filter(Boolean)) {
      shard.count("words");
      longest = word.length > longest.length ? word : longest;
    }
  }
  shard.result(longest.slice(0, 200));
});

await worker.run();
