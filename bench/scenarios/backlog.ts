// What a dispatch costs while many jobs wait.
// Owns:          backlogs of several sizes, each with a control plane of its own, from which a worker takes some thousand jobs a round.
// Must not know: how the backlog is read.
// G1. All jobs are real: records, indexes and alarms as a submit without a worker leaves them. They are copies of one that was submitted.
// G2. The way of a job is the same whatever waits behind it: the smallest backlog is filled up before each round.

import { openRedis } from "@cordum/control-plane/adapters/redis/open-redis";
import { systemClock } from "@cordum/control-plane/adapters/system/clock";
import type { Job } from "@cordum/control-plane/jobs/job";
import { hashRequest, requestOf } from "@cordum/control-plane/jobs/job-request";
import { JobStore } from "@cordum/control-plane/jobs/job-store";
import { DEFAULT_RETENTION, stateLayout } from "@cordum/control-plane/services/core";
import { silentLog } from "@cordum/control-plane/telemetry/log";
import { encodeJobRequest } from "@cordum/protocol";
import { middleOf } from "../campaign.ts";
import { Child } from "../child.ts";
import { environmentOf, KEY } from "../contender.ts";
import { LoadClient } from "../load.ts";
import { fine, spread, whole } from "../report.ts";
import type { Context, Scale, Scenario } from "../scenario.ts";
import { type MeasuredRedis, startMeasuredNats, startMeasuredRedis } from "../servers.ts";

const SIZES: { readonly [scale in Scale]: readonly number[] } = {
  full: [0, 100_000, 1_000_000],
  quick: [0, 10_000, 100_000],
  tiny: [200],
};
const JOBS_A_ROUND: { readonly [scale in Scale]: number } = { full: 3_000, quick: 800, tiny: 50 };
const WARM_UP: { readonly [scale in Scale]: number } = { full: 10_000, quick: 1_000, tiny: 0 };
/** So that the worker always finds one more. */
const SPARE = 150;
const CREATED_AT_ONCE = 512;
/** Not on disk: a million jobs would be gigabytes, and what the disk costs is the same for all. */
const SHAPE = { load: "single", workers: 1, slots: 50, connections: 1, fsync: "never" } as const;
const END_MS_MAX = 120_000;
const LOOK_MS = 20;
const clock = systemClock();
const never = new AbortController().signal;

interface Taken {
  readonly jobs: number;
  readonly jobsPerSecond: number;
  readonly systemMicros: number;
  readonly redisMicros: number;
}

class Side implements AsyncDisposable {
  readonly behind: number;
  readonly taken: Taken[] = [];
  readonly #redis: MeasuredRedis;
  readonly #system: Child;
  readonly #env: Readonly<Record<string, string>>;
  readonly #owned: AsyncDisposableStack;
  readonly #store: JobStore;
  readonly #template: Job;
  #made = 0;
  #waiting = 0;

  private constructor(
    behind: number,
    parts: {
      readonly redis: MeasuredRedis;
      readonly system: Child;
      readonly env: Readonly<Record<string, string>>;
      readonly owned: AsyncDisposableStack;
      readonly store: JobStore;
      readonly template: Job;
    },
  ) {
    this.behind = behind;
    this.#redis = parts.redis;
    this.#system = parts.system;
    this.#env = parts.env;
    this.#owned = parts.owned;
    this.#store = parts.store;
    this.#template = parts.template;
  }

  static async open(behind: number): Promise<Side> {
    await using started = new AsyncDisposableStack();
    const redis = started.use(await startMeasuredRedis(SHAPE.fsync));
    const nats = started.use(await startMeasuredNats(false));
    const env = { ...environmentOf("cordum NATS", SHAPE, redis, nats), BENCH_ROLES: "gateway,scheduler" };
    const system = started.use(await Child.start("cordum-node", env));
    const layout = stateLayout(DEFAULT_RETENTION);
    const { state, close } = await openRedis({ url: redis.url, layout, clock }, silentLog());
    started.defer(close);
    const store = new JobStore(state, clock, DEFAULT_RETENTION);
    using client = await LoadClient.connect({ url: new URL(system.url), apiKey: KEY });
    const answer = await client.ask("POST", "/api/v1/jobs", JSON.stringify({ prompt: "bench", topic: "job.bench" }));
    const { job_id: id } = JSON.parse(answer) as { readonly job_id: string };
    const seen = await store.load(id, never);
    if (seen?.record.phase.state !== "SCHEDULED") throw new Error("a job without a worker does not wait");
    return new Side(behind, { redis, system, env, owned: started.move(), store, template: seen.record });
  }

