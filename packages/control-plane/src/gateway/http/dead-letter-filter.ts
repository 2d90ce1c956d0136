// Which dead letters a request is about.
// Owns:          reading the filter from a query or a body, and the place where a list goes on.
// Must not know: how letters are found.

import { DEAD_LETTER_INDEX } from "../../dead-letters/dead-letter.ts";
import type { DeadLetterFilter } from "../../dead-letters/list-dead-letters.ts";
import { invalidField } from "../../ports/fault.ts";
import type { Position } from "../../ports/state.ts";
import { exactCursor, parseCursor } from "../cursor.ts";
import { queryText, queryTime } from "../query.ts";

/** All lists of letters have one order, whatever index leads. */
export const LEADS = [DEAD_LETTER_INDEX.byTenant] as const;

export function filterOf(from: unknown, tenant: string): DeadLetterFilter {
  const code = queryText(from, "reason_code");
  const topic = queryText(from, "topic");
  const signature = queryText(from, "signature");
  const createdAfter = queryTime(from, "created_after", "lower");
  const createdBefore = queryTime(from, "created_before", "upper");
  return {
    tenant,
    ...(code === "" ? {} : { code }),
    ...(topic === "" ? {} : { topic }),
    ...(signature === "" ? {} : { signature }),
    ...(createdAfter === undefined ? {} : { createdAfter }),
    ...(createdBefore === undefined ? {} : { createdBefore }),
  };
}

/** From an exact cursor, or from a time. Undefined: from the top. */
export function placeOf(cursor: string): Position | undefined {
  const start = parseCursor(cursor, LEADS);
  if (start.kind === "top") return undefined;
  return start.kind === "behind" ? start : { score: start.at + 1, member: "" };
}

/** The text of a place for the lists that know no integers. */
export function cursorOf(place: Position | undefined): string | null {
  return place === undefined ? null : exactCursor({ lead: LEADS[0], ...place, shown: 0 });
}

/** A filter that names nothing is every letter: whoever means that says so. */
export function refuseUnsaid(filter: DeadLetterFilter, all: boolean): void {
  const isForAll = Object.keys(filter).length === 1;
  if (!isForAll || all) return;
  const reason = "name a reason_code, topic, signature or time, or say all: true";
  throw invalidField("filter", reason);
}
