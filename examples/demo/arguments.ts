// The demo's command line.
// Owns:          which options there are, and what is said about a wrong one.
// Must not know: what the demo does.

import { parseArgs } from "node:util";

export const USAGE = `Usage: npm run demo [-- --yes] [--redis URL] [--nats URL]

Starts Cordum in this process with a small policy and three workers, hands in five jobs, and shows what becomes of each.
One of them waits for a person. You are asked for the answer; --yes answers yes for you (needed without a terminal).

  --yes, -y      approve without asking
  --redis URL    keep jobs in this Redis instead of a SQLite file, e.g. redis://localhost:6379
  --nats URL     send packets over this NATS instead of within the process, e.g. nats://localhost:4222
  --help, -h     show this`;

/** Servers to run over; undefined: nothing but this process. */
export interface Servers {
  readonly redis: string | undefined;
  readonly nats: string | undefined;
}

export type Arguments =
  | { readonly kind: "run"; readonly approves: boolean; readonly servers: Servers }
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly says: string };

/** `canAsk`: there is a person at standard input. */
export function parseArguments(argv: readonly string[], canAsk: boolean): Arguments {
  let given: ReturnType<typeof read>;
  try {
    given = read(argv);
  } catch (error) {
    return { kind: "wrong", says: error instanceof Error ? error.message : String(error) };
  }
  const { yes: approves = false, help = false, redis, nats } = given;
  if (help) return { kind: "help" };
  if (approves || canAsk) return { kind: "run", approves, servers: { redis, nats } };
  return {
    kind: "wrong",
    says: "one job waits for a person, and nobody can be asked here: standard input is no terminal",
  };
}

function read(argv: readonly string[]) {
  const options = {
    yes: { type: "boolean", short: "y" },
    help: { type: "boolean", short: "h" },
    redis: { type: "string" },
    nats: { type: "string" },
  } as const;
  return parseArgs({ args: [...argv], options, allowPositionals: false }).values;
}
