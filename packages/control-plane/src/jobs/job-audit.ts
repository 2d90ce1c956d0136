// What people and keys do to jobs, as audit entries.
// Owns:          which facts an entry about a job holds.
// Must not know: when a commit is made, who reads entries.
// The entry is made from the change itself, in its commit: a call that changes nothing writes none, one that loses a race is judged anew.

import { type Actor, type AuditEntry, auditChange } from "../audit/audit-entry.ts";
import type { Change, Partition } from "../ports/state.ts";
import type { EpochMs } from "../ports/time.ts";
import type { Job } from "./job.ts";

export interface Deed {
  readonly actor: Actor;
  readonly action: "job.cancel" | "job.approve" | "job.reject" | "job.remediate" | "dlq.retry";
  readonly reason: string;
  /** What it is done to, where that is not the job that is written. */
  readonly of?: AuditEntry["of"];
  readonly facts?: AuditEntry["facts"];
}

/** From the job before (undefined: it is new) and after; undefined: nobody's deed. */
export type DeedOf = (before: Job | undefined, next: Job) => Deed | undefined;

export function deedChanges(deed: Deed | undefined, next: Job, partition: Partition, now: EpochMs): readonly Change[] {
  if (deed === undefined) return [];
  const { actor, action, reason, of, facts } = deed;
  const entry = {
    at: now,
    tenant: next.tenant,
    actor,
    action,
    of: of ?? { kind: "job", id: next.id },
    reason,
    facts: facts ?? {},
  };
  return [auditChange(entry, partition)];
}

/** A deed by which the job went from one state to another. */
export function moveOf(deed: Omit<Deed, "of">): DeedOf {
  return (before, next) => ({
    ...deed,
    facts: { from: before?.phase.state ?? "", to: next.phase.state, ...deed.facts },
  });
}
