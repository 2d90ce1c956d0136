// Ending a process within its time, with Redis there and with Redis gone.

import { Client } from "@cordum/sdk";
import { expect, it } from "vitest";
import { virtualClock } from "../adapters/system/virtual-clock.ts";
import { type Notebook, notebook } from "../testing/scene-ports.ts";
import { type RedisServer, startRedis } from "../testing/servers.ts";
import { parseConfiguration } from "./configuration.ts";
import { DrainDeadline } from "./drain-deadline.ts";
import { type RunningAllInOne, startAllInOne } from "./node.ts";

const API_KEY = "key-of-a-test-000";

async function start(redis: RedisServer, notes: Notebook, timeout: string): Promise<RunningAllInOne> {
  const parsed = parseConfiguration({
    GATEWAY_HTTP_ADDR: "127.0.0.1:0",
    GATEWAY_METRICS_ADDR: "off",
    CORDUM_API_KEY: API_KEY,
    CORDUM_STATE: "redis",
    REDIS_URL: redis.url,
    CORDUM_DRAIN_TIMEOUT: timeout,
  });
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  return await startAllInOne({ config: parsed.config, log: notes.log });
}

const outcomeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    () => "failed",
  );

it.each([
  { Redis: "is killed", away: (redis: RedisServer): Promise<unknown> => redis.kill() },
  {
    Redis: "is silent",
    away: (redis: RedisServer): Promise<unknown> => redis.admin().call("CLIENT", "PAUSE", "30000", "ALL"),
  },
])(
  "E1, E2: ends within its time although Redis $Redis and a commit waits for it, and says what was left",
  async ({ away }) => {
    await using redis = await startRedis();
    const notes = notebook();
    const running = await start(redis, notes, "3s");
    const client = new Client({ url: running.url, apiKey: API_KEY });
    await client.submit({ topic: "job.work", prompt: "p" });
    await away(redis);
    const submitted = outcomeOf(client.submit({ topic: "job.work", prompt: "p" }));
    for (let n = 0; n < 10; n++) await fetch(`${running.url}/healthz`); // by then the submission has arrived too
    const late = AbortSignal.timeout(8_000); // the timeout, what is given to those that do not listen, and a busy machine
    const isLate = new Promise<string>((resolve) => late.addEventListener("abort", () => resolve("late")));
    expect(await Promise.race([outcomeOf(running.drain()), isLate])).toBe("done");
    expect(
      notes.said.filter(({ event }) => event === "process.not_closed" || event === "process.not_left"),
    ).not.toEqual([]);
    expect(await submitted).toBe("failed");
  },
  30_000,
);

it("E1, E2: has one deadline for all steps, and leaves behind what does not close", async () => {
  const clock = virtualClock();
  const notes = notebook();
  const ending = new DrainDeadline(3_000, { clock, log: notes.log });
  const signal = ending.begin();
  await clock.advance(2_000);
  expect(ending.begin()).toBe(signal);
  const left = ending.wait("stores", new Promise(() => undefined));
  await clock.advance(1_000);
  expect(signal.aborted).toBe(true);
  await clock.advance(250);
  await left;
  expect(notes.said).toMatchObject([{ event: "process.not_closed", fields: { part: "stores" } }]);
  await expect(ending.wait("bus", Promise.reject(new Error("broken")))).rejects.toThrow("broken");
});

it("finishes what is in hand while Redis is there", async () => {
  await using redis = await startRedis();
  const notes = notebook();
  const first = await start(redis, notes, "10s");
  const client = new Client({ url: first.url, apiKey: API_KEY });
  const submitted = Array.from({ length: 20 }, () => client.submit({ topic: "job.work", prompt: "p" }));
  const [{ job_id: firstId } = { job_id: "" }] = await Promise.all(submitted.slice(0, 1));
  const drained = first.drain();
  const settled = await Promise.allSettled(submitted);
  await drained;
  expect(notes.said.filter(({ event }) => event.startsWith("process.not_"))).toEqual([]);
  const second = await start(redis, notes, "10s");
  const reader = new Client({ url: second.url, apiKey: API_KEY });
  const accepted = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value.job_id] : []));
  expect(accepted).toContain(firstId);
  for (const id of accepted) expect(await reader.get(id)).toMatchObject({ id });
  await second.drain();
}, 30_000);
