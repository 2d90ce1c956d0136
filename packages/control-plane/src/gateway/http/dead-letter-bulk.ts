// Many dead letters at once, over HTTP.
// Owns:          what a call is for, and how its outcomes are shown.
// Must not know: how a letter is retried or removed.

import type { Static } from "typebox";
import { type BulkAnswer, type BulkWish, discardMany, type LetterOutcome, retryMany } from "../../jobs/bulk-letters.ts";
import { invalidField } from "../../ports/fault.ts";
import type { App } from "../app.ts";
import { CURSOR_CHARS_MAX, guessMs } from "../cursor.ts";
import { filled } from "../filled.ts";
import { actorOf, type Caller } from "../identity.ts";
import { cursorOf, filterOf, placeOf, refuseUnsaid } from "./dead-letter-filter.ts";
import { BulkAnswerSchema, BulkSchema, rfc3339 } from "./dead-letter-schemas.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { problemResponses } from "./schemas.ts";

const LIMIT_PRESET = 100;
const tags = ["dead letters"];
const SAYS = "The answer states the scope, and what became of each letter; `dry_run` states it beforehand.";

export function deadLetterBulkRoutes(app: App, { jobParts, deadline }: RouteParts): void {
  app.post(
    "/api/v1/dlq/retry",
    {
      config: { permission: "dlq.write" },
      schema: {
        tags,
        operationId: "retryDeadLetters",
        summary: "Submit the jobs of many dead letters once more",
        description: `${SAYS} Repeating a call makes no second job.`,
        body: BulkSchema,
        response: { 200: BulkAnswerSchema, ...problemResponses },
      },
    },
    async (request) => {
      const wish = wishOf(request.body, callerOf(request));
      return answerView(await retryMany(wish, jobParts, deadline()), wish);
    },
  );
  app.post(
    "/api/v1/dlq/delete",
    {
      config: { permission: "dlq.write" },
      schema: {
        tags,
        operationId: "deleteDeadLetters",
        summary: "Remove many dead letters",
        description: `${SAYS} The records of the jobs stay.`,
        body: BulkSchema,
        response: { 200: BulkAnswerSchema, ...problemResponses },
      },
    },
    async (request) => {
      const wish = wishOf(request.body, callerOf(request));
      return answerView(await discardMany(wish, jobParts, deadline()), wish);
    },
  );
}

function wishOf(body: Static<typeof BulkSchema> | undefined | null, caller: Caller): BulkWish {
  if (body === undefined || body === null) throw invalidField("body", "a JSON object is required");
  const { tenant } = caller;
  const filter = { ...filterOf(body.filter, tenant), ...timesOf(body.filter) };
  refuseUnsaid(filter, body.all === true);
  const cursor = body.cursor ?? "";
  if (cursor.length > CURSOR_CHARS_MAX)
    throw invalidField("cursor", `cursor is longer than ${CURSOR_CHARS_MAX} characters`);
  const after = placeOf(cursor);
  return {
    filter,
    actor: actorOf(caller),
    reason: body.reason ?? "",
    dryRun: body.dry_run === true,
    limit: body.limit ?? LIMIT_PRESET,
    ...(after === undefined ? {} : { after }),
  };
}

/** In a body times are numbers. */
function timesOf(
  filter: Static<typeof BulkSchema>["filter"],
): Pick<BulkWish["filter"], "createdAfter" | "createdBefore"> {
  const createdAfter = guessMs(filter?.created_after ?? 0, "lower");
  const createdBefore = guessMs(filter?.created_before ?? 0, "upper");
  return {
    ...(createdAfter === undefined ? {} : { createdAfter }),
    ...(createdBefore === undefined ? {} : { createdBefore }),
  };
}

function answerView(answer: BulkAnswer, wish: BulkWish): Static<typeof BulkAnswerSchema> {
  const { scope, matches, outcomes, next } = answer;
  const { tenant, code, topic, signature, createdAfter, createdBefore } = scope;
  const counts: Record<string, number> = {};
  for (const { kind } of outcomes) counts[kind] = (counts[kind] ?? 0) + 1;
  return {
    dry_run: wish.dryRun,
    scope: {
      tenant,
      ...filled({ reason_code: code ?? "", topic: topic ?? "", signature: signature ?? "" }),
      ...(createdAfter === undefined ? {} : { created_after: rfc3339(createdAfter) }),
      created_before: rfc3339(createdBefore),
      matches,
    },
    counts,
    items: outcomes.map(outcomeView),
    next_cursor: cursorOf(next),
  };
}

function outcomeView(outcome: LetterOutcome): Static<typeof BulkAnswerSchema>["items"][number] {
  const { jobId, kind } = outcome;
  const said = { job_id: jobId, outcome: kind };
  if (kind === "refused") return { ...said, code: outcome.code, detail: outcome.message };
  return kind === "retried" || kind === "would_retry" ? { ...said, new_job_id: outcome.newJobId } : said;
}
