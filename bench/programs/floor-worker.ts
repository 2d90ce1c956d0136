// The floor's worker: reads a context, stores a result, reports.
// Owns:          one Redis call for each of the two, batched as they arrive.
// Must not know: slots, claims, deadlines, errors.

import { connect } from "@nats-io/transport-node";
import { Redis } from "ioredis";
import { answerParent, setting } from "./parent.ts";

const redis = new Redis(setting("REDIS_URL"), { enableAutoPipelining: true });
const nats = await connect({ servers: setting("NATS_URL") });
const filler = "x".repeat(80);

async function work(id: string): Promise<void> {
  JSON.parse((await redis.get(`ctx:${id}`)) ?? "null");
  await redis.set(`res:${id}`, "null", "PX", 86_400_000);
  nats.publish("sys.job.result", JSON.stringify({ id, filler }));
}

nats.subscribe("worker.bench.jobs", {
  callback: (_, message) => void work(message.json<{ readonly id: string }>().id),
});
await nats.flush();
answerParent({ stop: () => nats.drain() });
