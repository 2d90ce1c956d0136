// Why a gateway did not let us in.
// Owns:          asking it: a WebSocket that was not opened says nothing about the reason.
// Must not know: frames, reconnects.

import type { Runtime } from "../runtime.ts";
import type { GatewayPlace } from "./gateway-target.ts";

const DETAIL_CHARS_MAX = 300;

/** A sentence; undefined when the gateway cannot be asked, or has no objection. Never rejects, never repeats the key. */
export async function explainRefusal(
  { httpUrl, apiKey }: GatewayPlace,
  { runtime, ms }: { readonly runtime: Runtime; readonly ms: number },
): Promise<string | undefined> {
  const [late, answered] = [new AbortController(), new AbortController()];
  void runtime.sleep(ms, answered.signal).then((isLate) => isLate && late.abort());
  try {
    const response = await fetch(httpUrl, {
      headers: { "x-api-key": apiKey },
      redirect: "error",
      signal: late.signal,
    });
    const said = detailOf(await response.text());
    // What is asked for is a WebSocket, and this is none: the one objection that says nothing.
    if (response.status === 400 || response.status === 426) return undefined;
    return `${response.status} ${said ?? response.statusText}`.trim();
  } catch {
    return undefined; // it is not there at all: that is said by the socket
  } finally {
    answered.abort();
  }
}

function detailOf(text: string): string | undefined {
  try {
    const problem: unknown = JSON.parse(text);
    if (typeof problem !== "object" || problem === null || !("detail" in problem)) return undefined;
    return typeof problem.detail === "string" ? problem.detail.slice(0, DETAIL_CHARS_MAX) : undefined;
  } catch {
    return undefined;
  }
}
