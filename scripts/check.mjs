// `npm run check`: types, lint, house rules.
// Owns:          which checks run, in which order, and what to do about a failure.
// Must not know: what they look for.
// Plain JavaScript, because the shell's Node may be too old to strip types. All checks run even when one fails: one run, all faults.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findNode26 } from "./on-node-26.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const node = findNode26();
if (node.path === undefined) {
  console.error(node.problem);
  process.exit(1);
}

const require = createRequire(import.meta.url);
/** The program that a package offers under `name`, as npm's own launcher would find it. */
function binOf(packageName, name) {
  const manifest = require.resolve(`${packageName}/package.json`);
  const { bin } = require(manifest);
  return join(dirname(manifest), typeof bin === "string" ? bin : bin[name]);
}

const checks = [
  {
    name: "types",
    args: [binOf("typescript", "tsc"), "-p", "tsconfig.json"],
    fix: "mend the types; nothing may be silenced",
  },
  {
    name: "lint",
    args: [binOf("@biomejs/biome", "biome"), "ci", "."],
    fix: "npm run fix mends format and imports; the rest by hand",
  },
  {
    name: "house",
    args: ["--disable-warning=ExperimentalWarning", "scripts/house/main.ts"],
    fix: "each line above says how",
  },
];

const failed = [];
for (const check of checks) {
  console.log(`\n── ${check.name}`);
  const { status, error } = spawnSync(node.path, check.args, { cwd: root, stdio: "inherit" });
  if (error !== undefined) console.error(`${check.name} could not start: ${error.message}`);
  if (status !== 0) failed.push(check);
}
console.log("");
for (const check of failed) console.log(`${check.name} failed: ${check.fix}`);
if (failed.length === 0) console.log("all checks hold");
process.exit(failed.length === 0 ? 0 : 1);
