// Versions of the servers that tests start.
// Owns:          asking the program.
// Must not know: what it is used for.

import { spawnSync } from "node:child_process";
import { findNats } from "@cordum/control-plane/testing/ensure-servers";

export function natsVersion(): string {
  const { stdout } = spawnSync(findNats().path, ["--version"], { encoding: "utf8" });
  return /v(\d[\w.]*)/.exec(stdout)?.[1] ?? "";
}
