// Machine: what a call of the command runs on.
// Owns:          bundling terminal and runtime.
// Must not know: commands.

import type { Runtime } from "./runtime.ts";
import type { Terminal } from "./terminal.ts";

export interface Machine {
  readonly terminal: Terminal;
  readonly runtime: Runtime;
}
