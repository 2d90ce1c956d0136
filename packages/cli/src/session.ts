// Session: what every command that talks to a server needs.
// Owns:          bundling it.
// Must not know: commands.

import type { Client } from "@cordum/sdk";
import type { Given } from "./given.ts";
import type { Machine } from "./machine.ts";

export interface Session extends Machine {
  readonly client: Client;
  readonly given: Given;
  /** Fires on Ctrl-C. */
  readonly signal: AbortSignal;
}
