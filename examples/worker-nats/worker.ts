// A worker for a fleet: counts the words of a text. Start as many of these as you like.
// Owns:          the topic job.text.count.
// Must not know: where NATS and Redis are; the environment says it (NATS_URL, REDIS_URL and the other names in packages/sdk/README.md).

import { hostname } from "node:os";
import { connectFromEnvironment, JobError, serve, worker } from "@cordum/sdk";

const count = worker({
  topic: "job.text.count",
  pool: "text",
  concurrency: 20,
  run: (input) => {
    if (typeof input !== "object" || input === null || !("text" in input) || typeof input.text !== "string")
      throw new JobError("INVALID_INPUT", "expected { text }");
    return { words: input.text.split(/\s+/).filter((word) => word !== "").length };
  },
});

/** One name in our heartbeats, in NATS and in Redis: whoever looks for a worker finds it everywhere. */
const workerId = `text-${hostname().replace(/[^A-Za-z0-9_-]/g, "-")}-${process.pid}`.slice(-64);

const connection = await connectFromEnvironment({ name: workerId });
try {
  const serving = await serve([count], { connection, workerId });
  // SIGTERM or SIGINT: takes no more jobs, ends those it has, reports them.
  await serving.untilStopped();
} finally {
  await connection.close();
}
