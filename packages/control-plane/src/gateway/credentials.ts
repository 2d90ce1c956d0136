// What a request presents as its key.
// Owns:          the header, and the subprotocols by which browsers, which cannot set headers on a WebSocket, say the same.
// Must not know: whether a key is any good.
// P1. The header wins. P2. A token of a subprotocol is base64 in any of its alphabets, or the key itself: a literal key that happens to look
//     like base64 is tried too. P3. Never from the query: it ends up in logs.

import type { IncomingHttpHeaders } from "node:http";

/** The subprotocol that the answer to an upgrade selects. */
export const KEY_SUBPROTOCOL = "cordum-api-key";
const PROTOCOLS_MAX = 16;
const TOKEN_CHARS_MAX = 2_048;

/** Readings of what is presented, the likeliest first; one that is undefined: nothing is presented. */
export function presentedKeys(headers: IncomingHttpHeaders): readonly [string | undefined, ...string[]] {
  const header = headers["x-api-key"];
  if (typeof header === "string" && header.trim() !== "") return [header];
  const token = headers.upgrade === undefined ? undefined : tokenOf(headers["sec-websocket-protocol"] ?? "");
  if (token === undefined) return [undefined];
  const decoded = decode(token);
  return decoded === undefined ? [token] : [decoded, token];
}

/** `cordum-api-key, <token>` or `cordum-api-key.<token>`; the name in any case. */
function tokenOf(protocols: string): string | undefined {
  const offered = protocols.split(",", PROTOCOLS_MAX).map((protocol) => protocol.trim());
  const at = offered.findIndex((protocol) => protocol.toLowerCase() === KEY_SUBPROTOCOL);
  const dotted = offered.find((protocol) => protocol.toLowerCase().startsWith(`${KEY_SUBPROTOCOL}.`));
  const token = at === -1 ? dotted?.slice(KEY_SUBPROTOCOL.length + 1) : offered[at + 1];
  return token === undefined || token === "" || token.length > TOKEN_CHARS_MAX ? undefined : token;
}

/** Undefined when it is no base64 of printable text. */
function decode(token: string): string | undefined {
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(token)) return undefined;
  const text = Buffer.from(token, "base64").toString("latin1");
  return /^[\x20-\x7e]+$/.test(text) ? text : undefined;
}
