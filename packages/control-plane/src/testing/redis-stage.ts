// Stores on real Redis servers, as tests open them.
// Owns:          opening State and Payloads quietly, emptying servers between tests.
// Must not know: what a test tries.

import { type OpenedRedis, openRedis, type RedisOptions } from "../adapters/redis/open-redis.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { type OpenedState, passRealTime, type StoreSpec } from "../conformance/state-conformance.ts";
import { conformanceLayout } from "../conformance/state-scene.ts";
import type { Log } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";
import type { RedisServer } from "./servers.ts";

export const quietLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** State and Payloads with the layout of the conformance suites, unless told otherwise. */
export function openStage(options: Partial<RedisOptions>): Promise<OpenedRedis> {
  return openRedis({ layout: conformanceLayout, clock: systemClock(), ...options }, quietLog);
}

/** A State for the conformance suites; the servers are not emptied. */
export async function openedState(options: Partial<RedisOptions>, spec: StoreSpec): Promise<OpenedState> {
  const { state, payloads, calls } = await openStage({ ...options, ...spec });
  const opened = { state, calls, pass: (ms: Ms) => passRealTime(state, ms) };
  const reopen = (again: StoreSpec): Promise<OpenedState> => openedState(options, again);
  if (state.traits.attaches) return { ...opened, reopen, payloads, dispose: () => payloads.close() };
  await payloads.close();
  return { ...opened, reopen };
}

export async function emptyServers(servers: readonly RedisServer[]): Promise<void> {
  for (const server of servers) {
    const admin = server.admin();
    await admin.flushall();
    admin.disconnect();
  }
}
