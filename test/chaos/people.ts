// People and keys who work with the jobs of a round.
// Owns:          an approver, somebody who cancels, somebody who retries dead letters, somebody who changes the policy, a reader of the
//                stream; what they were told.
// Must not know: what is broken meanwhile: they shrug at what may be tried again later, and note what they should never be told.

import { renameSync, writeFileSync } from "node:fs";
import type { SeededRandom } from "@cordum/control-plane/adapters/system/seeded-random";
import { Client, CordumError } from "@cordum/sdk";
import { KEYS } from "./fleet.ts";
import { POLICIES } from "./house-rules.ts";
import { TO_CANCEL } from "./kinds.ts";
import type { Deed, Ledger } from "./ledger.ts";
import { sleep } from "./sleep.ts";

export interface PeopleOptions {
  readonly urls: readonly string[];
  readonly policyPath: string;
  readonly chance: SeededRandom;
  readonly ledger: Ledger;
}

const APPROVE_EVERY_MS = 700;
const CANCEL_EVERY_MS = 500;
const RETRY_EVERY_MS = 4_000;
const POLICY_EVERY_MS = 9_000;
const ANSWERS_AT_ONCE = 25;
const CALL_MS = 12_000;
/** No answer; a request that was cut off on its way; nobody there for now. */
const MAY_BE = new Set([0, 408, 503]);
/** What somebody may be told whose request came too late, or at the wrong moment. */
const LATE_CODES = new Set([
  "JOB_NOT_FOUND",
  "DEAD_LETTER_NOT_FOUND",
  "APPROVAL_NOT_ACTIONABLE",
  "APPROVAL_STALE_POLICY",
]);

export class People {
  readonly #options: PeopleOptions;
  readonly #cancelled = new Set<string>();
  readonly #retried = new Set<string>();
  #turn = 0;
  /** While jobs still come: afterwards nothing new is made, and whoever waits is answered. */
  isOver = false;

  constructor(options: PeopleOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.#each(APPROVE_EVERY_MS, signal, () => this.#approve()),
      this.#each(CANCEL_EVERY_MS, signal, () => this.#cancel()),
      this.#each(RETRY_EVERY_MS, signal, () => this.#retry()),
      this.#each(POLICY_EVERY_MS, signal, () => this.#changePolicy()),
    ]);
  }

  async #each(everyMs: number, signal: AbortSignal, deed: () => Promise<void>): Promise<void> {
    while (await sleep(everyMs, signal)) await this.#shrug(deed);
  }

  /** Whichever gateway is next. */
  #as(name: keyof typeof KEYS): Client {
    const { urls } = this.#options;
    const url = urls[this.#turn++ % urls.length] ?? "";
    return new Client({ url, apiKey: KEYS[name].key, retries: 0, timeoutMs: CALL_MS });
  }

  async #approve(): Promise<void> {
    const { chance, ledger } = this.#options;
    let left = ANSWERS_AT_ONCE;
    for await (const { job } of this.#as("bob").approvals.list({ pageSize: ANSWERS_AT_ONCE })) {
      if (left-- === 0) return;
      if (chance.once(6)) await this.#approveOwn(job.id);
      const yes = chance.below(10) < 7;
      if (yes) ledger.approvals.add(job.id);
      await this.#shrug(async () => {
        const { approvals } = this.#as("bob");
        await (yes ? approvals.approve(job.id) : approvals.reject(job.id, { reason: "too risky" }));
        this.#did({ jobId: job.id, action: yes ? "job.approve" : "job.reject", by: "bob" });
      });
    }
  }

  /** Who has asked may not answer. */
  async #approveOwn(jobId: string): Promise<void> {
    const { ledger } = this.#options;
    await this.#shrug(async () => {
      await this.#as("ada").approvals.approve(jobId);
      ledger.offend("approvals", `${jobId} was approved by whoever asked for it`);
    }, "SELF_APPROVAL_DENIED");
    ledger.count("tries to approve one's own");
  }

  async #cancel(): Promise<void> {
    const { chance, ledger } = this.#options;
    for (const { id, kind } of [...ledger.accepted.values()].slice(-200)) {
      if (kind !== TO_CANCEL || this.#cancelled.has(id) || chance.once(3)) continue;
      this.#cancelled.add(id);
      await this.#shrug(async () => {
        const { state, reason } = await this.#as("ada").cancel(id);
        if (state === "CANCELLED" && reason === undefined) this.#did({ jobId: id, action: "job.cancel", by: "ada" });
      });
    }
  }

  async #retry(): Promise<void> {
    const { ledger } = this.#options;
    if (this.isOver) return;
    for await (const { job_id: letter, topic = "" } of this.#as("ada").deadLetters.list({ pageSize: 20 })) {
      const original = ledger.accepted.get(letter);
      if (topic !== "job.fail" || original === undefined || this.#retried.has(letter)) continue;
      this.#retried.add(letter);
      const { job_id: id } = await this.#as("ada").deadLetters.retry(letter);
      const about = { kind: "a retried dead letter", idempotencyKey: "", body: {} };
      ledger.accepted.set(id, { ...original, ...about, id, at: Date.now() });
      const again = await this.#as("ada").deadLetters.retry(letter);
      if (again.job_id !== id)
        ledger.offend("one job for one key", `${letter} was retried as ${id} and as ${again.job_id}`);
      return;
    }
  }

  /** Written beside and put in its place, as an editor does. */
  async #changePolicy(): Promise<void> {
    const { policyPath, chance, ledger } = this.#options;
    if (this.isOver) return;
    writeFileSync(`${policyPath}.new`, POLICIES[chance.below(2) === 0 ? 0 : 1].text);
    renameSync(`${policyPath}.new`, policyPath);
    ledger.count("times the policy was written anew");
  }

  #did(deed: Omit<Deed, "at">): void {
    this.#options.ledger.deeds.push({ ...deed, at: Date.now() });
    this.#options.ledger.count(`answers and orders of people: ${deed.action.slice("job.".length)}`);
  }

  async #shrug(deed: () => Promise<void>, expected = ""): Promise<void> {
    try {
      await deed();
    } catch (error) {
      if (!(error instanceof CordumError)) throw error;
      if (MAY_BE.has(error.status) || error.code === expected || LATE_CODES.has(error.code)) return;
      // Its own answer came, and was lost on the way; or the other gateway's did.
      if (error.code === "APPROVAL_ALREADY_RESOLVED") return;
      this.#options.ledger.offend("answers", `somebody was answered ${error.status} ${error.message}`);
    }
  }
}
