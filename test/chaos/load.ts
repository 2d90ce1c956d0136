// A steady load of jobs of all kinds, by clients who insist.
// Owns:          the pace, which kind comes next, handing each job in until it is accepted, at the next gateway when one does not take it.
// Must not know: which gateway is well, what becomes of a job.

import type { SeededRandom } from "@cordum/control-plane/adapters/system/seeded-random";
import { handIn } from "../fleet/hand-in.ts";
import { KEYS } from "./fleet.ts";
import { type Kind, kindAt } from "./kinds.ts";
import type { Ledger } from "./ledger.ts";
import { sleep } from "./sleep.ts";

export interface LoadOptions {
  readonly urls: readonly string[];
  readonly jobsPerSecond: number;
  /** Begins every idempotency key. */
  readonly name: string;
  readonly chance: SeededRandom;
  readonly ledger: Ledger;
}

/** Clients that wait for an answer at once: beyond it nobody new comes. */
const LANES_MAX = 128;
const PATIENCE_MS = 12_000;
const AGAIN_MS = 200;

export class Load {
  readonly #options: LoadOptions;
  readonly #underWay = new Set<Promise<void>>();
  #next = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  get underWay(): number {
    return this.#underWay.size;
  }

  /** Until the signal fires. What was begun is handed in to the end: see `settled`. */
  async run(signal: AbortSignal): Promise<void> {
    while (await sleep(1_000 / this.#options.jobsPerSecond, signal)) {
      if (this.#underWay.size >= LANES_MAX) continue;
      const handing = this.#insist(this.#next++).finally(() => this.#underWay.delete(handing));
      this.#underWay.add(handing);
    }
  }

  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  async #insist(nth: number): Promise<void> {
    const { urls, name, chance, ledger } = this.#options;
    const kind = kindAt(chance.below(100));
    const idempotencyKey = `${name}-${nth}`;
    const prompt = promptOf(kind, nth, chance);
    const body = { topic: kind.topic, prompt, ...more(kind, chance) };
    const apiKey = kind.tenant === "acme" ? KEYS.ada.key : KEYS.nan.key;
    for (let attempt = 0; ; attempt++) {
      const url = urls[(nth + attempt) % urls.length] ?? "";
      const answer = await handIn({ url, apiKey, idempotencyKey, body, patienceMs: PATIENCE_MS });
      if (answer.kind === "accepted") {
        const { topic, tenant } = kind;
        const about = { topic, tenant, idempotencyKey, body, prompt, kind: kind.name };
        ledger.accepted.set(answer.jobId, { id: answer.jobId, at: Date.now(), ...about });
        return;
      }
      ledger.refused(answer.status);
      const mayBe = answer.status === 0 || (answer.status === 503 && answer.retryAfter !== null);
      if (!mayBe)
        ledger.offend("answers", `a submit was answered ${answer.status}, Retry-After ${answer.retryAfter ?? "none"}`);
      await sleep(AGAIN_MS);
    }
  }
}

/** Of a flaky job it says how often it fails: some fail more often than they are tried. */
function promptOf({ topic }: Kind, nth: number, chance: SeededRandom): string {
  return topic === "job.flaky" ? `fails ${chance.below(4)} times, job ${nth}` : `job ${nth}`;
}

function more({ delayMsMax }: Kind, chance: SeededRandom): object {
  return delayMsMax === undefined ? {} : { delay_ms: 1_000 + chance.below(delayMsMax - 1_000) };
}
