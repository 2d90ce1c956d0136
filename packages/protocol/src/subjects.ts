// Subjects, topics and queue groups.
// Owns:          their names, and the rules for what may stand in a subject.
// Must not know: any bus client, streams.

import { createHash } from "node:crypto";

export const SUBJECTS = {
  jobSubmit: "sys.job.submit",
  jobResult: "sys.job.result",
  jobProgress: "sys.job.progress",
  jobCancel: "sys.job.cancel",
  jobDeadLetter: "sys.job.dlq",
  heartbeat: "sys.heartbeat",
  workflowEvent: "sys.workflow.event",
  alert: "sys.alert",
  handshake: "sys.handshake",
  configChanged: "sys.config.changed",
  auditExport: "sys.audit.export",
  approvalGate: "sys.approval.gate",
  /** JSON, request and reply: agents of CAP 2.10 to 2.13. */
  sessionHandshake: "sys.worker.handshake",
  sessionHandshakeRenew: "sys.worker.handshake.renew",
  /** Packets, request and reply: CAP 2.14 and later. Never stored. */
  trustChallenge: "sys.worker.handshake.challenge",
  trustAuthenticate: "sys.worker.handshake.authenticate",
} as const;

/** Subjects that several replicas listen to together. */
export const QUEUE_GROUPS = { scheduler: "cordum-scheduler", workflowEngine: "cordum-workflow-engine" } as const;

/** sender_id of the parts of a control plane. */
export const SENDERS = {
  gatewayHttp: "api-gateway-http",
  gateway: "api-gateway",
  scheduler: "cordum-scheduler",
  workflowEngine: "workflow-engine",
} as const;

export const APPROVAL_GATE_TOPIC = "job.cordum.approval-gate";

const WORKER_ID_PLAIN = /^[A-Za-z0-9_-]{1,64}$/;
const WORKER_ID_DOTTED = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;
const WORKER_ID_LENGTH_MAX = 255;

/**
 * `plain` fits into one token of a subject. `dotted` (host names, and ids longer than 64) makes more tokens than the pattern
 * `worker.*.jobs` has, but workers do listen there. `unsafe` (empty, blanks, wildcards, anything else) cannot stand in a subject.
 */
export function workerIdForm(workerId: string): "plain" | "dotted" | "unsafe" {
  if (WORKER_ID_PLAIN.test(workerId)) return "plain";
  return workerId.length <= WORKER_ID_LENGTH_MAX && WORKER_ID_DOTTED.test(workerId) ? "dotted" : "unsafe";
}

/** Where a worker gets its own jobs. An unsafe id is replaced by a hash that no safe id can equal, so the answer is always a subject. */
export function directSubject(workerId: string): string {
  return `worker.${workerToken(workerId)}.jobs`;
}

/** Where a worker may listen for cancels of its own jobs, beside the broadcast on `sys.job.cancel`. */
export function directCancelSubject(workerId: string): string {
  return `worker.${workerToken(workerId)}.cancel`;
}

function workerToken(workerId: string): string {
  if (workerIdForm(workerId) !== "unsafe") return workerId;
  return `~${createHash("sha256").update(workerId).digest("hex").slice(0, 32)}`;
}

const TOPIC_LENGTH_MAX = 256;
const TOPIC = /^job(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)+$/;

/** Whether `text` may name a topic: `job.` and segments of letters, digits, `_` and `-` that begin and end with a letter or digit; at
 *  most 256 characters. A topic is used as a subject, so wildcards and blanks are no part of it. */
export function isTopic(text: string): boolean {
  return text.length <= TOPIC_LENGTH_MAX && TOPIC.test(text);
}

/** Whether `subject` is one that `pattern` stands for: `*` is one token, a last `>` one or more. */
export function matchesSubject(pattern: string, subject: string): boolean {
  if (pattern === subject) return true;
  const wanted = pattern.split(".");
  const tokens = subject.split(".");
  for (const [at, token] of wanted.entries()) {
    if (token === ">" && at === wanted.length - 1) return tokens.length > at;
    if (at >= tokens.length || (token !== "*" && token !== tokens[at])) return false;
  }
  return wanted.length === tokens.length;
}
