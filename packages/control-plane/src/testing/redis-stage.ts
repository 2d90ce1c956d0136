// Stores on real Redis servers, as tests open them.
// Owns:          opening State and Payloads quietly, emptying servers between tests, a server for a file of tests.
// Must not know: what a test tries.

import type { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach } from "vitest";
import { type OpenedRedis, openRedis, type RedisOptions } from "../adapters/redis/open-redis.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { type OpenedState, passRealTime, type StoreSpec } from "../conformance/state-conformance.ts";
import { conformanceLayout, Scene } from "../conformance/state-scene.ts";
import type { Log } from "../ports/telemetry.ts";
import type { Ms } from "../ports/time.ts";
import { type RedisServer, startRedis } from "./servers.ts";

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

export interface RedisStage {
  readonly server: RedisServer;
  /** A connection for the test's own questions. */
  readonly admin: Redis;
  readonly opened: OpenedRedis;
  /** On the last partition. */
  readonly scene: Scene;
}

/** For a file of tests: one server, and for each test an empty store on it. */
export function redisStage(partitions: number): RedisStage {
  let server: RedisServer;
  let admin: Redis;
  let opened: OpenedRedis;
  let scene: Scene;
  beforeAll(async () => {
    server = await startRedis();
    admin = server.admin();
  });
  afterAll(async () => {
    admin.disconnect();
    await server.stop();
  });
  beforeEach(async () => {
    await emptyServers([server]);
    opened = await openStage({ url: server.url, partitions });
    const { state } = opened;
    scene = new Scene({ state, pass: (ms) => passRealTime(state, ms) }, partitions - 1);
    return () => opened.close();
  });
  return {
    get server() {
      return server;
    },
    get admin() {
      return admin;
    },
    get opened() {
      return opened;
    },
    get scene() {
      return scene;
    },
  };
}
