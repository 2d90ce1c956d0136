// A thousand jobs, fifty at once.
import { expect, it } from "vitest";
import { notedLog, startFleet } from "../testing/fleet.ts";
import { worker } from "../worker/definition.ts";

const JOBS = 1_000;

it("runs a thousand jobs, each once, never more than fifty at a time", async () => {
  await using fleet = await startFleet();
  const { control, url } = fleet;
  let [running, most] = [0, 0];
  const fifty = Promise.withResolvers<void>();
  const echo = worker({
    topic: "job.test.many",
    concurrency: 50,
    async run(input) {
      most = Math.max(most, ++running);
      if (running === 50) setImmediate(fifty.resolve);
      await fifty.promise;
      running--;
      return input;
    },
  });
  await using _serving = await echo.start(url, { workerId: "many", log: notedLog(), waitingMax: JOBS });
  const ids = Array.from({ length: JOBS }, (_, n) => `many-${n}`);
  await control.redis.mset(Object.fromEntries(ids.map((jobId, n) => [`ctx:${jobId}`, JSON.stringify({ n })])));
  for (const jobId of ids) {
    control.nats.publish(
      "job.test.many",
      control.request({ jobId, topic: "job.test.many", contextPtr: `redis://ctx:${jobId}` }),
    );
  }
  const results = await control.heard("jobResult", JOBS);
  expect(results.map(({ jobId }) => jobId).sort()).toEqual([...ids].sort());
  expect(most).toBe(50);
  const stored = await control.redis.mget(ids.map((jobId) => `res:${jobId}`));
  expect(stored).toEqual(ids.map((_, n) => JSON.stringify({ n })));
});
