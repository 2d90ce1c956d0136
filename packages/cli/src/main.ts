// The process of the `cordum` command.
// Owns:          its streams and its exit code.
// Must not know: subcommands.

import { run } from "./program.ts";
import { systemRuntime } from "./runtime.ts";
import { systemTerminal } from "./terminal.ts";

// `cordum job list | head -1`: whoever read has seen enough.
process.stdout.on("error", (error) => {
  if ("code" in error && error.code === "EPIPE") process.exit(0);
  throw error;
});

const code = await run(process.argv.slice(2), { terminal: systemTerminal, runtime: systemRuntime });
// Whatever failed to start may have left something open. Both streams are flushed before the process ends.
process.stdout.write("", () => process.stderr.write("", () => process.exit(code)));
