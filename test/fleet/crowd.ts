// Somebody who hands in many jobs at several gateways, and insists.
// Owns:          handing each job in until it is accepted, at the next gateway when one does not take it; what was answered meanwhile.
// Must not know: which gateway is well.

import { Client, CordumError, type JobDetail } from "@cordum/sdk";
import { handIn } from "./hand-in.ts";

export interface CrowdOptions {
  readonly urls: readonly string[];
  readonly apiKey: string;
  readonly topic: string;
  /** Begins every idempotency key: jobs of another crowd are other jobs. */
  readonly name: string;
  /** How long it waits for one answer. */
  readonly patienceMs: number;
}

export class Crowd {
  /** Ids of accepted jobs, by number. */
  readonly accepted = new Map<number, string>();
  /** Refusals by status; 0: no answer. */
  readonly refusals = new Map<number, number>();
  /** Refusals with 503 that did not say when to come back. */
  withoutRetryAfter = 0;
  readonly #options: CrowdOptions;
  readonly #clients: readonly Client[];

  constructor(options: CrowdOptions) {
    this.#options = options;
    const { apiKey } = options;
    this.#clients = options.urls.map((url) => new Client({ url, apiKey, retries: 0, timeoutMs: 4_000 }));
  }

  /** Hands in the jobs `from` … `to` − 1 in `lanes` lanes. `pauseMs`: after each job, in each lane. */
  async handIn(from: number, to: number, { lanes = 16, pauseMs = 0 } = {}): Promise<void> {
    let next = from;
    const lane = async (): Promise<void> => {
      while (next < to) {
        await this.#insist(next++);
        if (pauseMs > 0) await sleep(pauseMs);
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  }

  async #insist(nth: number): Promise<void> {
    const { topic, name, urls, apiKey, patienceMs } = this.#options;
    for (let attempt = 0; ; attempt++) {
      const url = urls[(nth + attempt) % urls.length] ?? "";
      const idempotencyKey = `${name}-${nth}`;
      const answer = await handIn({ url, apiKey, idempotencyKey, patienceMs, body: { topic, prompt: String(nth) } });
      if (answer.kind === "accepted") {
        this.accepted.set(nth, answer.jobId);
        return;
      }
      this.refusals.set(answer.status, (this.refusals.get(answer.status) ?? 0) + 1);
      if (answer.status === 503 && answer.retryAfter === null) this.withoutRetryAfter++;
      if (answer.status !== 0 && answer.status < 500) throw new Error(`${url} answers ${answer.status}`);
      await sleep(100);
    }
  }

  /** Waits for the end of every accepted job, whichever gateway can tell. */
  async ended(limitMs: number): Promise<readonly JobDetail[]> {
    const endsAt = performance.now() + limitMs;
    const jobs: JobDetail[] = [];
    for (const [nth, id] of this.accepted) jobs.push(await this.#endOf(id, nth, endsAt));
    return jobs;
  }

  async #endOf(id: string, nth: number, endsAt: number): Promise<JobDetail> {
    for (let attempt = 0; ; attempt++) {
      const client = this.#clients[(nth + attempt) % this.#clients.length];
      if (client === undefined) throw new Error("no gateway");
      try {
        return await client.wait(id, { timeoutMs: Math.max(1, Math.min(5_000, endsAt - performance.now())) });
      } catch (error) {
        if (!(error instanceof CordumError) || !error.retryable) throw error;
        if (performance.now() > endsAt) {
          const job = await client.get(id).catch(() => undefined);
          throw new Error(`job ${nth} has not ended: ${JSON.stringify(job)}`, { cause: error });
        }
      }
    }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
