// Runs the command with the arguments of this process behind those of a launcher.
// Owns:          choosing between the sources (in the repository) and the built files (in the published package), and how Node runs them.
// Must not know: what the command can do.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compiledFolder } from "./compiled-folder.mjs";
import { runOnNode26, SOURCE_FLAGS } from "./node-26.mjs";

const source = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const built = fileURLToPath(new URL("../dist/main.js", import.meta.url));

/** `cordum dev` shares its machine with editors and browsers: 50 MiB less, for 3 % more CPU under full load (docs/performance.md). */
const DEV_FLAGS = ["--max-semi-space-size=8"];

/** `first`: arguments that stand before those of the shell. */
export function launch(...first) {
  const args = [...first, ...process.argv.slice(2)];
  const fromSource = existsSync(source);
  const compiled = process.env.NODE_COMPILE_CACHE ?? compiledFolder();
  runOnNode26([fromSource ? source : built, ...args], {
    flags: [...(fromSource ? SOURCE_FLAGS : []), ...(args[0] === "dev" ? DEV_FLAGS : [])],
    env: compiled === undefined ? {} : { NODE_COMPILE_CACHE: compiled },
  });
}
