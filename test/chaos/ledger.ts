// What an observer outside of the control plane knows of one round.
// Owns:          answers that clients and people got, when stores may have forgotten, what was seen on the way.
// Must not know: what must hold (invariants).

import type { Tenant, Topic } from "./house-rules.ts";

export interface AcceptedJob {
  readonly id: string;
  /** "a retried dead letter" for what an operator made. */
  readonly kind: string;
  readonly topic: Topic;
  readonly tenant: Tenant;
  /** When the answer came. */
  readonly at: number;
  readonly idempotencyKey: string;
  readonly body: object;
  /** What a worker echoes. */
  readonly prompt: string;
}

/** Between these moments a Redis may have taken what it did not keep (design §5). */
export interface Loss {
  readonly from: number;
  readonly to: number;
  readonly by: string;
}

export interface Deed {
  readonly jobId: string;
  /** As the audit calls it. */
  readonly action: "job.approve" | "job.reject" | "job.cancel";
  readonly by: string;
  readonly at: number;
}

export class Ledger {
  readonly accepted = new Map<string, AcceptedJob>();
  /** Jobs that an approver has said yes to, even if the answer was lost. */
  readonly approvals = new Set<string>();
  /** What people did and were told that it is done. */
  readonly deeds: Deed[] = [];
  readonly losses: Loss[] = [];
  /** Refusals by status; 0: no answer. */
  readonly refusals = new Map<number, number>();
  /** Sentences about what should not have been seen; each breaks an invariant by itself. */
  readonly offences: { readonly invariant: string; readonly says: string }[] = [];
  readonly counts = new Map<string, number>();

  count(name: string, by = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + by);
  }

  offend(invariant: string, says: string): void {
    this.offences.push({ invariant, says });
  }

  refused(status: number): void {
    this.refusals.set(status, (this.refusals.get(status) ?? 0) + 1);
  }
}
