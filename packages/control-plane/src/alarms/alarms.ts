// Alarms: due records are looked at again, by whichever process takes them.
// Owns:          polling all partitions, the limit of due work at once, sweeping.
// Must not know: what a record means: handlers by kind say that.
// K1. Alarms are leased: a process that dies with one gives it back after the lease. K2. Due work has its own limit, so that many overdue
//     alarms after an outage do not stop new work. K3. Oldest first. K4. A failed store answer costs one round, never the loop.

import type { Clock } from "../ports/clock.ts";
import type { Due, State } from "../ports/state.ts";
import type { Log, Meter } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";

export interface AlarmSettings {
  readonly pollMs: Ms;
  readonly leaseMs: Ms;
  readonly atOnceMax: number;
  readonly sweepMs: Ms;
  readonly sweepBudget: number;
}

export const DEFAULT_ALARM_SETTINGS: AlarmSettings = {
  pollMs: 200,
  leaseMs: 10_000,
  atOnceMax: 32,
  sweepMs: 5_000,
  sweepBudget: 500,
};

export type WakeHandler = (id: string, signal: AbortSignal) => Promise<void>;

interface AlarmParts {
  readonly state: State;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly handlers: ReadonlyMap<string, WakeHandler>;
}

/** Polls until `signal` fires; then waits for the handlers that run. */
export async function runAlarms(parts: AlarmParts, settings: AlarmSettings, signal: AbortSignal): Promise<void> {
  await Promise.all([pollForever(parts, settings, signal), sweepForever(parts, settings, signal)]);
}

async function pollForever(parts: AlarmParts, settings: AlarmSettings, signal: AbortSignal): Promise<void> {
  const { partitions } = parts.state.traits;
  for (let first = 0; !signal.aborted; first = (first + 1) % partitions) {
    let took = 0;
    for (let step = 0; step < partitions && !signal.aborted; step++)
      took += await takeOnce(parts, settings, (first + step) % partitions, signal);
    const isFull = took >= settings.atOnceMax;
    if (!isFull) await parts.clock.sleep(settings.pollMs, signal);
  }
}

async function takeOnce(
  parts: AlarmParts,
  settings: AlarmSettings,
  partition: number,
  signal: AbortSignal,
): Promise<number> {
  try {
    const due = await parts.state.take(
      partition,
      settings.atOnceMax,
      settings.leaseMs,
      parts.clock.deadline(signal, settings.leaseMs),
    );
    await Promise.all(due.map((alarm) => handle(alarm, parts, signal)));
    return due.length;
  } catch (error) {
    if (!signal.aborted) parts.log.error("alarms.not_taken", error, { partition });
    return 0;
  }
}

async function handle(alarm: Due, parts: AlarmParts, signal: AbortSignal): Promise<void> {
  const handler = parts.handlers.get(alarm.key.kind);
  if (handler === undefined) return parts.log.warn("alarm.unknown_kind", { kind: alarm.key.kind, id: alarm.key.id });
  parts.meter.observe("cordum_scheduler_alarm_lag_seconds", Math.max(0, parts.clock.now() - alarm.at) / 1000);
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
