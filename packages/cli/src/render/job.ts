// Jobs as people read them.
// Owns:          which members are shown, in which order, with which words.
// Must not know: how a job was fetched.

import type { Constraints, JobDetail, JobRecord, JobStep, Remediation, StopOrder, StrayResult } from "@cordum/sdk";
import { oneLine, printable, type Terminal } from "../terminal.ts";
import { json } from "./json.ts";
import { table } from "./table.ts";
import { age, moment } from "./time.ts";

/** State, and what it waits for. */
export function describeWait(job: JobDetail): string {
  const why = waitReason(job);
  return why === "" ? job.state : `${job.state}  ${why}`;
}

function waitReason(job: JobDetail): string {
  const reason = [job.safety_rule_id, job.safety_reason].filter((part) => part !== "").join(": ");
  switch (job.state) {
    case "APPROVAL_REQUIRED":
      return `waits for a person${reason === "" ? "" : ` (${reason})`}; cordum approve ${job.id}`;
    case "DENIED":
    case "FAILED":
    case "TIMEOUT":
    case "CANCELLED":
      return [job.error_code, job.error_message].filter((part) => part !== undefined && part !== "").join(": ");
    case "PENDING":
    case "SCHEDULED":
      return job.safety_decision === "THROTTLE" ? `throttled (${reason}); asked again later` : waitingFor(job);
    default:
      return [by(extra(job, "worker_id")), describeShare(job)].filter((part) => part !== "").join(", ");
  }
}

function by(worker: string): string {
  return worker === "" ? "" : `at ${worker}`;
}

const WAITS: ReadonlyMap<string, string> = new Map([
  ["placing", "waits for a place"],
  ["no_workers", "waits for a worker: none serves this topic"],
  ["pool_overloaded", "waits for a worker: all are busy"],
  ["workers_draining", "waits for a worker: all are drained"],
  ["no_listener", "waits for a worker: nobody heard the job"],
  ["tenant_limit", "waits for a slot: as many jobs of its tenant are out as may be"],
  ["rule_limit", "waits for a slot: as many jobs of its rule are out as may be"],
  ["retry_backoff", "waits for its next attempt"],
  ["policy_unavailable", "waits for a policy: none is loaded"],
  ["not_before", "waits for its time"],
]);

function waitingFor(job: JobDetail): string {
  const reason = extra(job, "waiting");
  return reason === "" ? "" : (WAITS.get(reason) ?? `waits: ${reason}`);
}

/** A member that only newer servers send; "" when it is absent. */
function extra(job: object, member: string): string {
  const value: unknown = Object.hasOwn(job, member) ? Reflect.get(job, member) : undefined;
  return typeof value === "string" ? value : "";
}

/** What came of a job: its result to standard output, as JSON. */
export function printEnd(job: JobDetail, terminal: Terminal): void {
  if (job.result !== null && job.result !== undefined) terminal.print(json(job.result));
}

/** All of a job, one member a line. */
export function describeJob(job: JobDetail): string {
  const rows: readonly (readonly [string, string | undefined])[] = [
    ["job", job.id],
    ["state", describeWait(job)],
    ["topic", job.topic],
    ["tenant", job.tenant],
    ["actor", [job.actor_id, job.actor_type].filter((part) => part !== "").join(", ")],
    ["capability", job.capability],
    ["risk tags", job.risk_tags?.join(", ")],
    ["labels", pairs(job.labels)],
    ["worker", extra(job, "worker_id")],
    ["progress", describeProgress(job)],
    ["stop", job.stop === undefined ? "" : describeStop(job.stop)],
    ["attempts", job.attempts === 0 ? "" : String(job.attempts)],
    [
      "policy",
      [job.safety_decision, job.safety_rule_id && `rule ${job.safety_rule_id}`]
        .filter((part) => part !== "")
        .join(", "),
    ],
    ["reason", job.safety_reason],
    ["limits", job.safety_constraints === null ? "" : describeConstraints(job.safety_constraints)],
    ["remedies", job.safety_remediations?.map(describeRemedy).join(", ")],
    ["approval", describeApproval(job)],
    ["trace", job.trace_id],
    ["error", [job.error_code, job.error_message].filter((part) => part !== undefined && part !== "").join(": ")],
  ];
  const shown = rows.filter(([, value]) => value !== undefined && value !== "");
  const lines = shown.map(([name, value]) => `${name.padEnd(11)}${oneLine(value ?? "")}`);
  if (job.steps !== undefined && job.steps.length > 0) lines.push("story", indent(describeSteps(job.steps)));
  if (job.stray_results !== undefined && job.stray_results.length > 0)
    lines.push("did not count", indent(describeStrays(job.stray_results)));
  if (job.context !== null) lines.push("context", indent(json(job.context)));
  if (job.result !== null) lines.push("result", indent(json(job.result)));
  return lines.join("\n");
}

