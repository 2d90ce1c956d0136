// Session: what every command that talks to a server needs.
// Owns:          bundling the four things.
// Must not know: commands.

import type { Client } from "@cordum/sdk";
import type { Given } from "./given.ts";
import type { Runtime } from "./runtime.ts";
import type { Terminal } from "./terminal.ts";

export interface Session {
  readonly client: Client;
  readonly given: Given;
  readonly terminal: Terminal;
  readonly runtime: Runtime;
  /** Fires on Ctrl-C. */
  readonly signal: AbortSignal;
}
