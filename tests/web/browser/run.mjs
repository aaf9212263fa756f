// Runs every *.test.mjs of this folder in one process, so that they share one browser: node tests/web/browser/run.mjs

import { readdirSync } from "node:fs";
import { after } from "node:test";

import { closeBrowser } from "../harness.mjs";

after(closeBrowser);
for (const name of readdirSync(new URL(".", import.meta.url)).sort()) {
  if (name.endsWith(".test.mjs")) await import(`./${name}`);
}
