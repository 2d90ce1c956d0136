// Buses on real NATS servers, as tests open them.
// Owns:          opening quietly, a log that can be asked, a clock that runs beside real I/O, a server with JetStream for each test.
// Must not know: what a test tries.

import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { connect } from "@nats-io/transport-node";
import { afterEach, beforeEach } from "vitest";
import type { NatsBus } from "../adapters/nats/nats-bus.ts";
import { type NatsBusOptions, openNatsBus } from "../adapters/nats/open-nats.ts";
import { systemClock } from "../adapters/system/clock.ts";
import type { Log, LogFields } from "../ports/telemetry.ts";
import { type NatsServer, startNats } from "./nats-servers.ts";

export interface NotedEvent {
  readonly event: string;
  readonly fields: LogFields;
}

export interface NatsStage extends AsyncDisposable {
  readonly events: NotedEvent[];
  /** A bus on the stage's server; closed with the stage. */
  open(more?: Partial<NatsBusOptions>): Promise<NatsBus>;
  /** A connection for the test's own questions; closed with the stage. */
  raw(): Promise<NatsConnection>;
  close(): Promise<void>;
}

export function natsStage(url: string, defaults: Partial<NatsBusOptions> = {}): NatsStage {
  const events: NotedEvent[] = [];
  const buses: NatsBus[] = [];
  const connections: NatsConnection[] = [];
  const close = async (): Promise<void> => {
    for (const bus of buses.splice(0)) await bus.drain(AbortSignal.timeout(500));
    for (const connection of connections.splice(0)) await connection.close();
  };
  return {
    events,
    async open(more = {}) {
      const bus = await openNatsBus({
        url,
        mode: "core",
        clock: systemClock(),
        log: noting(events),
        ...defaults,
        ...more,
      });
      buses.push(bus);
      return bus;
    },
    async raw() {
      const connection = await connect({ servers: url });
      connections.push(connection);
      return connection;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

export interface JetstreamStage extends Pick<NatsStage, "events" | "open" | "raw"> {
  readonly jsm: JetStreamManager;
}

/** For the tests beside and below the call: a server with JetStream for each. */
export function jetstreamStage(): JetstreamStage {
  let server: NatsServer;
  let stage: NatsStage;
  let jsm: JetStreamManager;
  beforeEach(async () => {
    server = await startNats({ jetstream: true });
    stage = natsStage(server.url, { mode: "jetstream" });
    jsm = await jetstreamManager(await stage.raw());
  });
  afterEach(async () => {
    await stage.close();
    await server.stop();
  });
  return {
    get events() {
      return stage.events;
    },
    get jsm() {
      return jsm;
    },
    open: (more) => stage.open(more),
    raw: () => stage.raw(),
  };
}

/** Resolves true as soon as the condition holds. Asks after each turn that brought I/O, and every few milliseconds. */
export async function untilTrue(condition: () => boolean | Promise<boolean>, limitMs: number): Promise<boolean> {
  const clock = systemClock();
  const end = clock.mono() + limitMs;
  while (clock.mono() < end) {
    if (await condition()) return true;
    await clock.sleep(2, new AbortController().signal);
  }
  return condition();
}

function noting(events: NotedEvent[]): Log {
  const note = (event: string, fields: LogFields = {}): void => void events.push({ event, fields });
  return {
    debug: note,
    info: note,
    warn: note,
    error: (event, error, fields = {}) => note(event, { ...fields, error: describe(error) }),
  };
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${describe(error.cause)}`;
}
