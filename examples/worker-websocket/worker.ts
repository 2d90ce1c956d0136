// A worker with nothing but an API key: counts the words of a text.
// Owns:          the topic job.text.count.
// Must not know: where the gateway is and which key opens it; the environment says it (CORDUM_API_URL, CORDUM_API_KEY).

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

/** A gateway takes a connection for one worker: no other process may use this id. */
const workerId = `text-${process.pid}`;

const connection = await connectFromEnvironment({ name: workerId });
try {
  const serving = await serve([count], { connection, workerId });
  // SIGTERM or SIGINT: takes no more jobs, ends those it has, reports them.
  await serving.untilStopped();
} finally {
  await connection.close();
}
