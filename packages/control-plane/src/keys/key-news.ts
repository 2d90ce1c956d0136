// News that a key has changed, for every process that may have it in memory.
// Owns:          the subject and the form.
// Must not know: what the process does about it.
// The news names a key and says nothing about it: whoever forges one costs a read. One that is lost costs the time of known-keys.ts, N2.

import type { Bus, Subscription } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import { messageOf } from "../ports/fault.ts";
import type { Log } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";
import { isKeyId } from "./secret.ts";

export const KEY_NEWS_SUBJECT = "cordum.event.key";
const PUBLISH_MS: Ms = 2_000;
const IN_FLIGHT_MAX = 64;

export interface NewsParts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
}

/** Never fails: the change is made, and is found out without the news too. */
export async function announceKey(id: string, { bus, clock, log }: NewsParts, signal: AbortSignal): Promise<void> {
  try {
    await bus.publish(KEY_NEWS_SUBJECT, Buffer.from(JSON.stringify({ key: id })), clock.deadline(signal, PUBLISH_MS));
  } catch (error) {
    log.warn("key.news_not_sent", { keyId: id, reason: messageOf(error) });
  }
}

export function listenForKeys(bus: Bus, hear: (id: string) => void): Promise<Subscription> {
  return bus.subscribe({ subject: KEY_NEWS_SUBJECT, keep: false, inFlightMax: IN_FLIGHT_MAX }, async (bytes) => {
    const id = parseNews(bytes);
    if (id !== undefined) hear(id);
    return { kind: "ack" };
  });
}

function parseNews(bytes: Uint8Array): string | undefined {
  try {
    const news: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    if (news === null || typeof news !== "object" || !("key" in news) || typeof news.key !== "string") return undefined;
    return isKeyId(news.key) ? news.key : undefined;
  } catch {
    return undefined;
  }
}
