// A whole control plane with a worker, in one process that a test can kill.
// Owns:          starting it from the environment and telling the parent its address.
// Must not know: what the test does.

import { environment } from "@cordum/control-plane/adapters/system/environment";
import { parseConfiguration } from "@cordum/control-plane/services/configuration";
import { startAllInOne } from "@cordum/control-plane/services/node";
import { silentLog } from "@cordum/control-plane/telemetry/log";
import { serve, worker } from "@cordum/sdk";

const parsed = parseConfiguration(environment());
if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
const running = await startAllInOne({ config: parsed.config, log: silentLog() });
const nothing = (): void => undefined;
const log = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const echo = worker({
  topic: "job.echo",
  concurrency: 20,
  async run(input: unknown, { signal }) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    signal.throwIfAborted();
    return { echo: input };
  },
});
await serve([echo], { connection: running.connection(), workerId: "the-worker", log });
process.on("SIGTERM", () => void running.drain().then(() => process.exit(0)));
process.send?.({ url: running.url });
