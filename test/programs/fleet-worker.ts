// A worker of a fleet that a test can kill.
// Owns:          serving job.echo over NATS and Redis as the environment says, under the id in WORKER_ID.
// Must not know: what the test does.

import { connectFromEnvironment, serve, worker } from "@cordum/sdk";

const workerId = process.env.WORKER_ID ?? "fleet-worker";
const echo = worker({
  topic: "job.echo",
  concurrency: 20,
  async run(input: unknown, { signal }) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    signal.throwIfAborted();
    return { echo: input };
  },
});
const connection = await connectFromEnvironment({ name: workerId });
const serving = await serve([echo], { connection, workerId });
console.log("worker ready");
await serving.untilStopped();
await connection.close();
