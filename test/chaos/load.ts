// A steady load of jobs of all kinds, by clients who insist.
// Owns:          the pace, which kind comes next, handing each job in until it is accepted, at the next gateway when one does not take it.
// Must not know: which gateway is well, what becomes of a job.

import type { SeededRandom } from "@cordum/control-plane/adapters/system/seeded-random";
import { type Answer, handIn, handInTogether } from "../fleet/hand-in.ts";
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
  #isGivenUp = false;

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

  /** Nobody is left to hand anything in to. */
  giveUp(): void {
    this.#isGivenUp = true;
  }

  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  async #insist(nth: number): Promise<void> {
    const { urls, name, chance } = this.#options;
    const kind = kindAt(chance.below(100));
    let left = Array.from({ length: kind.together ?? 1 }, (_, at) => this.#wishOf(kind, `${name}-${nth}-${at}`));
    for (let attempt = 0; left.length > 0 && !this.#isGivenUp; attempt++) {
      const url = urls[(nth + attempt) % urls.length] ?? "";
      const answers = await this.#ask(url, kind, left);
      left = left.filter((wish, at) => !this.#isAccepted(wish, answers[at]));
      if (left.length > 0) await sleep(AGAIN_MS);
    }
  }

  #wishOf(kind: Kind, idempotencyKey: string): Wish {
    const { chance } = this.#options;
    const prompt = promptOf(kind, idempotencyKey, chance);
    const priority = PRIORITIES[chance.below(PRIORITIES.length)];
    return { kind, idempotencyKey, prompt, body: { topic: kind.topic, prompt, priority, ...timesOf(kind, chance) } };
  }

  async #ask(url: string, kind: Kind, wishes: readonly Wish[]): Promise<readonly Answer[]> {
    const apiKey = kind.tenant === "acme" ? KEYS.ada.key : KEYS.nan.key;
    const [first] = wishes;
    if (first === undefined) return [];
    const asked = { url, apiKey, patienceMs: PATIENCE_MS, idempotencyKey: first.idempotencyKey };
    if (kind.together === undefined) return [await handIn({ ...asked, body: first.body })];
    const jobs = wishes.map(({ body, idempotencyKey }) => ({ ...body, idempotency_key: idempotencyKey }));
    return handInTogether({ ...asked, body: { jobs }, count: jobs.length });
  }

  #isAccepted({ kind, idempotencyKey, prompt, body }: Wish, answer: Answer | undefined): boolean {
    const { ledger } = this.#options;
    if (answer?.kind === "accepted") {
      const { topic, tenant, name } = kind;
      const about = { topic, tenant, idempotencyKey, body, prompt, kind: name };
      ledger.accepted.set(answer.jobId, { id: answer.jobId, at: Date.now(), ...about });
      return true;
    }
    const { status, retryAfter } = answer ?? { status: 0, retryAfter: null };
    ledger.refused(status);
    // 408: a request that was cut off on its way. It may be sent again at once.
    const mayBe = status === 0 || status === 408 || (status === 503 && retryAfter !== null);
    if (!mayBe) ledger.offend("answers", `a submit was answered ${status}, Retry-After ${retryAfter ?? "none"}`);
    return false;
  }
}

interface Wish {
  readonly kind: Kind;
  readonly idempotencyKey: string;
  readonly prompt: string;
  readonly body: object;
}

const PRIORITIES = ["critical", "interactive", "batch"] as const;

/** Of a flaky job it says how often it fails: some fail more often than they are tried. */
function promptOf({ topic }: Kind, key: string, chance: SeededRandom): string {
  return topic === "job.flaky" ? `fails ${chance.below(4)} times, ${key}` : key;
}

function timesOf({ delayMsMax, deadlineMs }: Kind, chance: SeededRandom): object {
  if (deadlineMs !== undefined) return { deadline_ms: deadlineMs };
  return delayMsMax === undefined ? {} : { delay_ms: 1_000 + chance.below(delayMsMax - 1_000) };
}
