// Looking into the store while a round runs.
// Owns:          counts of open jobs and of slots; that limits are not exceeded at any moment that is looked at.
// Must not know: how jobs end. Asks Redis past the control plane, so that it sees what is there and not what is said.

import { indexName, recordName } from "@cordum/control-plane/adapters/redis/keys";
import { type JobState, OPEN_STATES, TERMINAL_STATES } from "@cordum/control-plane/jobs/job";
import { JOB_INDEX } from "@cordum/control-plane/jobs/job-indexes";
import { JOB_KIND } from "@cordum/control-plane/jobs/job-store";
import { partitionOf } from "@cordum/control-plane/ports/partition";
import { slotLayout } from "@cordum/control-plane/scheduling/slots";
import type { ChaosRedis } from "./chaos-redis.ts";
import { LIMITS, TENANTS } from "./house-rules.ts";
import type { Ledger } from "./ledger.ts";
import { sleep } from "./sleep.ts";

const PARTITIONS = 16;
const LOOK_MS = 200;
const ANSWER_MS_MAX = 2_000;
const [SLOT_INDEX = ""] = Object.keys(slotLayout());

const openNames = namesOf(OPEN_STATES);
const endedNames = namesOf(TERMINAL_STATES);
const slotNames = LIMITS.map(({ id }) =>
  indexName({ partition: partitionOf(id, PARTITIONS), index: SLOT_INDEX, of: [id] }),
);

/** Undefined while Redis does not answer. */
export async function openJobs(redis: ChaosRedis): Promise<number | undefined> {
  return sumOf(await sizes(redis, openNames));
}

export async function endedJobs(redis: ChaosRedis): Promise<number | undefined> {
  return sumOf(await sizes(redis, endedNames));
}

export async function slotsOut(redis: ChaosRedis): Promise<readonly number[] | undefined> {
  return sizes(redis, slotNames);
}

/** Those of the jobs that are stored. */
export async function storedOf({ admin }: ChaosRedis, ids: readonly string[]): Promise<readonly string[]> {
  const names = ids.map((id) => recordName({ partition: partitionOf(id, PARTITIONS), kind: JOB_KIND, id }));
  const found = names.length === 0 ? [] : await admin.mget(...names);
  return ids.filter((_, at) => typeof found[at] === "string");
}

/** Until the signal fires. */
export async function watchLimits(redis: ChaosRedis, ledger: Ledger, signal: AbortSignal): Promise<void> {
  while (await sleep(LOOK_MS, signal)) {
    const out = await slotsOut(redis);
    if (out === undefined) continue;
    ledger.count("times at which limits were looked at");
    for (const [at, { says, max }] of LIMITS.entries()) {
      const taken = out[at] ?? 0;
      if (taken > max) ledger.offend("limits kept", `${says} had ${taken} slots taken at ${Date.now()}; ${max} may be`);
      if (taken === max) ledger.count("times at which a limit was seen reached");
    }
  }
}

function namesOf(states: readonly JobState[]): readonly string[] {
  return Array.from({ length: PARTITIONS }, (_, partition) =>
    TENANTS.flatMap((tenant) => states.map((state) => nameOf(partition, tenant, state))),
  ).flat();
}

function nameOf(partition: number, tenant: string, state: JobState): string {
  return indexName({ partition, index: JOB_INDEX.byState, of: [tenant, state] });
}

function sumOf(sizes: readonly number[] | undefined): number | undefined {
  return sizes?.reduce((sum, size) => sum + size, 0);
}

async function sizes({ admin }: ChaosRedis, names: readonly string[]): Promise<readonly number[] | undefined> {
  const asked = admin.pipeline();
  for (const name of names) asked.zcard(name);
  // A connection that was given up may leave its last question without an answer.
  const answers = await Promise.race([asked.exec().catch(() => null), sleep(ANSWER_MS_MAX).then(() => null)]);
  if (answers === null || answers.some(([error]) => error !== null)) return undefined;
  return answers.map(([, size]) => Number(size));
}
