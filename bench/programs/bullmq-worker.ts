// Workers of BullMQ in a process of their own.
// Owns:          nothing but being this process.
// Must not know: who adds jobs.

import { startWorkers } from "./bullmq-parts.ts";
import { answerParent, setting } from "./parent.ts";

const workers = await startWorkers(setting("REDIS_URL"), {
  workers: Number(setting("BENCH_WORKERS")),
  slots: Number(setting("BENCH_SLOTS")),
});
answerParent({ ended: workers.ended, stop: workers.close });
