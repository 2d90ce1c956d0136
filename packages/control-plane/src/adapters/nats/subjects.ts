// Subjects and patterns that NATS gives a meaning.
// Owns:          which subjects are durable; whether two patterns can match the same subject.
// Must not know: connections, streams that exist.

import { SUBJECTS } from "@cordum/protocol";

/** What a stream keeps in JetStream mode: what must reach the control plane, and nothing that must reach a worker. */
export const DURABLE_SUBJECTS: readonly string[] = [SUBJECTS.jobSubmit, SUBJECTS.jobResult, SUBJECTS.jobDeadLetter];
/** What workers listen to: a stream here would answer for them (B1). */
export const WORKER_PATTERNS: readonly string[] = ["job.>", "worker.>"];

/** A worker id that nobody has: what hears it hears all workers. */
const ALL_WORKERS = "worker.~.jobs";

/** Whether a subscription to `pattern` would hear what is sent to every single worker (B1). */
export function hearsAllWorkers(pattern: string): boolean {
  return overlap(pattern, ALL_WORKERS);
}

/** Whether a subject exists that both patterns match. */
export function overlap(a: string, b: string): boolean {
  const [left, right] = [a.split("."), b.split(".")];
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const [one, other] = [left[at], right[at]];
    if (one === undefined || other === undefined) return false;
    if (one === ">" || other === ">") return true;
    if (one !== other && one !== "*" && other !== "*") return false;
  }
  return true;
}
