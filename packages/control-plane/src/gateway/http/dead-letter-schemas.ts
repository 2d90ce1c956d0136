// The shapes of dead letters on the wire.
// Owns:          member names and types of letters, groups and bulk calls; from a letter to its shape.
// Must not know: how they are read.

import { Type } from "@fastify/type-provider-typebox";
import type { Static } from "typebox";
import type { DeadLetter } from "../../dead-letters/dead-letter.ts";
import { GROUPS_MAX } from "../../dead-letters/group-dead-letters.ts";
import { BULK_MAX } from "../../jobs/bulk-letters.ts";
import { filled } from "../filled.ts";
import { maybe, PageQuery } from "./schemas.ts";

const text = Type.Optional(Type.String());
const time = Type.Optional(Type.Integer({ description: "Inclusive; seconds, ms or µs." }));

export const DeadLetterSchema = Type.Object({
  job_id: Type.String(),
  created_at: Type.String({ description: "RFC 3339." }),
  topic: text,
  status: text,
  reason: text,
  reason_code: text,
  last_state: text,
  attempts: Type.Optional(Type.Integer()),
  signature: Type.Optional(
    Type.String({ description: "The same for letters of one topic that died of the same error." }),
  ),
  retried_as: Type.Optional(Type.String({ description: "The job that repeats this one." })),
  remediated_as: Type.Optional(Type.String({ description: "The newest job that a remediation made of this one." })),
});

export const FilterQuery = Type.Object({
  ...PageQuery.properties,
  reason_code: text,
  topic: text,
  signature: text,
  created_after: time,
  created_before: time,
});

export const GroupsQuery = Type.Object({
  ...Type.Omit(FilterQuery, ["signature", "limit"]).properties,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: GROUPS_MAX })),
});

export const GroupsSchema = Type.Object({
  groups: Type.Array(
    Type.Object({
      signature: Type.String(),
      pattern: Type.String({ description: "The reason, with placeholders for what differs." }),
      reason_code: Type.String(),
      topic: Type.String(),
      count: Type.Integer(),
      newest_at: Type.String({ description: "RFC 3339." }),
      example: DeadLetterSchema,
    }),
  ),
  next_cursor: Type.Union([Type.String(), Type.Null()], {
    description: "Hand it back as `cursor`; null at the end. A page may be short.",
  }),
});

const BulkFilterSchema = Type.Object({
  reason_code: maybe(Type.String()),
  topic: maybe(Type.String()),
  signature: maybe(Type.String()),
  created_after: maybe(Type.Integer()),
  created_before: maybe(Type.Integer()),
});

export const BulkSchema = Type.Object({
  filter: maybe(BulkFilterSchema),
  all: maybe(Type.Boolean({ description: "Required where the filter names nothing: every dead letter is meant." })),
  dry_run: maybe(Type.Boolean({ description: "Say what would be done, and do nothing." })),
  limit: maybe(Type.Integer({ minimum: 1, maximum: BULK_MAX, description: "Letters of one call; preset 100." })),
  cursor: maybe(Type.String({ description: "From `next_cursor` of the call before." })),
  reason: maybe(Type.String({ maxLength: 512, description: "For the audit." })),
});

export const BulkAnswerSchema = Type.Object({
  dry_run: Type.Boolean(),
  scope: Type.Object({
    tenant: Type.String(),
    reason_code: text,
    topic: text,
    signature: text,
    created_after: Type.Optional(Type.String({ description: "RFC 3339." })),
    created_before: Type.String({ description: "RFC 3339. Letters that came later are not touched." }),
    matches: Type.Integer({
      description: "Letters in the scope when the call began; at most so many where the filter names several things.",
    }),
  }),
  counts: Type.Record(Type.String(), Type.Integer(), { description: "Of this call, by outcome." }),
  items: Type.Array(
    Type.Object({
      job_id: Type.String(),
      outcome: Type.String({
        description: "`retried`, `would_retry`, `deleted`, `would_delete`, `gone` or `refused`.",
      }),
      new_job_id: text,
      code: Type.Optional(Type.String({ description: "Why it was refused; listed in docs/reference/problems.md." })),
      detail: text,
    }),
  ),
  next_cursor: Type.Union([Type.String(), Type.Null()], {
    description: "Null when the scope is through. What is refused stays listed: go on by the cursor, not from the top.",
  }),
});

export function deadLetterView(letter: DeadLetter): Static<typeof DeadLetterSchema> {
  const { topic, status, reason, code, lastState, attempts, signature, retriedAs, remediatedAs } = letter;
  return {
    job_id: letter.jobId,
    created_at: rfc3339(letter.createdAt),
    ...filled({
      topic,
      status,
      reason,
      reason_code: code,
      last_state: lastState,
      attempts,
      signature,
      retried_as: retriedAs,
      remediated_as: remediatedAs,
    }),
  };
}

export function rfc3339(at: number): string {
  return new Date(at).toISOString();
}
