// Failures of the command: what is said, what to do next, how the process ends.
// Owns:          the sentences and the choice of the exit code.
// Must not know: commander, which command failed.

import { CordumError } from "@cordum/sdk";
import { EXIT_CODES, type ExitName } from "./exit-codes.ts";
import { oneLine, printable } from "./terminal.ts";

/** Thrown by commands: one sentence, what to do about it, and the exit code. */
export class CommandFailure extends Error {
  readonly exit: ExitName;
  readonly hint: string | undefined;

  constructor(exit: ExitName, message: string, hint?: string) {
    super(message);
    this.name = "CommandFailure";
    this.exit = exit;
    this.hint = hint;
  }
}

export interface Told {
  readonly exitCode: number;
  /** For standard error, escaped. */
  readonly text: string;
}

/** Any error as a person reads it. */
export function tell(error: unknown): Told {
  const failure = failureOf(error);
  const hint = failure.hint === undefined ? "" : `\n  ${failure.hint}`;
  return { exitCode: EXIT_CODES[failure.exit].code, text: `error: ${printable(failure.message)}${hint}` };
}

/** Why a server did not start. `portHint`: what to do when its port is taken. */
export function startFailure(error: unknown, portHint: string): CommandFailure {
  if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") {
    const port = "port" in error && typeof error.port === "number" ? `port ${error.port}` : "the port";
    return new CommandFailure("FAILED", `${port} is taken`, portHint);
  }
  return new CommandFailure("FAILED", `cannot start: ${error instanceof Error ? error.message : String(error)}`);
}

export function failureOf(error: unknown): CommandFailure {
  if (error instanceof CommandFailure) return error;
  if (error instanceof CordumError) return fromServer(error);
  return new CommandFailure("FAILED", error instanceof Error ? error.message : String(error));
}

function fromServer(error: CordumError): CommandFailure {
  const { exit, hint } = judge(error);
  const fields = error.fields.map(({ field, reason }) => `; ${field}: ${reason}`).join("");
  // For faults of the server its operator finds more in the log; a caller's own faults need no trace.
  const trace = error.traceId === undefined || error.status < 500 ? "" : ` [trace ${error.traceId}]`;
  const code = error.code.startsWith("HTTP_") ? `HTTP ${error.status}` : error.code;
  // One line, whatever the server sent: its text must not look like ours.
  return new CommandFailure(exit, oneLine(`${error.detail || error.title}${fields} (${code})${trace}`), hint);
}

interface Judgement {
  readonly exit: ExitName;
  readonly hint?: string;
}

/** Codes that deserve more than their status says. */
const BY_CODE: ReadonlyMap<string, Judgement> = new Map<string, Judgement>([
  [
    "NETWORK_ERROR",
    { exit: "UNREACHABLE", hint: "Is a server running there? `cordum dev` starts one; --url says where it is." },
  ],
  [
    "CALL_TIMEOUT",
    { exit: "UNREACHABLE", hint: "The server did not answer in time. `cordum status` shows whether it is well." },
  ],
  [
    "WAIT_TIMEOUT",
    { exit: "TIMEOUT", hint: "The job goes on. `cordum job watch <id>` waits for it again; --timeout waits longer." },
  ],
  ["DEAD_LETTER_NOT_FOUND", { exit: "NOT_FOUND", hint: "`cordum dlq` shows the jobs that ended without success." }],
  ["REMEDIATION_NOT_FOUND", { exit: "NOT_FOUND", hint: "`cordum job get <id>` shows what policy offers instead." }],
  ["JOB_NOT_REMEDIABLE", { exit: "CONFLICT", hint: "`cordum job get <id>` shows what policy has said." }],
  [
    "CONFIG_NOT_FOUND",
    { exit: "NOT_FOUND", hint: "Nothing is set there. `cordum config effective` shows what holds all the same." },
  ],
  ["SCHEMA_NOT_FOUND", { exit: "NOT_FOUND", hint: "`cordum schemas list` shows those that there are." }],
  [
    "ROUTE_NOT_FOUND",
    { exit: "NOT_FOUND", hint: "This server cannot do that: it may be older. `cordum status` says its version." },
  ],
  ["WORKER_NOT_FOUND", { exit: "NOT_FOUND", hint: "`cordum workers` shows those that the server knows." }],
  ["KEY_NOT_FOUND", { exit: "NOT_FOUND", hint: "`cordum keys list` shows the keys that your key can see." }],
  ["KEY_ENDED", { exit: "CONFLICT", hint: "`cordum keys create` makes a new one." }],
  ["KEY_IN_GRACE", { exit: "CONFLICT" }],
  ["KEY_LIMIT", { exit: "CONFLICT", hint: "`cordum keys list` shows when each was used last." }],
  [
    "SELF_APPROVAL_DENIED",
    { exit: "FORBIDDEN", hint: "Use the key of another principal, e.g. --as approver after `cordum dev`." },
  ],
  [
    "APPROVAL_STALE_POLICY",
    { exit: "CONFLICT", hint: "The policy has changed since it asked. Look at the job again: `cordum job get <id>`." },
  ],
]);

function judge(error: CordumError): Judgement {
  const known = BY_CODE.get(error.code);
  if (known !== undefined) return known;
  switch (error.status) {
    case 401:
      return {
        exit: "FORBIDDEN",
        hint: "Set CORDUM_API_KEY or pass --api-key. After `cordum dev` the keys are in .cordum/keys.json; run in the same folder.",
      };
    case 403:
      return { exit: "FORBIDDEN", hint: "This key's role or tenant does not allow it; use another key." };
    case 404:
      return { exit: "NOT_FOUND", hint: "`cordum job list` shows the newest jobs." };
    case 409:
      return { exit: "CONFLICT", hint: "`cordum job get <id>` shows the state that it is in." };
    case 429:
      return { exit: "UNREACHABLE", hint: "Too many requests with this key; wait a moment." };
    case 400:
    case 413:
    case 422:
      return { exit: "FAILED" };
    default:
      return error.retryable ? { exit: "UNREACHABLE", hint: "The server may answer later." } : { exit: "FAILED" };
  }
}
