// Asking the house about what it did, when all is well again.
// Owns:          submits that come a second time, jobs read through the API, logs read for keys.
// Must not know: what is right: it says what differs.

import { existsSync, readFileSync } from "node:fs";
import type { SeededRandom } from "@cordum/control-plane/adapters/system/seeded-random";
import type { Job } from "@cordum/control-plane/jobs/job";
import { Client } from "@cordum/sdk";
import { handIn } from "../fleet/hand-in.ts";
import type { RoundFacts } from "./facts.ts";
import { type Fleet, KEYS } from "./fleet.ts";
import type { AcceptedJob, Ledger } from "./ledger.ts";

const REPEATS_MAX = 50;
const READS_MAX = 400;
const READS_AT_ONCE = 8;
const PATIENCE_MS = 30_000;

/** Where Redis forgot a job, its second submit makes it anew, under the same id. */
export async function repeatSubmits({ urls }: Fleet, ledger: Ledger, chance: SeededRandom): Promise<void> {
  const keyed = [...ledger.accepted.values()].filter(
    ({ idempotencyKey, at }) => idempotencyKey !== "" && !ledger.losses.some(({ from, to }) => at >= from && at <= to),
  );
  for (let nth = 0; nth < Math.min(REPEATS_MAX, keyed.length); nth++) {
    const job = keyed[chance.below(keyed.length)];
    if (job === undefined) return;
    const { id, idempotencyKey, body } = job;
    const url = urls[nth % urls.length] ?? "";
    const answer = await handIn({ url, apiKey: keyOf(job), idempotencyKey, body, patienceMs: PATIENCE_MS });
    const said = answer.kind === "accepted" ? answer.jobId : `status ${answer.status}`;
    if (said !== id) ledger.offend("one job for one key", `${idempotencyKey} was ${id}, handed in again it is ${said}`);
    ledger.count("submits repeated at the end");
  }
}

/** A result is a payload beside the record: Redis may have forgotten the one and kept, or been told again of, the other. */
export async function readThroughApi({ urls }: Fleet, round: RoundFacts): Promise<void> {
  const jobs = [...round.jobs.values()];
  const { ledger } = round.facts;
  const step = Math.max(1, Math.floor(jobs.length / READS_MAX));
  const chosen = jobs.filter((_, at) => at % step === 0);
  const readLane = async (lane: number): Promise<void> => {
    for (let at = lane; at < chosen.length; at += READS_AT_ONCE) {
      const job = chosen[at];
      const accepted = job === undefined ? undefined : ledger.accepted.get(job.id);
      if (job !== undefined && accepted !== undefined)
        await readOne(urls[at % urls.length] ?? "", { job, accepted }, round);
    }
  };
  await Promise.all(Array.from({ length: READS_AT_ONCE }, (_, lane) => readLane(lane)));
}

async function readOne(
  url: string,
  { job, accepted }: { readonly job: Job; readonly accepted: AcceptedJob },
  round: RoundFacts,
): Promise<void> {
  const { ledger } = round.facts;
  const { state, tenant, result } = await new Client({ url, apiKey: keyOf(accepted), timeoutMs: PATIENCE_MS }).get(
    job.id,
  );
  ledger.count("jobs read through the API");
  if (state !== job.phase.state || tenant !== accepted.tenant)
    ledger.offend("reading", `${job.id} is ${job.phase.state}, the API says ${state} of ${tenant}`);
  if (state !== "SUCCEEDED" || JSON.stringify(result) === JSON.stringify({ echo: accepted.prompt })) return;
  if (round.isTouched(job.id)) ledger.count("results that Redis forgot");
  else ledger.offend("reading", `${job.id} was "${accepted.prompt}", its result is ${JSON.stringify(result)}`);
}

export function lookForSecrets(logPaths: readonly string[], ledger: Ledger): void {
  const secrets = Object.values(KEYS).map(({ key }) => key);
  for (const path of logPaths) {
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    const found = secrets.filter((secret) => text.includes(secret));
    if (found.length > 0) ledger.offend("no secrets in logs", `${path} holds an API key`);
  }
}

function keyOf({ tenant }: AcceptedJob): string {
  return tenant === "acme" ? KEYS.ada.key : KEYS.nan.key;
}
