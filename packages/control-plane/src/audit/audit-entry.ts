// Audit: what people and keys have done.
// Owns:          the entry, and the change that writes it in the commit of what it tells about.
// Must not know: how entries become a tenant's chain, who reads them, HTTP.
// U1. An entry is appended in the commit that makes the change, in the partition of the thing that it tells about: one is never without the
//     other, and no commit waits for a chain. U2. An entry carries no secret and no payload: who, what, of which thing, why.

import { redactText } from "../policy/secrets.ts";
import type { Json } from "../ports/json.ts";
import type { Change, Layout, Partition } from "../ports/state.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { readShape } from "../records/shape.ts";

export const AUDIT_SHAPE = 1;
/** Log of tenant. */
export const AUDIT_LOG = "audit";

/** Who acts: what the credential stands for, never what a request claims. */
export interface Actor {
  readonly tenant: string;
  readonly principal: string;
  readonly role: string;
  /** The first 12 hex digits of the key's hash; "" without a key. */
  readonly keyId: string;
}

export interface AuditEntry {
  readonly shape: typeof AUDIT_SHAPE;
  readonly at: EpochMs;
  /** The tenant of the thing; the actor may be of another one where the key may cross tenants. */
  readonly tenant: string;
  readonly actor: Actor;
  /** `<noun>.<verb>`, for instance "job.cancel", "key.create". */
  readonly action: string;
  /** The thing: its kind and id. */
  readonly of: { readonly kind: string; readonly id: string };
  /** What the actor gave as the reason; "" for none. */
  readonly reason: string;
  /** Flat, short facts: the state before, the new job's id … */
  readonly facts: { readonly [name: string]: string | number | boolean };
}

/** At most this many entries of a tenant wait in one partition. */
const ENTRIES_MAX = 1_000_000;

export function auditLayout(keepMs: Ms): Layout["logs"] {
  return { [AUDIT_LOG]: { keepMs, entriesMax: ENTRIES_MAX } };
}

/** The change to add to the batch; `partition` is the batch's. */
export function auditChange(entry: Omit<AuditEntry, "shape">, partition: Partition): Change {
  const facts = Object.entries(entry.facts).map(([name, fact]) => [
    name,
    typeof fact === "string" ? redacted(fact) : fact,
  ]);
  const written: AuditEntry = {
    shape: AUDIT_SHAPE,
    ...entry,
    reason: redacted(entry.reason),
    facts: Object.fromEntries(facts),
  };
  return {
    do: "append",
    log: { partition, log: AUDIT_LOG, of: entry.tenant },
    entry: written as unknown as Json,
  };
}

function redacted(text: string): string {
  return redactText(text).value;
}

/** What a stored entry says. Throws on a shape that this process cannot read. */
export function parseAuditEntry(value: Json): AuditEntry {
  return readShape(value, AUDIT_SHAPE, "audit entry");
}
