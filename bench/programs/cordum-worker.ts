// Workers in a process of their own, over NATS and Redis as users' workers are.
// Owns:          nothing but being this process.
// Must not know: the control plane.

import { connect } from "@cordum/sdk";
import { quiet, serveNoOps } from "./no-op.ts";
import { answerParent, setting } from "./parent.ts";

const target = { nats: setting("NATS_URL"), redis: setting("REDIS_URL") };
const stop = await serveNoOps(() => connect(target, { name: "bench", log: quiet }), {
  workers: Number(setting("BENCH_WORKERS")),
  slots: Number(setting("BENCH_SLOTS")),
});
answerParent({ stop });
