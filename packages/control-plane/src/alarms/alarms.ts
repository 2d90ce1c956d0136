// Alarms: due records are looked at again, by whichever process takes them.
// Owns:          polling all partitions, the limit of due work at once, sweeping.
// Must not know: what a record means: handlers by kind say that.
// K1. Alarms are leased: a process that dies with one gives it back after the lease. K2. Due work has its own limit, so that many overdue
//     alarms after an outage do not stop new work. K3. Oldest first. K4. A failed store answer costs one round, never the loop.
// K5. What is due by the store's clock and not yet by ours is waited for: looked at now, nothing would be done, and it would come again only
//     after the lease.

import type { Clock } from "../ports/clock.ts";
import type { Due, State } from "../ports/state.ts";
import type { Log, Meter } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";
import type { StopSignals } from "./stop-signals.ts";

export interface AlarmSettings {
  readonly pollMs: Ms;
  /** Instead of pollMs after a poll that the store did not answer. */
  readonly retryMs: Ms;
  readonly leaseMs: Ms;
  readonly atOnceMax: number;
  readonly sweepMs: Ms;
  readonly sweepBudget: number;
}

export const DEFAULT_ALARM_SETTINGS: AlarmSettings = {
  pollMs: 200,
  retryMs: 1_000,
  leaseMs: 10_000,
  atOnceMax: 32,
  sweepMs: 5_000,
  sweepBudget: 500,
};

/** A clock that is further behind than this is not followed. */
const EARLY_MS_MAX: Ms = 2_500;

export type WakeHandler = (id: string, signal: AbortSignal) => Promise<void>;

interface AlarmParts {
  readonly state: State;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly handlers: ReadonlyMap<string, WakeHandler>;
}

/** Polls until `stopping` fires; then waits for the handlers that run. */
export async function runAlarms(parts: AlarmParts, settings: AlarmSettings, signals: StopSignals): Promise<void> {
  await Promise.all([pollForever(parts, settings, signals), sweepForever(parts, settings, signals.stopping)]);
}

async function pollForever(parts: AlarmParts, settings: AlarmSettings, signals: StopSignals): Promise<void> {
  const { partitions } = parts.state.traits;
  const { stopping, work } = signals;
  const running = new Set<Promise<void>>();
  // One slow handler takes one place of many; it does not hold up the alarms of other records.
  const start = (due: Due): void => {
    const handling = handle(due, parts, work).finally(() => running.delete(handling));
    running.add(handling);
  };
  for (let first = 0; !stopping.aborted; first = (first + 1) % partitions) {
    const round: Round = { mayHaveMore: false, failed: false };
    for (let step = 0; step < partitions && !stopping.aborted; step++) {
      if (running.size >= settings.atOnceMax) await Promise.race(running);
      const limit = settings.atOnceMax - running.size;
      for (const due of await takeFrom((first + step) % partitions, limit, { parts, settings, stopping, round }))
        start(due);
    }
    if (!round.mayHaveMore) await parts.clock.sleep(round.failed ? settings.retryMs : settings.pollMs, stopping);
  }
  await Promise.all(running);
}

interface Round {
  mayHaveMore: boolean;
  failed: boolean;
}
interface Poll {
  readonly parts: AlarmParts;
  readonly settings: AlarmSettings;
  readonly stopping: AbortSignal;
  readonly round: Round;
}

async function takeFrom(partition: number, limit: number, poll: Poll): Promise<readonly Due[]> {
  const { parts, settings, stopping, round } = poll;
  try {
    const until = parts.clock.deadline(stopping, settings.leaseMs);
    const due = await parts.state.take(partition, limit, settings.leaseMs, until);
    if (due.length === limit) round.mayHaveMore = true;
    return due;
  } catch (error) {
    round.failed = true;
    if (!stopping.aborted) parts.log.error("alarms.not_taken", error, { partition });
    return [];
  }
}

async function handle(alarm: Due, parts: AlarmParts, signal: AbortSignal): Promise<void> {
  const handler = parts.handlers.get(alarm.key.kind);
  if (handler === undefined) return parts.log.warn("alarm.unknown_kind", { kind: alarm.key.kind, id: alarm.key.id });
  parts.meter.observe("cordum_scheduler_alarm_lag_seconds", Math.max(0, parts.clock.now() - alarm.at) / 1000);
  const earlyMs = alarm.at - parts.clock.now();
  if (earlyMs > 0) await parts.clock.sleep(Math.min(earlyMs, EARLY_MS_MAX), signal);
  try {
    await handler(alarm.key.id, signal);
  } catch (error) {
    if (!signal.aborted) parts.log.error("alarm.failed", error, { kind: alarm.key.kind, id: alarm.key.id });
  }
}

async function sweepForever(parts: AlarmParts, settings: AlarmSettings, signal: AbortSignal): Promise<void> {
  while (await parts.clock.sleep(settings.sweepMs, signal)) {
    for (let partition = 0; partition < parts.state.traits.partitions && !signal.aborted; partition++) {
      try {
        await parts.state.sweep(partition, settings.sweepBudget, parts.clock.deadline(signal, settings.leaseMs));
      } catch (error) {
        if (!signal.aborted) parts.log.error("sweep.failed", error, { partition });
      }
    }
  }
}
