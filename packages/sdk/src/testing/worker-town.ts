// A worker and its surroundings for tests: a connection in memory, a clock that stands still, jobs as packets.
// Owns:          the defaults of a test job.
// Must not know: how the worker does its work.

import { type BusPacketPayload, encodePacket, type Init, type JobRequest } from "@cordum/protocol";
import type { WorkerDefinition } from "../worker/definition.ts";
import type { WorkerLog } from "../worker/log.ts";
import { type Serving, type StartOptions, serve } from "../worker/serve.ts";
import { ManualRuntime, settle } from "./manual-runtime.ts";
import { MemoryConnection } from "./memory-connection.ts";

export interface Logged {
  readonly level: string;
  readonly event: string;
  readonly fields: unknown;
}

export interface Town {
  readonly bus: MemoryConnection;
  readonly clock: ManualRuntime;
  readonly serving: Serving;
  readonly logged: readonly Logged[];
  /** Puts a context in its place and hands the job in, on its topic unless told otherwise. */
  send(
    job: Partial<Init<JobRequest>> & { readonly jobId: string },
    more?: { readonly context?: unknown; readonly on?: string },
  ): void;
  cancel(jobId: string, attempt?: number): void;
  /** What is stored as the result of a job. */
  stored(jobId: string): unknown;
}

export const TOPIC = "job.test.echo";
export const TRACE = "trace-1";

export async function startTown(
  definitions: readonly WorkerDefinition[],
  options: StartOptions = {},
  {
    prepare = () => undefined,
    ownId = false,
  }: { readonly prepare?: (bus: MemoryConnection) => void; readonly ownId?: boolean } = {},
): Promise<Town> {
  const bus = new MemoryConnection();
  const clock = new ManualRuntime();
  const logged: Logged[] = [];
  prepare(bus);
  const own = { connection: bus, runtime: clock, log: memoryLog(logged), ...options };
  const serving = await serve(definitions, ownId ? own : { workerId: "w1", ...own });
  return {
    bus,
    clock,
    serving,
    logged,
    send: (job, more = {}) => {
      if (more.context !== undefined) putContext(bus, job.jobId, more.context);
      const contextPtr = more.context === undefined ? "" : `redis://ctx:${job.jobId}`;
      const value = { topic: TOPIC, tenantId: "acme", contextPtr, ...job };
      bus.deliver(more.on ?? value.topic ?? TOPIC, packet({ kind: "jobRequest", value }));
    },
    cancel: (jobId, attempt = 0) => {
      const dispatch = attempt === 0 ? undefined : { attempt };
      bus.deliver(
        "sys.job.cancel",
        packet({ kind: "jobCancel", value: { jobId, reason: "not needed", requestedBy: "ada", dispatch } }),
      );
    },
    stored: (jobId) => {
      const payload = bus.payloads.get(`res:${jobId}`);
      return payload === undefined ? undefined : JSON.parse(Buffer.from(payload.bytes).toString());
    },
  };
}

export function packet(payload: Init<BusPacketPayload>, protocolVersion = 1): Uint8Array {
  return encodePacket({ traceId: TRACE, senderId: "cordum-scheduler", protocolVersion, payload });
}

export function putContext(bus: MemoryConnection, jobId: string, context: unknown): void {
  const text = typeof context === "string" ? context : JSON.stringify(context);
  bus.payloads.set(`ctx:${jobId}`, { bytes: Buffer.from(text), ttlMs: 60_000 });
}

/** A promise that the test settles itself. */
export function gate<T = void>() {
  return Promise.withResolvers<T>();
}

export { settle };

function memoryLog(logged: Logged[]): WorkerLog {
  return {
    debug: (event, fields) => logged.push({ level: "debug", event, fields }),
    info: (event, fields) => logged.push({ level: "info", event, fields }),
    warn: (event, fields) => logged.push({ level: "warn", event, fields }),
    error: (event, error, fields) =>
      logged.push({ level: "error", event, fields: { ...fields, error: String(error) } }),
  };
}
