// Are the store and the bus there?
// Owns:          asking them, at most once a second however many ask us.
// Must not know: which page shows the answer.

import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";
import type { StatusProbes } from "./parts.ts";

export interface Vitals {
  readonly store: "ok" | "unavailable";
  readonly bus: "ok" | "unavailable";
}

const FRESH_MS: Ms = 1_000;
const TIMEOUT_MS: Ms = 2_000;

export function createProbe(
  probes: StatusProbes,
  clock: Clock,
  log: Log,
  lifetime: AbortSignal,
): () => Promise<Vitals> {
  let asked: { readonly at: Ms; readonly store: Promise<Vitals["store"]> } | undefined;
  const askStore = async (): Promise<Vitals["store"]> => {
    try {
      await probes.storeNow(clock.deadline(lifetime, TIMEOUT_MS));
      return "ok";
    } catch (error) {
      log.error("store.probe_failed", error);
      return "unavailable";
    }
  };
  return async () => {
    const now = clock.mono();
    if (asked === undefined || now - asked.at >= FRESH_MS) asked = { at: now, store: askStore() };
    return { store: await asked.store, bus: probes.bus().connected ? "ok" : "unavailable" };
  };
}
