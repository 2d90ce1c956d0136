// News about jobs, as the control plane announces them on its bus.
// Owns:          reading the packets.
// Must not know: what is told about them.
// News may be lost or come twice. They make a good story; what must not be missed is asked of the API.

import type { JobState, WorkerConnection } from "@cordum/sdk";

const SUBJECT = "cordum.event.job";

export interface JobNews {
  readonly topic: string;
  readonly state: JobState;
  /** A worker, a rule, a reason to wait or an error code, by state. */
  readonly why: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export async function listenToNews(connection: WorkerConnection, tell: (news: JobNews) => void): Promise<void> {
  await connection.subscribe(SUBJECT, undefined, (bytes) => {
    for (const news of parseNews(bytes)) tell(news);
  });
}

function parseNews(bytes: Uint8Array): readonly JobNews[] {
  const packet: unknown = JSON.parse(new TextDecoder().decode(bytes));
  const news: unknown = typeof packet === "object" && packet !== null && "news" in packet ? packet.news : undefined;
  return Array.isArray(news) ? news.flatMap((each) => parseOne(each)) : [];
}

function parseOne(value: unknown): readonly JobNews[] {
  if (typeof value !== "object" || value === null) return [];
  if (!("topic" in value && "state" in value && "why" in value && "at" in value)) return [];
  const { topic, state, why, at } = value;
  const isNews =
    typeof topic === "string" && typeof state === "string" && typeof why === "string" && typeof at === "number";
  return isNews ? [{ topic, state, why, at }] : [];
}