/** With the id by which it is chosen. */
function describeRemedy({ id, title = "" }: Remediation): string {
  return title === "" ? id : `${id} (${title})`;
}

/** What the job went through: the moment, or how long after the first one, and why. */
function describeSteps(steps: readonly JobStep[]): string {
  const first = steps[0]?.at ?? 0;
  const rows = steps.map(({ state, at, why }, index) => [
    index === 0 ? moment(at / 1_000) : `+${((at - first) / 1_000_000).toFixed(3)}s`,
    state,
    why,
  ]);
  return table(rows);
}

function describeProgress(job: JobDetail): string {
  const said = describeShare(job);
  return said === "" || job.progress_at === undefined ? said : `${said}, at ${moment(job.progress_at / 1_000)}`;
}

/** What its worker said last: `40 %: reading`. */
function describeShare({ percent, progress_message = "" }: JobDetail): string {
  const share = percent === undefined || percent === 0 ? "" : `${percent} %`;
  return [share, progress_message].filter((part) => part !== "").join(": ");
}

const TOO_LATE = "JOB_STATUS_SUCCEEDED";

/** What became of the work on a job that was ended under its worker's hands. */
export function describeStop({ status, worker_id, asked_at, answered_at, reported }: StopOrder): string {
  switch (status) {
    case "awaited":
      return `${worker_id} was told to stop and has not answered yet`;
    case "acknowledged": {
      const after = answered_at === undefined ? "" : ` after ${((answered_at - asked_at) / 1_000_000).toFixed(3)}s`;
      return reported === TOO_LATE
        ? `too late: ${worker_id} had done the work, and said so${after}`
        : `acknowledged by ${worker_id}${after}${reported === undefined ? "" : ` (${reported})`}`;
    }
    case "outcome_unknown":
      return `outcome unknown: ${worker_id} did not answer; it may have done the work, or still do it`;
    default:
      return status;
  }
}

function describeStrays(strays: readonly StrayResult[]): string {
  return table(strays.map(({ at, why, worker_id, reported }) => [moment(at / 1_000), reported, worker_id, why]));
}

function describeApproval(job: JobDetail): string {
  if (job.approval_by === undefined) return "";
  const at = job.approval_at === undefined ? "" : ` at ${moment(job.approval_at / 1_000)}`;
  const why = job.approval_reason === undefined ? "" : `: ${job.approval_reason}`;
  return `by ${job.approval_by}${at}${why}`;
}

/** Flat: `budgets.max_runtime_ms=1000, sandbox.isolated=true`. */
export function describeConstraints(constraints: Constraints): string {
  return Object.entries(constraints)
    .flatMap(([section, value]) =>
      typeof value === "object"
        ? Object.entries(value).map(([name, limit]) => `${section}.${name}=${String(limit)}`)
        : [`${section}=${value}`],
    )
    .join(", ");
}

/** The newest changes of jobs; `now` in epoch ms. */
export function jobTable(jobs: readonly JobRecord[], now: number): string {
  const rows = jobs.map((job) => [
    job.id,
    job.state,
    job.topic ?? "",
    [job.safety_decision, job.safety_rule_id].filter((part) => part !== undefined && part !== "").join(" "),
    job.updated_at === 0 ? "" : `${age(now - job.updated_at / 1_000)} ago`,
  ]);
  return table([["JOB", "STATE", "TOPIC", "POLICY", "CHANGED"], ...rows]);
}

function pairs(labels: { readonly [label: string]: string }): string {
  return Object.entries(labels)
    .map(([label, value]) => `${label}=${value}`)
    .join(", ");
}

function indent(text: string): string {
  return printable(text).replace(/^/gm, "  ");
}
