// News about jobs, after each commit, for whoever watches.
// Owns:          the packet of our own event subject, and sending many news in one packet.
// Must not know: who listens. News may be lost or doubled; whoever must not miss anything reads State.

import type { Bus } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import { messageOf } from "../ports/fault.ts";
import type { Log } from "../ports/telemetry.ts";
import type { EpochMs } from "../ports/time.ts";
import type { Job, JobState } from "./job.ts";

export const JOB_NEWS_SUBJECT = "cordum.event.job";
const NEWS_PER_PACKET = 100;
/** News that wait for a slow bus; beyond that they are dropped. */
const WAITING_MAX = 10_000;

export interface JobNews {
  readonly id: string;
  readonly tenant: string;
  readonly topic: string;
  readonly traceId: string;
  readonly state: JobState;
  readonly at: EpochMs;
  readonly why: string;
  readonly percent: number;
}

/** News as they are heard. Whoever may publish on the bus may have written them: they say which record to read, not what is true. */
export type HeardNews = Pick<JobNews, "id" | "tenant" | "state" | "topic">;

/** News of a packet; none when it is no such packet. */
export function parseNews(bytes: Uint8Array): readonly HeardNews[] {
  try {
    const packet: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (packet === null || typeof packet !== "object" || !("news" in packet) || !Array.isArray(packet.news)) return [];
    return packet.news.slice(0, NEWS_PER_PACKET).filter(isNews);
  } catch {
    return [];
  }
}

function isNews(item: unknown): item is HeardNews {
  if (item === null || typeof item !== "object") return false;
  if (!("id" in item) || !("tenant" in item) || !("state" in item) || !("topic" in item)) return false;
  const isText = typeof item.id === "string" && typeof item.tenant === "string";
  return isText && typeof item.state === "string" && typeof item.topic === "string";
}

export class Announcer {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  #waiting: JobNews[] = [];
  #sending: Promise<void> | undefined;

  constructor(parts: { readonly bus: Bus; readonly clock: Clock; readonly log: Log }, signal: AbortSignal) {
    this.#bus = parts.bus;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#signal = signal;
  }

  /** Tells what the job's last step was. Never waits, never fails: news that cannot be sent are dropped and logged. */
  tell(job: Job): void {
    const step = job.steps.at(-1);
    const { id, tenant, topic, traceId, phase } = job;
    const percent = phase.state === "RUNNING" ? phase.percent : 0;
    if (this.#waiting.length >= WAITING_MAX) return;
    this.#waiting.push({
      id,
      tenant,
      topic,
      traceId,
      state: phase.state,
      at: job.updatedAt,
      why: step?.why ?? "",
      percent,
    });
    this.#sending ??= this.#send();
  }

  /** Ends when what was told has gone out, or could not. */
  async settled(): Promise<void> {
    while (this.#sending !== undefined) await this.#sending;
  }

  async #send(): Promise<void> {
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const news = this.#waiting.slice(0, NEWS_PER_PACKET);
      this.#waiting = this.#waiting.slice(NEWS_PER_PACKET);
      try {
        await this.#bus.publish(
          JOB_NEWS_SUBJECT,
          new TextEncoder().encode(JSON.stringify({ news })),
          this.#clock.deadline(this.#signal, 5_000),
        );
      } catch (error) {
        this.#log.warn("news.dropped", {
          count: news.length,
          reason: messageOf(error),
        });
      }
    }
    this.#sending = undefined;
  }
}
