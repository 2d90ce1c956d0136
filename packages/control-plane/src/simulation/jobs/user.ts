// Somebody at a node of a simulated house: a client, an approver, an operator, a reader.
// Owns:          what all of them have in common: the node, what they remember, who they are, shrugging at faults.
// Must not know: what each does.

import type { Actor } from "../../audit/audit-entry.ts";
import type { JobState } from "../../jobs/job.ts";
import type { JobParts } from "../../jobs/job-parts.ts";
import { Fault } from "../../ports/fault.ts";
import type { EpochMs } from "../../ports/time.ts";
import type { ProcessPorts } from "../process.ts";
import type { Habits } from "./habits.ts";
import type { Ledger } from "./ledger.ts";

export const TENANT = "acme";
export const OTHER_TENANT = "globex";

export interface Shown {
  readonly tenant: string;
  readonly state: JobState;
  readonly updatedAt: EpochMs;
}

export interface Reader {
  /** From where it goes on; undefined: it has not begun. */
  since: EpochMs | undefined;
  readonly seen: Map<string, Shown>;
  /** What it watches. */
  watched: string | undefined;
}

export function newReader(): Reader {
  return { since: undefined, seen: new Map(), watched: undefined };
}

/** What the people at a node remember, whatever happens to it. */
export interface People {
  /** Slots of workers that the node holds in its present life. */
  slotsHeld: () => number;
  /** Living workers of which the node knows no announcement. */
  unheardOf: () => readonly string[];
  next: number;
  nextFresh: number;
  /** By idempotency key: when it was first asked for. */
  readonly askedAt: Map<string, EpochMs>;
  /** What operators have done so far. */
  deeds: number;
  readonly reader: Reader;
}

export interface User {
  readonly name: string;
  readonly people: People;
  readonly parts: JobParts;
  readonly ports: ProcessPorts;
  readonly ledger: Ledger;
  readonly habits: Habits;
  /** Submissions of this node's client, over all its lives. */
  readonly submissions: number;
  fail(says: string): void;
}

export function actorNamed(principal: string, tenant = TENANT): Actor {
  return { tenant, principal, role: "approver", keyId: "" };
}

export function knownJob({ ledger, ports }: Pick<User, "ledger" | "ports">): string | undefined {
  const known = [...ledger.accepted];
  return known[ports.chance.below(Math.max(1, known.length))];
}

export async function ignoringFaults(work: () => Promise<void>): Promise<void> {
  await faultOr(work()); // the person shrugs and looks again later
}

export async function faultOr<T>(work: Promise<T>): Promise<T | Fault> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return error;
  }
}
