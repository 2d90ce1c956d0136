// A process of its own that belongs to a queue group: prints what it gets.
// Owns:          being another process. Arguments: URL, mode, subject, group.
// Must not know: what the test tries.
import { openNatsBus } from "../adapters/nats/open-nats.ts";
import { systemClock } from "../adapters/system/clock.ts";
import type { Log } from "../ports/telemetry.ts";

const [url = "", mode = "core", subject = "", group = ""] = process.argv.slice(2);
const silent: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const bus = await openNatsBus({ url, mode: mode === "core" ? "core" : "jetstream", clock: systemClock(), log: silent });
await bus.subscribe({ subject, group, keep: true, inFlightMax: 4 }, async (bytes) => {
  process.stdout.write(`${new TextDecoder().decode(bytes)}\n`);
  return { kind: "ack" };
});
process.stdout.write("ready\n");
process.once("SIGTERM", () => void bus.drain(AbortSignal.timeout(2_000)).then(() => process.exit(0)));
