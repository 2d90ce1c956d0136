// What documents install from registries, once for each version of the commands that do it.
// Owns:          the folders, below that of the project's own packages; the sentence that says what is missing.
// Must not know: what is installed.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");
const CACHE = join(ROOT, "node_modules", ".cache", "cordum", "documents");
export const INSTALL_MS_MAX = 240_000;

/** The folder in which the script was run. `needs`: what a machine must have for it, and how to get it. */
export function installedBy(script: string, needs: string): string {
  const folder = join(CACHE, createHash("sha256").update(script).digest("hex").slice(0, 16));
  const whole = join(folder, "is-whole");
  if (existsSync(whole)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  // npm installs into the nearest package.
  writeFileSync(join(folder, "package.json"), '{"private":true,"type":"module"}');
  const env = { ...process.env, CORDUM: ROOT, PIP_DISABLE_PIP_VERSION_CHECK: "1" };
  const ran = spawnSync("bash", ["-ec", script], { cwd: folder, env, encoding: "utf8", timeout: INSTALL_MS_MAX });
  if (ran.status !== 0) throw new Error(`This test needs ${needs}:\n${`${ran.stdout}${ran.stderr}`.slice(-3_000)}`);
  writeFileSync(whole, "");
  return folder;
}
