// What a client of the stream of jobs knows, from events alone.
// Owns:          following one tenant's stream through a gateway's door, over every break.
// Must not know: the truth.

import { Client } from "@cordum/sdk";

const PATIENCE_MS = 3_600_000;

export class Picture implements AsyncDisposable {
  readonly states = new Map<string, string>();
  readonly tenants = new Set<string>();
  /** When the first event came: of what ended before, it knows nothing. */
  firstAt = Number.POSITIVE_INFINITY;
  /** What ended the stream, if anything did. */
  failure: unknown;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  constructor(url: string, apiKey: string) {
    this.#ended = this.#follow(new Client({ url, apiKey }));
  }

  async #follow(client: Client): Promise<void> {
    const { signal } = this.#stop;
    try {
      for await (const { job } of client.jobs.stream({ signal, patienceMs: PATIENCE_MS })) {
        this.firstAt = Math.min(this.firstAt, Date.now());
        this.states.set(job.id, job.state);
        this.tenants.add(job.tenant);
      }
    } catch (error) {
      if (!signal.aborted) this.failure = error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }
}
