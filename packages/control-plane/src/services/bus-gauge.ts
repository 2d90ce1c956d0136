// Whether this process hears the others.
// Owns:          the metrics of the connection to the bus.
// Must not know: which bus it is.

import type { Bus } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import type { Meter } from "../ports/telemetry.ts";

const LOOK_MS = 5_000;

/** Runs until `signal` fires. */
export async function watchBus(
  { bus, clock, meter }: { readonly bus: Pick<Bus, "status">; readonly clock: Clock; readonly meter: Meter },
  signal: AbortSignal,
): Promise<void> {
  let before = 0;
  do {
    const { connected, reconnects } = bus.status();
    meter.gauge("cordum_bus_connected", connected ? 1 : 0);
    meter.count("cordum_bus_reconnects_total", {}, reconnects - before);
    before = reconnects;
  } while (await clock.sleep(LOOK_MS, signal));
}