  /** Until so many wait. */
  async fill(waiting: number): Promise<void> {
    const lane = async (): Promise<void> => {
      while (this.#waiting < waiting) {
        this.#waiting++;
        await this.#store.create(this.#copy(), never);
      }
    };
    await Promise.all(Array.from({ length: CREATED_AT_ONCE }, lane));
  }

  #copy(): Job {
    const id = `copy-${this.#made++}`;
    const request = { ...requestOf(this.#template), jobId: id };
    const encoded = encodeJobRequest(request);
    const at = clock.now();
    return {
      ...this.#template,
      id,
      traceId: id,
      request: Buffer.from(encoded).toString("base64"),
      hash: hashRequest(request, encoded),
      acceptedAt: at,
      updatedAt: at,
      listedAt: at,
    };
  }

  /** A worker comes, takes about so many, and goes. */
  async take(jobs: number): Promise<Taken> {
    await this.fill(Math.max(this.behind, jobs + SPARE));
    const endedBefore = await this.#system.ended();
    const [system, redis] = [await this.#system.read(), await this.#redis.read()];
    const startedAt = performance.now();
    {
      await using _ = await Child.start("cordum-worker", this.#env);
      while ((await this.#system.ended()) < endedBefore + jobs) {
        if (performance.now() - startedAt > END_MS_MAX) throw new Error(`${jobs} jobs were not taken within 120 s`);
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
    }
    const seconds = (performance.now() - startedAt) / 1_000;
    const ended = (await this.#system.ended()) - endedBefore;
    this.#waiting -= ended;
    return {
      jobs: ended,
      jobsPerSecond: ended / seconds,
      systemMicros: ((await this.#system.read()).cpuMicros - system.cpuMicros) / ended,
      redisMicros: ((await this.#redis.read()).cpuMicros - redis.cpuMicros) / ended,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned.disposeAsync();
  }
}

async function measureSides(context: Context, started: AsyncDisposableStack): Promise<readonly Side[]> {
  const sides: Side[] = [];
  for (const behind of SIZES[context.scale]) {
    const side = started.use(await Side.open(behind));
    if (WARM_UP[context.scale] > 0) await side.take(WARM_UP[context.scale]);
    sides.push(side);
    context.say(`backlog: ${behind} wait`);
  }
  for (let round = 0; round < context.effort.rounds; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed())
      side.taken.push(await side.take(JOBS_A_ROUND[context.scale]));
    context.say(`backlog: round ${round + 1} of ${context.effort.rounds}`);
  }
  return sides;
}

const costOf = ({ systemMicros, redisMicros }: Taken): number => systemMicros + redisMicros;

export const backlogScenario: Scenario = {
  name: "backlog",
  about: "what a dispatch costs with 0, 100,000 and 1,000,000 jobs waiting behind it",
  isUsual: true,
  needsServers: true,
  async run(context) {
    await using started = new AsyncDisposableStack();
    const sides = await measureSides(context, started);
    const [none] = sides;
    const ratioOf = (side: Side) =>
      middleOf(side.taken.map((taken, n) => costOf(taken) / costOf(none?.taken[n] ?? taken)));
    const largest = sides.at(-1);
    return {
      title: `a worker takes ${JOBS_A_ROUND[context.scale]} waiting jobs a round, with more behind them`,
      table: sides.map((side) => ({
        "wait behind": side.behind,
        "CPU µs/job, system and Redis": spread(middleOf(side.taken.map(costOf)), whole),
        system: whole(middleOf(side.taken.map(({ systemMicros }) => systemMicros)).median),
        redis: whole(middleOf(side.taken.map(({ redisMicros }) => redisMicros)).median),
        "× none behind": spread(ratioOf(side), fine),
      })),
      notes: [
        "Each round starts a worker and ends it, which is in the rounds of all sizes alike; its own CPU time is not counted.",
      ],
      goals:
        largest === undefined || context.scale === "tiny"
          ? []
          : [
              {
                goal: `dispatch with ${largest.behind} waiting × with none`,
                measured: ratioOf(largest).median,
                atMost: 1.2,
              },
            ],
      data: sides.map(({ behind, taken }) => ({ behind, taken })),
    };
  },
};
