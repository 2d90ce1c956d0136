// The worker of a session: who it is for itself, for the bus, and for the house.
// Owns:          the ids under which one worker is known, and what it may listen to.
// Must not know: sockets, frames, jobs.
// I1. On the bus a worker is called `<tenant>.<its own id>`: two tenants never share one, and nobody of one tenant can pass for a worker
//     of another. An id of its own has no dot, so what stands behind the last one is the worker.
// I2. It may say either id; what leaves the gateway says the one of the bus.

import { directCancelSubject, directSubject, isTopic, SUBJECTS, workerIdForm } from "@cordum/protocol";

export interface SessionWorker {
  /** As it calls itself. */
  readonly ownId: string;
  /** As the bus knows it. */
  readonly workerId: string;
  readonly tenant: string;
  readonly session: string;
}

/** What a worker may subscribe to. */
export type Wish =
  | { readonly kind: "direct" }
  | { readonly kind: "cancels" }
  | { readonly kind: "topic"; readonly topic: string }
  | { readonly kind: "forbidden" };

export function isOwnId(text: string): boolean {
  return workerIdForm(text) === "plain";
}

/** Precondition: isOwnId. */
export function sessionWorker(ownId: string, tenant: string, session: string): SessionWorker {
  return { ownId, workerId: `${tenant}.${ownId}`, tenant, session };
}

/** As it calls itself, of a worker that connects with a key of the tenant; undefined: no such worker is called so. */
export function ownIdIn(workerId: string, tenant: string): string | undefined {
  const ownId = workerId.slice(tenant.length + 1);
  return workerId === `${tenant}.${ownId}` && isOwnId(ownId) ? ownId : undefined;
}

export function isOwnName(name: string, { ownId, workerId }: SessionWorker): boolean {
  return name === ownId || name === workerId;
}

export function wishOf(subject: string, { ownId, workerId }: SessionWorker): Wish {
  if (subject === directSubject(ownId) || subject === directSubject(workerId)) return { kind: "direct" };
  if (subject === SUBJECTS.jobCancel) return { kind: "cancels" };
  if (subject === directCancelSubject(ownId) || subject === directCancelSubject(workerId)) return { kind: "cancels" };
  return isTopic(subject) ? { kind: "topic", topic: subject } : { kind: "forbidden" };
}
