// Ports of the stage of jobs: real ones with something between.
// Owns:          recording what is sent, committed, logged and counted; ways to fail.
// Must not know: jobs.

import type { Bus } from "../ports/bus.ts";
import type { Payloads } from "../ports/payloads.ts";
import type { Batch, Outcome, State } from "../ports/state.ts";
import type { Log, LogFields, Meter } from "../ports/telemetry.ts";

export interface Sent {
  readonly subject: string;
  readonly bytes: Uint8Array;
}
export interface Said {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly event: string;
  readonly fields: LogFields;
  readonly error?: unknown;
}

export function recording(real: Bus, sent: Sent[], shared = real.traits.shared): Bus {
  return {
    traits: { ...real.traits, shared },
    publish(subject, bytes, signal) {
      sent.push({ subject, bytes });
      return real.publish(subject, bytes, signal);
    },
    deliver(subject, bytes, signal) {
      sent.push({ subject, bytes });
      return real.deliver(subject, bytes, signal);
    },
    subscribe: (spec, handle) => real.subscribe(spec, handle),
    answer: (subject, reply) => real.answer(subject, reply),
    status: () => real.status(),
    drain: (signal) => real.drain(signal),
  };
}

/** The payloads with some of their calls done otherwise. */
export function withPayloads(real: Payloads, over: Partial<Payloads>): Payloads {
  return {
    traits: real.traits,
    put: (...call) => real.put(...call),
    get: (...call) => real.get(...call),
    inspect: (...call) => real.inspect(...call),
    keep: (...call) => real.keep(...call),
    delete: (...call) => real.delete(...call),
    sweep: (...call) => real.sweep(...call),
    close: () => real.close(),
    ...over,
  };
}

/** The state with some of its calls done otherwise. */
export function withState(real: State, over: Partial<Omit<State, "traits">>): State {
  return {
    traits: real.traits,
    get: (...call) => real.get(...call),
    commit: (...call) => real.commit(...call),
    list: (...call) => real.list(...call),
    count: (...call) => real.count(...call),
    read: (...call) => real.read(...call),
    take: (...call) => real.take(...call),
    sweep: (...call) => real.sweep(...call),
    now: (...call) => real.now(...call),
    close: () => real.close(),
    ...over,
  };
}

/** The state with another way to commit. */
export function withCommit(real: State, commit: State["commit"]): State {
  return withState(real, { commit });
}

/** The bus with other ways to send. */
export function withSending(real: Bus, over: Partial<Pick<Bus, "deliver" | "publish" | "status">>): Bus {
  return {
    traits: real.traits,
    publish: (subject, bytes, signal) => real.publish(subject, bytes, signal),
    deliver: (subject, bytes, signal) => real.deliver(subject, bytes, signal),
    subscribe: (spec, handle) => real.subscribe(spec, handle),
    answer: (subject, reply) => real.answer(subject, reply),
    status: () => real.status(),
    drain: (signal) => real.drain(signal),
    ...over,
  };
}

/** Notes every batch that was committed. */
export function watching(real: State, committed: Batch[]): State {
  return withCommit(real, async (batch, signal): Promise<Outcome> => {
    const outcome = await real.commit(batch, signal);
    if (outcome.kind === "committed") committed.push(batch);
    return outcome;
  });
}

export interface Notebook {
  readonly said: readonly Said[];
  readonly counts: ReadonlyMap<string, number>;
  readonly log: Log;
  readonly meter: Meter;
}

export function notebook(): Notebook {
  const said: Said[] = [];
  const counts = new Map<string, number>();
  const note =
    (level: "debug" | "info" | "warn") =>
    (event: string, fields: LogFields = {}): void => {
      said.push({ level, event, fields });
    };
  const log: Log = {
    debug: note("debug"),
    info: note("info"),
    warn: note("warn"),
    error: (event, error, fields = {}) => {
      said.push({ level: "error", event, error, fields });
    },
  };
  const meter: Meter = {
    count(metric, labels = {}, by = 1) {
      const name = [metric, ...Object.values(labels)].join(" ");
      counts.set(name, (counts.get(name) ?? 0) + by);
    },
    observe: () => undefined,
    gauge: () => undefined,
  };
  return { said, counts, log, meter };
}
