// Calls that explain jobs: what happened, why one waits, how many there are, traces, remedies.
// Owns:          which of them go to which route; their records.
// Must not know: how any of it is found.

import { type CallOptions, segment, sending } from "./calling.ts";
import type { Answer, Call } from "./http.ts";
import { cursorOfLink, type ListOptions, pages } from "./paging.ts";
import { objectOf, pageOf, parseJobPage, parseJson, withText } from "./parse.ts";
import type { JobRecord, JobState, SubmittedJob } from "./records.ts";

/** A state that a job reached, a decision of policy, or the answer of a person. */
export interface JobLogEntry {
  /** Unix microseconds. */
  readonly at: number;
  readonly kind: "state" | "decision" | "approval" | "stop" | "stray_result" | (string & Record<never, never>);
  readonly state?: JobState;
  readonly why?: string;
  readonly decision?: string;
  readonly reason?: string;
  readonly rule_id?: string;
  readonly policy_snapshot?: string;
  readonly by?: string;
  readonly role?: string;
  /** Of a stop: `acknowledged` or `outcome_unknown`. */
  readonly outcome?: string;
  /** What a worker said when it was asked to stop, or when nobody waited for it. */
  readonly reported?: string;
}

export interface JobLog {
  readonly id: string;
  /** False when the beginning is no longer kept. */
  readonly complete: boolean;
  /** Oldest first. */
  readonly items: readonly JobLogEntry[];
}

export interface JobWait {
  readonly id: string;
  readonly state: JobState;
  /** Stable; branch on it. */
  readonly reason: string;
  readonly explanation: string;
  /** Unix microseconds, as the other times. */
  readonly since: number;
  /** What would free it; empty when nothing has to. */
  readonly freed_by: string;
  readonly who_can_act: readonly string[];
  /** One for each pool that it may run on. */
  readonly queues: readonly {
    readonly pool: string;
    readonly priority: string;
    /** Jobs of the tenant that come first. */
    readonly ahead: number;
    readonly waiting: number;
    readonly workers: number;
    readonly free_slots: number;
  }[];
  readonly limit?: { readonly used: number; readonly max?: number; readonly ahead: number };
  readonly next_look_at?: number;
  /** When the wait ends the job. */
  readonly ends_at?: number;
}

export interface JobCounts {
  readonly tenant: string;
  readonly at: number;
  readonly states: { readonly [state: string]: number };
  readonly open: number;
  readonly ended: number;
}

export function jobReadingCalls(send: (call: Call) => Promise<Answer>) {
  const read = async (path: string, options: CallOptions, query = {}): Promise<unknown> =>
    parseJson((await send({ method: "GET", path, query, ...sending(options) })).text);
  return {
    /** What happened to the job: states, decisions and answers of people. */
    events: async (jobId: string, options: CallOptions = {}): Promise<JobLog> => {
      const log = withText<JobLog>(await read(`${jobPath(jobId)}/events`, options), "id");
      return { ...log, items: pageOf(log, (item) => withText<JobLogEntry>(item, "kind")).items };
    },
    /** Why the job does not run, where it stands, what would free it, and who can act. */
    why: async (jobId: string, options: CallOptions = {}): Promise<JobWait> =>
      withText<JobWait>(await read(`${jobPath(jobId)}/why`, options), "id", "state", "reason", "explanation"),
    /** How many jobs there are, by state. */
    counts: async (options: CallOptions & { readonly tenant?: string } = {}): Promise<JobCounts> => {
      const counts = withText<JobCounts>(
        await read("/api/v1/jobs/counts", options, { tenant: options.tenant }),
        "tenant",
      );
      objectOf(counts.states);
      return counts;
    },
    /** The jobs of a trace in the order in which they were accepted, page by page as the loop asks for them. */
    trace: (traceId: string, options: ListOptions = {}): AsyncIterable<JobRecord> =>
      pages(send, { method: "GET", path: `/api/v1/traces/${segment(traceId)}` }, options, ({ text, link }) => ({
        items: parseJobPage(text).items,
        nextCursor: cursorOfLink(link),
      })),
    /** Submits a job that policy held back in the form that policy offers instead; needs no id where there is one offer only. */
    remediate: async (
      jobId: string,
      options: CallOptions & { readonly remediationId?: string } = {},
    ): Promise<SubmittedJob> => {
      const body = { remediation_id: options.remediationId };
      const { text } = await send({ method: "POST", path: `${jobPath(jobId)}/remediate`, body, ...sending(options) });
      return withText<SubmittedJob>(parseJson(text), "job_id");
    },
  };
}

function jobPath(jobId: string): string {
  return `/api/v1/jobs/${segment(jobId)}`;
}
