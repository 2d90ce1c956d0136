// Deliberate faults in what is made of workers' words and of attempts, each of which the simulation must find.
// Owns:          faults in who is believed, how often a job is tried, what a retry makes.
// Must not know: production code's inside.

import { encodePacket, parsePacket, SUBJECTS } from "@cordum/protocol";
import { DEAD_LETTER_KIND } from "../../dead-letters/dead-letter.ts";
import { parseJob } from "../../jobs/job-codec.ts";
import { JOB_KIND } from "../../jobs/job-store.ts";
import { WORKERS_SNAPSHOT_KEY } from "../../jobs/keep-workers-snapshot.ts";
import type { Json } from "../../ports/json.ts";
import type { Payloads } from "../../ports/payloads.ts";
import type { Batch, Change, State } from "../../ports/state.ts";
import type { ProcessPorts } from "../process.ts";
import { type Mutant, mutant, onBatch, onPorts, onState, overriding } from "./mutating.ts";

export const MUTANTS_OF_WORKERS: readonly Mutant[] = [
  mutant("takes anybody's result for that of the job's worker", /^G(6|9|22)/, onPorts(believingAnybody)),
  mutant(
    "forgets how often a job was tried",
    /^G7/,
    onBatch((batch) => ({ ...batch, changes: batch.changes.map(withOneAttempt) })),
  ),
  mutant("knows of a fleet what it has heard itself", /^G25/, onPorts(withoutSnapshot), {
    terse: true,
    nodes: 2,
  }),
  mutant("makes another job at each retry of a dead letter", /^G15/, onState(forgettingRetries), { letters: true }),
];

/** The worker that has a job by its record is put into each result about it. */
function believingAnybody(ports: ProcessPorts): ProcessPorts {
  const { bus, state } = ports;
  const workers = new Map<string, string>();
  const note = ({ changes }: Batch): void => {
    for (const change of changes) {
      if (change.do !== "put" || change.key.kind !== JOB_KIND) continue;
      const { phase } = parseJob(change.value);
      if ("dispatch" in phase) workers.set(change.key.id, phase.dispatch.workerId);
    }
  };
  const believed = (bytes: Uint8Array): Uint8Array => {
    const parsed = parsePacket(bytes);
    if (parsed.kind !== "packet" || parsed.packet.payload?.kind !== "jobResult") return bytes;
    const { value } = parsed.packet.payload;
    const workerId = workers.get(value.jobId) ?? value.workerId;
    return encodePacket({
      ...parsed.packet,
      payload: { kind: "jobResult", value: { ...value, workerId, dispatch: undefined } },
    });
  };
  return {
    ...ports,
    state: overriding(state, {
      commit(batch, signal) {
        note(batch);
        return state.commit(batch, signal);
      },
    }),
    bus: overriding(bus, {
      subscribe: (spec, handle) =>
        bus.subscribe(spec, (bytes, about, signal) =>
          handle(spec.subject === SUBJECTS.jobResult ? believed(bytes) : bytes, about, signal),
        ),
    }),
  };
}

function withOneAttempt(change: Change): Change {
  if (change.do !== "put" || change.key.kind !== JOB_KIND) return change;
  const value = change.value as { readonly [name: string]: Json };
  if (!Array.isArray(value.n)) return change;
  const [attempts, attemptsMax] = value.n;
  return { ...change, value: { ...value, n: [Math.min(1, Number(attempts)), attemptsMax ?? 1] } };
}

/** No letter is marked as retried, and each looks like a new one. */
function forgettingRetries(state: State): State {
  let reads = 0;
  return overriding(state, {
    async get(keys, signal) {
      const found = await state.get(keys, signal);
      return found.map((stored) => {
        if (stored?.key.kind !== DEAD_LETTER_KIND) return stored;
        const value = stored.value as { readonly [name: string]: Json };
        return { ...stored, value: { ...value, createdAt: Number(value.createdAt) + reads++ } };
      });
    },
    commit(batch, signal) {
      const marks = batch.changes.some(
        ({ do: what, ...rest }) => what === "put" && "key" in rest && isMark(rest as { readonly value: Json }),
      );
      return marks ? Promise.resolve({ kind: "committed", sizes: [] }) : state.commit(batch, signal);
    },
  });
}

function isMark({ value }: { readonly value: Json }): boolean {
  return value !== null && typeof value === "object" && "retriedAs" in value;
}

function withoutSnapshot(ports: ProcessPorts): ProcessPorts {
  const { payloads } = ports;
  const get: Payloads["get"] = async (key, signal) =>
    key === WORKERS_SNAPSHOT_KEY ? undefined : payloads.get(key, signal);
  return { ...ports, payloads: overriding(payloads, { get }) };
}
