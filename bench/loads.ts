// The ways in which jobs are asked for.
// Owns:          single POSTs, batches, raw packets on the bus, and asking a program to add jobs itself.
// Must not know: who answers, rounds.

import { encodePacket, JobRequest } from "@cordum/protocol";
import { connect as connectNats } from "@nats-io/transport-node";
import type { Child } from "./child.ts";
import { BATCH_CALLERS, BATCH_JOBS, LoadClient, type LoadResult, RedisPipe, send } from "./load.ts";

export type LoadName = "single" | "batch" | "bus";

export interface Load {
  /** Resolves when all are accepted; on the bus, where nobody says so, when all have a result. */
  submit(count: number): Promise<LoadResult>;
  /** Milliseconds from the request until the end is seen, one job at a time. */
  serial(count: number): Promise<readonly number[]>;
}

export interface LoadOptions {
  /** Who answers; the first of them where one is enough. */
  readonly systems: readonly [Child, ...Child[]];
  readonly apiKey: string;
  readonly connections: number;
  readonly natsUrl: string;
  readonly redisUrl: string;
  readonly isBatch: boolean;
}

const BODY = JSON.stringify({ prompt: "bench", topic: "job.bench" });
const PATH = "/api/v1/jobs";
/** Packets without a result yet. */
const BUS_WINDOW = 512;

/** inside: the program under measurement adds jobs itself. */
export async function openLoad(name: LoadName | "inside", options: LoadOptions): Promise<Load & AsyncDisposable> {
  if (name === "inside") return inside(options);
  if (name === "bus") return await overBus(options);
  const { connections, systems, apiKey } = options;
  const [http, ...others] = systems.map(({ url }) => ({ url: new URL(url), apiKey }));
  if (http === undefined) throw new Error("nobody to ask");
  const targets = [http, ...others] as const;
  const batch = JSON.stringify({ jobs: Array.from({ length: BATCH_JOBS }, () => JSON.parse(BODY)) });
  return {
    submit: async (count) => {
      if (name === "single") return await send({ targets, body: BODY, requests: count, connections }, PATH);
      const requests = Math.ceil(count / BATCH_JOBS);
      const sent = await send({ targets, body: batch, requests, connections: BATCH_CALLERS }, `${PATH}/batch`);
      return { ...sent, accepted: sent.accepted * BATCH_JOBS };
    },
    serial: (count) => (name === "single" ? serial(http, count) : Promise.resolve([])),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function inside({ systems: [system], isBatch }: LoadOptions): Load & AsyncDisposable {
  return {
    submit: async (count) => {
      const latenciesMs = await system.run(isBatch ? "addBulk" : "add", count);
      return { accepted: count, refused: 0, latenciesMs: latenciesMs.toSorted((a, b) => a - b) };
    },
    serial: (count) => (isBatch ? Promise.resolve([]) : system.run("serial", count)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A caller that submits a job and asks for it until it has ended. */
async function serial(target: { readonly url: URL; readonly apiKey: string }, count: number) {
  using client = await LoadClient.connect(target);
  const tookMs: number[] = [];
  for (let n = 0; n < count; n++) {
    const sentAt = performance.now();
    const submitted = await client.ask("POST", PATH, BODY);
    const { job_id: id } = JSON.parse(submitted) as { readonly job_id: string };
    while (!(await client.ask("GET", `${PATH}/${id}`)).includes('"state":"SUCCEEDED"')) {
      if (performance.now() - sentAt > 30_000) throw new Error(`job ${id} did not end within 30 s`);
    }
    tookMs.push(performance.now() - sentAt);
  }
  return tookMs;
}

/** As a foreign program would: the context into Redis, the packet on `sys.job.submit`; results are heard as they pass. */
async function overBus({ natsUrl, redisUrl }: LoadOptions): Promise<Load & AsyncDisposable> {
  const nats = await connectNats({ servers: natsUrl });
  const redis = await RedisPipe.connect(new URL(redisUrl));
  let heard = 0;
  let wake: () => void = () => undefined;
  nats.subscribe("sys.job.result", {
    callback: () => {
      heard++;
      wake();
    },
  });
  let made = 0;
  const submit = async (count: number): Promise<LoadResult> => {
    const end = made + count;
    heard = 0;
    const before = made;
    while (made - before < count || heard < count) {
      const step = Math.min(end - made, BUS_WINDOW - (made - before - heard));
      if (step <= 0 || (step < BUS_WINDOW / 8 && made + step < end)) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      const ids = Array.from({ length: step }, () => `bench-${process.pid}-${String(made++).padStart(9, "0")}`);
      await redis.set(ids.map((id) => [`ctx:${id}`, BODY]));
      for (const id of ids) nats.publish("sys.job.submit", packetOf(id));
    }
    return { accepted: count, refused: 0, latenciesMs: [] };
  };
  return {
    submit,
    serial: () => Promise.resolve([]),
    async [Symbol.asyncDispose]() {
      redis[Symbol.dispose]();
      await nats.drain();
    },
  };
}

function packetOf(jobId: string): Uint8Array {
  const value = {
    ...JobRequest.make(),
    jobId,
    topic: "job.bench",
    tenantId: "default",
    contextPtr: `redis://ctx:${jobId}`,
  };
  return encodePacket({
    traceId: jobId,
    senderId: "bench",
    protocolVersion: 1,
    payload: { kind: "jobRequest", value },
  });
}
