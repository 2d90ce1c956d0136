// The kinds of jobs of which the load is made.
// Owns:          what each kind is, how often it comes, which ends it may have when all is well.
// Must not know: who hands them in, what is broken meanwhile.

import type { Tenant, Topic } from "./house-rules.ts";

export interface Kind {
  readonly name: string;
  readonly topic: Topic;
  readonly tenant: Tenant;
  /** Of a hundred jobs. */
  readonly share: number;
  readonly delayMsMax?: number;
  /** From acceptance. */
  readonly deadlineMs?: number;
  /** Handed in together with others of its kind: as many as this. */
  readonly together?: number;
}

/** What somebody cancels, most of the time. */
export const TO_CANCEL = "long, to be cancelled";

export const KINDS: readonly Kind[] = [
  { name: "allowed", topic: "job.echo", tenant: "acme", share: 23 },
  { name: "allowed, in batches", topic: "job.echo", tenant: "acme", share: 3, together: 5 },
  { name: "allowed once", topic: "job.pay", tenant: "acme", share: 15 },
  { name: "denied", topic: "job.no", tenant: "acme", share: 6 },
  { name: "by approval", topic: "job.ask", tenant: "acme", share: 9 },
  { name: "as policy flips", topic: "job.flip", tenant: "acme", share: 5 },
  { name: "failing, tried again", topic: "job.flaky", tenant: "acme", share: 9 },
  { name: "failing for good", topic: "job.fail", tenant: "acme", share: 4 },
  { name: "delayed", topic: "job.echo", tenant: "acme", share: 6, delayMsMax: 6_000 },
  { name: "past its deadline", topic: "job.long", tenant: "acme", share: 3, deadlineMs: 1_500 },
  { name: TO_CANCEL, topic: "job.long", tenant: "acme", share: 5 },
  { name: "few at once", topic: "job.few", tenant: "acme", share: 6 },
  { name: "of a narrow tenant", topic: "job.echo", tenant: "narrow", share: 6 },
];

/** `roll`: from 0 to 99. */
export function kindAt(roll: number): Kind {
  let left = roll;
  for (const kind of KINDS) {
    left -= kind.share;
    if (left < 0) return kind;
  }
  throw new Error("shares make a hundred");
}
