// Where a job is listed.
// Owns:          the indexes of jobs: what each is for, what its score means, how long entries live.
// Must not know: who lists.
// I1. All entries of a job are a function of its record. I2. Every index costs about 1 µs and 140 bytes a job: a new one needs a reason.
// I3. Listing indexes keep entries an hour longer than records, so that no record that exists is missing from them. A job that stays open
//     for days is listed anew by its "upkeep" wake before its entries would expire.

import type { Layout } from "../ports/state.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import type { Entry } from "../records/record-store.ts";
import type { Job, JobPriority } from "./job.ts";

export const JOB_INDEX = {
  /** of tenant; score: last change. */
  byTenant: "job.tenant",
  /** of tenant, state; score: last change. */
  byState: "job.state",
  /** of tenant, topic; score: listedAt. */
  byTopic: "job.topic",
  /** of tenant, team; score: listedAt. */
  byTeam: "job.team",
  /** of tenant, trace; score: listedAt. Without the job that began the trace: its id is the trace's. */
  byTrace: "job.trace",
  /** of pool, priority, tenant: jobs that wait for a worker; score: acceptance. */
  backlog: "job.backlog",
  /** of limit: jobs that a limit holds back; score: acceptance. */
  heldBack: "job.held",
  /** of nobody: all jobs that wait for a person, for the gauges; score: the question. */
  asked: "job.asked",
  /** of worker: jobs that are out with it; score: dispatch. */
  busyOfWorker: "job.busy.worker",
} as const;

const HOUR_MS = 3_600_000;

/** How long a finished job's record is kept decides how long it is listed. */
export function jobLayout(keepMs: Ms): Layout["indexes"] {
  const listed = { score: "time", keepMs: keepMs + HOUR_MS } as const;
  const open = { score: "time", keepMs: "forever" } as const;
  return {
    [JOB_INDEX.byTenant]: listed,
    [JOB_INDEX.byState]: listed,
    [JOB_INDEX.byTopic]: listed,
    [JOB_INDEX.byTeam]: listed,
    [JOB_INDEX.byTrace]: listed,
    [JOB_INDEX.backlog]: open,
    [JOB_INDEX.heldBack]: open,
    [JOB_INDEX.asked]: open,
    [JOB_INDEX.busyOfWorker]: open,
  };
}

export function entriesOfJob(job: Job): readonly Entry[] {
  const { tenant, phase, updatedAt, listedAt } = job;
  const entries: Entry[] = [
    { index: JOB_INDEX.byTenant, of: [tenant], score: updatedAt },
    { index: JOB_INDEX.byState, of: [tenant, phase.state], score: updatedAt },
    { index: JOB_INDEX.byTopic, of: [tenant, job.topic], score: listedAt },
  ];
  if (job.traceId !== job.id) entries.push({ index: JOB_INDEX.byTrace, of: [tenant, job.traceId], score: listedAt });
  if (job.team !== "") entries.push({ index: JOB_INDEX.byTeam, of: [tenant, job.team], score: listedAt });
  if (phase.state === "APPROVAL_REQUIRED") entries.push({ index: JOB_INDEX.asked, of: [], score: phase.ask.at });
  if (phase.state === "SCHEDULED")
    for (const pool of phase.pools) entries.push(backlogEntry(pool, job.priority, tenant, job.acceptedAt));
  if (phase.state === "SCHEDULED" && phase.limit !== undefined)
    entries.push({ index: JOB_INDEX.heldBack, of: [phase.limit], score: job.acceptedAt });
  if (phase.state === "DISPATCHED" || phase.state === "RUNNING")
    entries.push({ index: JOB_INDEX.busyOfWorker, of: [phase.dispatch.workerId], score: phase.dispatch.at });
  return entries;
}

function backlogEntry(pool: string, priority: JobPriority, tenant: string, acceptedAt: EpochMs): Entry {
  return { index: JOB_INDEX.backlog, of: [pool, priority, tenant], score: acceptedAt };
}
