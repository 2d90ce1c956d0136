// Trusted senders: the file that says whose signatures count.
// Owns:          its form, its limits, every fault in it at once.
// Must not know: where the file lies, when it is read again.
// S1. The form is { "<sender id>": ["<PEM>", …] | "unsigned" }: several keys while a sender changes from one to the next; "unsigned" for a
//     sender that cannot sign and is taken at its word. Never for a part of the control plane: its word moves every job.

import { ID_CHARS_MAX, parseVerifyingKey, SENDERS, type VerifyingKey } from "@cordum/protocol";

/** Keys of a sender, any of which may sign; or the leave to send without a signature. */
export type SenderKeys = readonly VerifyingKey[] | "unsigned";
export type ParsedTrust =
  | { readonly kind: "valid"; readonly senders: ReadonlyMap<string, SenderKeys> }
  | { readonly kind: "invalid"; readonly faults: readonly string[] };

/** Names in which the parts of a control plane speak. */
export const CONTROL_PLANE: ReadonlySet<string> = new Set(Object.values(SENDERS));

const KEYS_MAX = 8;
const FAULTS_MAX = 20;

/** Faults are sentences for an operator; none shows a key. A file that names nobody is a fault: it would refuse everybody. */
export function parseTrustedSenders(text: string): ParsedTrust {
  const entries = entriesOf(text);
  if (entries === undefined) return { kind: "invalid", faults: ["expected a JSON object of sender ids"] };
  if (entries.length === 0) return { kind: "invalid", faults: ["names no sender"] };
  const faults: string[] = [];
  const senders = new Map<string, SenderKeys>();
  for (const [senderId, given] of entries) {
    const read = senderId.length > ID_CHARS_MAX || senderId === "" ? SENDER_FAULT : readKeys(senderId, given);
    if ("fault" in read) faults.push(`${JSON.stringify(senderId.slice(0, 80))}: ${read.fault}`);
    else senders.set(senderId, read.keys);
  }
  return faults.length === 0 ? { kind: "valid", senders } : { kind: "invalid", faults: faults.slice(0, FAULTS_MAX) };
}

function entriesOf(text: string): readonly (readonly [string, unknown])[] | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined; // the parser's own message quotes what it met: a secret, when the wrong file is named
  }
  return json === null || typeof json !== "object" || Array.isArray(json) ? undefined : Object.entries(json);
}

type ReadKeys = { readonly keys: SenderKeys } | { readonly fault: string };
const SENDER_FAULT: ReadKeys = { fault: `a sender id has 1 to ${ID_CHARS_MAX} characters` };

function readKeys(senderId: string, given: unknown): ReadKeys {
  if (given === "unsigned") {
    return CONTROL_PLANE.has(senderId) ? { fault: "a part of the control plane has to sign" } : { keys: given };
  }
  if (!Array.isArray(given) || given.length === 0 || given.length > KEYS_MAX)
    return { fault: `expected a list of 1 to ${KEYS_MAX} public keys, or "unsigned"` };
  const keys: VerifyingKey[] = [];
  for (const [at, pem] of given.entries()) {
    const parsed = typeof pem === "string" ? parseVerifyingKey(pem) : UNREADABLE;
    if (parsed.kind === "refused") return { fault: `key ${at + 1} is ${KEY_FAULTS[parsed.reason]}` };
    keys.push(parsed.key);
  }
  return { keys };
}

const UNREADABLE = { kind: "refused", reason: "unreadable" } as const;
const KEY_FAULTS = { unreadable: "no public key in PEM", not_p256: "not on the curve P-256" } as const;
