// Lists that come page by page.
// Owns:          asking for the next page as a loop wants it; when a list has ended.
// Must not know: what is listed.

import { type CallOptions, positive, sending } from "./calling.ts";
import type { Answer, Call } from "./http.ts";
import type { Page } from "./parse.ts";

export interface ListOptions extends CallOptions {
  /** Entries asked for at once: 1 to 500, 100 when absent. */
  readonly pageSize?: number;
}

const PAGE_SIZE = 100;

export async function* pages<T>(
  send: (call: Call) => Promise<Answer>,
  call: Call,
  options: ListOptions,
  parsePage: (answer: Answer) => Page<T>,
): AsyncGenerator<T, void, undefined> {
  const limit = positive("pageSize", options.pageSize ?? PAGE_SIZE);
  let cursor: string | undefined;
  for (;;) {
    const page = parsePage(await send({ ...call, query: { ...call.query, limit, cursor }, ...sending(options) }));
    yield* page.items;
    // A server that hands out the same cursor again would keep us here for ever.
    if (page.nextCursor === undefined || page.nextCursor === cursor) return;
    cursor = page.nextCursor;
  }
}

/** The cursor in `Link: <…?cursor=…>; rel="next"`, where a list is a bare array. */
export function cursorOfLink(link: string | undefined): string | undefined {
  const [, target] = /^<([^>]*)>; rel="next"$/.exec(link ?? "") ?? [];
  if (target === undefined) return undefined;
  return new URLSearchParams(target.slice(target.indexOf("?") + 1)).get("cursor") ?? undefined;
}
