// Runs the command with the arguments of this process behind those of a launcher.
// Owns:          choosing between the sources (in the repository) and the built files (in the published package).
// Must not know: what the command can do.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { findNode26, runOnNode26 } from "./node-26.mjs";

const source = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const built = fileURLToPath(new URL("../dist/main.js", import.meta.url));

/** `first`: arguments that stand before those of the shell. */
export async function launch(...first) {
  const args = [...first, ...process.argv.slice(2)];
  if (existsSync(source)) return runOnNode26([source, ...args]);
  if (findNode26().path !== process.execPath) return runOnNode26([built, ...args]);
  process.argv.splice(2, process.argv.length, ...args);
  await import(new URL("../dist/main.js", import.meta.url));
}
