// News that a key has changed, for every process that may have it in memory.
// Owns:          the subject and the form. News that are lost cost the time of known-keys.ts, N2.
// Must not know: what the process does about it.

import type { Bus, Subscription } from "../ports/bus.ts";
import { hearNews, type NewsParts, sendNews } from "../records/news.ts";
import { isKeyId } from "./secret.ts";

export const KEY_NEWS_SUBJECT = "cordum.event.key";

/** Never fails. */
export function announceKey(id: string, parts: NewsParts, signal: AbortSignal): Promise<void> {
  const unsent = { event: "key.news_not_sent", fields: { keyId: id } };
  return sendNews(
    { subject: KEY_NEWS_SUBJECT, bytes: Buffer.from(JSON.stringify({ key: id })), unsent },
    parts,
    signal,
  );
}

export function listenForKeys(bus: Bus, hear: (id: string) => void): Promise<Subscription> {
  return hearNews(bus, KEY_NEWS_SUBJECT, (bytes) => {
    const id = parseNews(bytes);
    if (id !== undefined) hear(id);
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
