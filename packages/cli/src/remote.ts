// Commands that talk to a server.
// Owns:          from a command line to a session, and its end by Ctrl-C.
// Must not know: which commands there are.

import type { Command } from "commander";
import { connect } from "./connect.ts";
import { EXIT_CODES } from "./exit-codes.ts";
import { CommandFailure } from "./failure.ts";
import { Given } from "./given.ts";
import type { Machine } from "./machine.ts";
import { stopSignals } from "./runtime.ts";
import type { Session } from "./session.ts";

export type Action = (session: Session, ...operands: string[]) => Promise<void>;

/** A command that talks to a server. Ctrl-C ends it. */
export function remote(command: Command, { terminal, runtime }: Machine, load: () => Promise<Action>): void {
  command.action(async function (this: Command) {
    const given = new Given(this.optsWithGlobals());
    const client = connect(given, terminal);
    const stop = stopSignals(() => process.exit(EXIT_CODES.INTERRUPTED.code));
    try {
      const action = await load();
      await action({ client, given, terminal, runtime, signal: stop.first }, ...this.args);
    } catch (error) {
      if (!stop.first.aborted || error instanceof CommandFailure) throw error;
      throw new CommandFailure("INTERRUPTED", "stopped");
    } finally {
      stop.forget();
    }
  });
}
