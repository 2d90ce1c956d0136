// The Link header of a page (RFC 8288).
// Owns:          the address of the next page.
// Must not know: what is listed.

import type { FastifyReply, FastifyRequest } from "fastify";
import { exactCursor, integerCursor, type Place } from "./cursor.ts";

/** Says where the next page is, exactly; returns the integer for clients that read `next_cursor`, null at the end.
 *  `path`, percent-encoded, where the route's own has parameters. */
export function announceNext(
  request: FastifyRequest,
  reply: FastifyReply,
  next: Place | undefined,
  leads: readonly string[],
  path: string = request.routeOptions.url ?? "",
): number | null {
  if (next === undefined) return null;
  const mark = request.url.indexOf("?");
  // Whatever the client sent is percent-encoded anew, so that nothing of it can end the header.
  const parameters = new URLSearchParams(mark === -1 ? "" : request.url.slice(mark + 1));
  parameters.set("cursor", exactCursor(next));
  reply.header("link", `<${path}?${parameters}>; rel="next"`);
  return integerCursor(next, leads);
}
