// Orders that the sessions of a worker end.
// Owns:          where an order lies, how many there may be, giving one, finding those that hold.
// Must not know: sockets, HTTP, who may give one.
// R1. An order ends what began before it. A session that begins later is another matter: its key was asked for anew.
// R2. Orders of a tenant lie together, for KEEP_MS: a process that heard of none reads them (sessions.ts, A4).
// R3. The audit entry is in the commit.

import { type Actor, auditChange } from "../audit/audit-entry.ts";
import type { Clock } from "../ports/clock.ts";
import { Fault } from "../ports/fault.ts";
import { partitionOf } from "../ports/partition.ts";
import type { IndexKey, Layout, State } from "../ports/state.ts";
import type { EpochMs, Ms } from "../ports/time.ts";

const REVOKED_INDEX = "session.revoked";
const KEEP_MS: Ms = 3_600_000;
export const REVOCATIONS_MAX = 1_000;
const REASON_CHARS_MAX = 512;

export interface RevocationOrder {
  readonly tenant: string;
  /** As the worker calls itself (session-worker.ts): letters, digits, - and _. */
  readonly ownId: string;
  /** As the bus knows it. */
  readonly workerId: string;
  readonly by: Actor;
  readonly reason: string;
}

export interface RevocationParts {
  readonly state: State;
  readonly clock: Clock;
}

export function revocationLayout(): Layout["indexes"] {
  return { [REVOKED_INDEX]: { score: "time", keepMs: KEEP_MS } };
}

/** Faults: SESSION_LIMIT, STATE_*. */
export async function orderRevocation(
  { tenant, ownId, workerId, by, reason }: RevocationOrder,
  { state, clock }: RevocationParts,
  signal: AbortSignal,
): Promise<void> {
  const [id, at, index] = [clock.id(), clock.now(), indexOf(tenant, state)];
  const member = `${ownId}:${id}`;
  const of = { kind: "worker", id: workerId };
  const said = reason.slice(0, REASON_CHARS_MAX);
  const entry = { at, tenant, actor: by, action: "worker.revoke_session", of, reason: said, facts: {} };
  const outcome = await state.commit(
    {
      id,
      partition: index.partition,
      checks: [
        { is: "out", index, member },
        { is: "fewer", index, than: REVOCATIONS_MAX },
      ],
      changes: [{ do: "enter", index, member, score: at }, auditChange(entry, index.partition)],
    },
    signal,
  );
  // The member is this batch's own: where it is in already, the batch has arrived twice.
  if (outcome.kind === "conflict" && outcome.check !== 0)
    throw new Fault("SESSION_LIMIT", `${REVOCATIONS_MAX} sessions of the tenant were revoked within an hour`);
}

/** By the worker's own id, when the last order was given that is not older than `since`. */
export async function loadRevocations(
  tenant: string,
  since: EpochMs,
  { state }: Pick<RevocationParts, "state">,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, EpochMs>> {
  const query = {
    span: { index: indexOf(tenant, state), min: since },
    alsoIn: [],
    order: "up",
    limit: REVOCATIONS_MAX,
    examineMax: REVOCATIONS_MAX,
  } as const;
  const { entries } = await state.list(query, signal);
  return new Map(entries.map(({ member, score }) => [member.slice(0, member.lastIndexOf(":")), score]));
}

function indexOf(tenant: string, state: State): IndexKey {
  return { partition: partitionOf(tenant, state.traits.partitions), index: REVOKED_INDEX, of: [tenant] };
}
