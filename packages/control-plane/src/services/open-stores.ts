// Opening the store that the configuration names.
// Owns:          which adapter stands behind State and Payloads, and the order in which they close. An adapter is loaded when it is named.
// Must not know: what is stored.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { memoryPayloads } from "../adapters/memory/memory-payloads.ts";
import { type MemoryStateOptions, memoryState } from "../adapters/memory/memory-state.ts";
import { readTextFile } from "../adapters/system/text-file.ts";
import type { Clock } from "../ports/clock.ts";
import { Fault, unreachable } from "../ports/fault.ts";
import type { Payloads } from "../ports/payloads.ts";
import type { Layout, State } from "../ports/state.ts";
import type { Log } from "../ports/telemetry.ts";
import type { FileTls, StateConfig } from "./configuration.ts";

export interface Stores {
  readonly state: State;
  readonly payloads: Payloads;
  close(): Promise<void>;
}

/** What a context or a result may take, whatever is allowed for artifacts. */
const PAYLOAD_BYTES_MAX = 8_388_608;

interface StoreParts {
  readonly layout: Layout;
  /** Of the largest payload that is to fit. */
  readonly payloadBytesMax: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Faults: STATE_MISCONFIGURED and STATE_UNAVAILABLE, each a sentence that says what to do. */
export async function openStores(config: StateConfig, parts: StoreParts): Promise<Stores> {
  const { state, payloads } = await open(config, parts);
  return {
    state,
    payloads,
    async close() {
      await payloads.close();
      await state.close();
    },
  };
}

function openMemory(options: MemoryStateOptions, bytesMax: number): Pick<Stores, "state" | "payloads"> {
  const payloads = memoryPayloads({ clock: options.clock, bytesMax });
  return { state: memoryState({ ...options, payloads }), payloads };
}

async function open(
  config: StateConfig,
  { layout, clock, log, payloadBytesMax: asked }: StoreParts,
): Promise<{ readonly state: State; readonly payloads: Payloads }> {
  const payloadBytesMax = Math.max(PAYLOAD_BYTES_MAX, asked);
  switch (config.kind) {
    case "memory":
      return openMemory({ partitions: config.partitions, layout, clock }, payloadBytesMax);
    case "sqlite": {
      const { openSqlite } = await import("../adapters/sqlite/open-sqlite.ts");
      await mkdir(config.folder, { recursive: true, mode: 0o700 });
      return openSqlite({
        path: join(config.folder, "cordum.db"),
        partitions: config.partitions,
        layout,
        clock,
        payloadBytesMax,
      });
    }
    case "redis": {
      const { openRedis } = await import("../adapters/redis/open-redis.ts");
      const tls = config.tls === undefined ? {} : { tls: await readTls(config.tls) };
      const clusterAddresses = config.clusterAddresses.map(({ host, port }) => `${host}:${port}`);
      const cluster = clusterAddresses.length === 0 ? {} : { clusterAddresses };
      return openRedis(
        { url: config.url, ...cluster, ...tls, partitions: config.partitions, layout, clock, payloadBytesMax },
        log,
      );
    }
    default:
      return unreachable(config);
  }
}

const PEM_BYTES_MAX = 1_048_576;

/** A file that is named and cannot be read stops the start: nothing falls back to something weaker. */
async function readTls(config: FileTls) {
  const read = async (setting: string, path: string | undefined): Promise<string | undefined> => {
    if (path === undefined) return undefined;
    const file = await readTextFile(path, PEM_BYTES_MAX);
    if (file.kind === "unreadable") throw new Fault("STATE_MISCONFIGURED", `${setting}: ${file.reason}`);
    return file.text;
  };
  const ca = await read("REDIS_TLS_CA", config.caPath);
  const cert = await read("REDIS_TLS_CERT", config.certPath);
  const key = await read("REDIS_TLS_KEY", config.keyPath);
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(config.serverName === undefined ? {} : { serverName: config.serverName }),
    insecure: config.acceptsAnyCertificate,
  };
}
