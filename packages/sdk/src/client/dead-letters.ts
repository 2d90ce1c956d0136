// Calls about dead letters.
// Owns:          which of them go to which route; the records of groups and of many letters at once.
// Must not know: why a job ended there.

import { type CallOptions, segment, sending } from "./calling.ts";
import type { Answer, Call } from "./http.ts";
import { type ListOptions, pages } from "./paging.ts";
import { objectOf, pageOf, parseDeadLetter, parseDeadLetterPage, parseJson, parseRetried, withText } from "./parse.ts";
import type { DeadLetter, RetriedJob } from "./records.ts";

export interface DeadLetterFilter {
  readonly reason_code?: string;
  readonly topic?: string;
  /** Of a group. */
  readonly signature?: string;
  /** Unix seconds, milliseconds or microseconds, inclusive. */
  readonly created_after?: number;
  readonly created_before?: number;
}

/** Letters of one topic that died of the same error. */
export interface DeadLetterGroup {
  readonly signature: string;
  /** The reason, with placeholders for what differs. */
  readonly pattern: string;
  readonly reason_code: string;
  readonly topic: string;
  readonly count: number;
  /** RFC 3339. */
  readonly newest_at: string;
  readonly example: DeadLetter;
}

export interface ManyLetters {
  readonly filter?: DeadLetterFilter;
  /** Required where the filter names nothing: every dead letter is meant. */
  readonly all?: boolean;
  /** Letters of one call: 100 when absent. */
  readonly limit?: number;
  /** From `next_cursor` of the call before. */
  readonly cursor?: string;
  /** For the audit. */
  readonly reason?: string;
}
interface ManyOptions extends CallOptions {
  /** Say what would be done, and do nothing. */
  readonly dryRun?: boolean;
}

export interface ManyLettersAnswer {
  readonly dry_run: boolean;
  readonly scope: {
    readonly tenant: string;
    /** Letters in the scope when the call began. */
    readonly matches: number;
    readonly [filter: string]: string | number;
  };
  /** By outcome. */
  readonly counts: { readonly [outcome: string]: number };
  readonly items: readonly {
    readonly job_id: string;
    /** `retried`, `would_retry`, `deleted`, `would_delete`, `gone` or `refused`. */
    readonly outcome: string;
    readonly new_job_id?: string;
    readonly code?: string;
    readonly detail?: string;
  }[];
  /** Null when the scope is through. */
  readonly next_cursor: string | null;
}

const ROUTE = "/api/v1/dlq";
const GROUPS_PAGE = 50;

export function deadLetterCalls(send: (call: Call) => Promise<Answer>) {
  const many = async (verb: "retry" | "delete", wish: ManyLetters, options: ManyOptions) => {
    const body = { ...wish, dry_run: options.dryRun ?? false };
    const { text } = await send({ method: "POST", path: `${ROUTE}/${verb}`, body, ...sending(options) });
    const answer = withText<ManyLettersAnswer>(parseJson(text));
    objectOf(answer.counts);
    return {
      ...answer,
      items: pageOf(answer, (item) => withText<ManyLettersAnswer["items"][number]>(item, "job_id", "outcome")).items,
    };
  };
  return {
    /** Jobs that ended without success, newest first. */
    list: (options: ListOptions & DeadLetterFilter = {}): AsyncIterable<DeadLetter> =>
      pages(send, { method: "GET", path: `${ROUTE}/page`, query: filterOf(options) }, options, ({ text }) =>
        parseDeadLetterPage(text),
      ),
    /** What they died of, newest first. */
    groups: (options: ListOptions & DeadLetterFilter = {}): AsyncIterable<DeadLetterGroup> =>
      pages(
        send,
        { method: "GET", path: `${ROUTE}/groups`, query: filterOf(options) },
        { ...options, pageSize: Math.min(options.pageSize ?? GROUPS_PAGE, GROUPS_PAGE) },
        ({ text }) => groupPage(text),
      ),
    /** The dead letter of one job; it stays readable after a retry. */
    get: async (jobId: string, options: CallOptions = {}): Promise<DeadLetter> =>
      parseDeadLetter((await send({ method: "GET", path: `${ROUTE}/${segment(jobId)}`, ...sending(options) })).text),
    /** Submits the job once more, to be judged anew. A repeated call gives the same new job. */
    retry: async (jobId: string, options: CallOptions = {}): Promise<RetriedJob> =>
      parseRetried(
        (await send({ method: "POST", path: `${ROUTE}/${segment(jobId)}/retry`, ...sending(options) })).text,
      ),
    /** Removes the dead letter, not the job. One that is not there is no error. */
    delete: async (jobId: string, options: CallOptions = {}): Promise<void> => {
      await send({ method: "DELETE", path: `${ROUTE}/${segment(jobId)}`, ...sending(options) });
    },
    /** Retries what the filter finds, at most `limit` of it; `next_cursor` leads on. A repeat makes no second job. */
    retryMany: (wish: ManyLetters, options: ManyOptions = {}): Promise<ManyLettersAnswer> =>
      many("retry", wish, options),
    /** Removes what the filter finds. The jobs stay. */
    deleteMany: (wish: ManyLetters, options: ManyOptions = {}): Promise<ManyLettersAnswer> =>
      many("delete", wish, options),
  };
}

function filterOf({ reason_code, topic, signature, created_after, created_before }: DeadLetterFilter) {
  return { reason_code, topic, signature, created_after, created_before };
}

function groupPage(text: string) {
  const { groups, next_cursor } = objectOf(parseJson(text));
  return pageOf({ items: groups, next_cursor }, (group) =>
    withText<DeadLetterGroup>(group, "signature", "pattern", "topic"),
  );
}
