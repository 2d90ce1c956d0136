// A small fleet for tests: real NATS, real Redis, the control plane's side by hand, and the worker's log.
// Owns:          starting and ending them together.
// Must not know: what is tested.

import { type NatsServer, startNats } from "../../../control-plane/src/testing/nats-servers.ts";
import { type RedisServer, startRedis } from "../../../control-plane/src/testing/servers.ts";
import type { LogFields, WorkerLog } from "../worker/log.ts";
import { type ControlSide, startControlSide } from "./control-side.ts";

export interface Fleet extends AsyncDisposable {
  readonly nats: NatsServer;
  readonly redis: RedisServer;
  readonly control: ControlSide;
  /** As a worker takes it. */
  readonly url: string;
}

export async function startFleet(): Promise<Fleet> {
  await using started = new AsyncDisposableStack();
  const nats = started.use(await startNats());
  const redis = started.use(await startRedis());
  const control = started.use(await startControlSide({ nats: nats.url, redis: redis.url }));
  const all = started.move();
  return { nats, redis, control, url: `${nats.url},${redis.url}`, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

export interface NotedLog extends WorkerLog {
  readonly events: readonly string[];
  /** Resolves when an event was noted, before or after the call. */
  noted(event: string): Promise<LogFields>;
}

/** A log that keeps what is said from `info` upwards, and says nothing. */
export function notedLog(): NotedLog {
  const entries: { readonly event: string; readonly fields: LogFields }[] = [];
  const waiting = new Set<() => void>();
  const note = (event: string, fields: LogFields = {}) => {
    entries.push({ event, fields });
    for (const wake of waiting) wake();
  };
  return {
    get events() {
      return entries.map(({ event }) => event);
    },
    async noted(event) {
      for (;;) {
        const found = entries.find((entry) => entry.event === event);
        if (found !== undefined) return found.fields;
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting.add(resolve);
        await promise;
        waiting.delete(resolve);
      }
    },
    debug: () => undefined,
    info: note,
    warn: note,
    error: (event, error, fields) => note(event, { ...fields, error: String(error) }),
  };
}
