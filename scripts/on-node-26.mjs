// Runs a program of the repository on Node 26: `node scripts/on-node-26.mjs <program> [arguments]`.
// Owns:          being the one place that the package scripts name.
// Must not know: how Node 26 is found; the published command does the same with the same code.
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runOnNode26, SOURCE_FLAGS } from "../packages/cli/bin/node-26.mjs";

export { findNode26 } from "../packages/cli/bin/node-26.mjs";

const [, started = ""] = process.argv;
if (started !== "" && realpathSync(started) === fileURLToPath(import.meta.url)) {
  runOnNode26(process.argv.slice(2), { flags: SOURCE_FLAGS });
}
