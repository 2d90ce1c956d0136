// Deliberate faults in what is around the life of a job, each of which the simulation must find.
// Owns:          faults in limits, delays, acknowledgements, dead letters, audit, locks, keys, readers, tenants, secrecy.
// Must not know: production code's inside.

import { DEAD_LETTER_INDEX, signaturesOf } from "../../dead-letters/dead-letter.ts";
import { JOB_INDEX } from "../../jobs/job-indexes.ts";
import { JOB_KIND } from "../../jobs/job-store.ts";
import { KEY_KIND } from "../../keys/managed-key.ts";
import { LOCK_KIND } from "../../locks/use-locks.ts";
import type { Json } from "../../ports/json.ts";
import type { Change, State, Stored } from "../../ports/state.ts";
import type { ProcessPorts } from "../process.ts";
import { type Mutant, mutant, onBatch, onPolicy, onPorts, onState, overriding } from "./mutating.ts";

export const MUTANTS_AROUND: readonly Mutant[] = [
  mutant(
    "forgets the limit of a tenant",
    /^G10/,
    onPolicy((policy) => overriding(policy, { concurrentJobsMax: () => 0 })),
    { tenants: true },
  ),
  mutant(
    "takes the first policy that it had for the one in force",
    /^G[24]/,
    onPolicy((policy) => {
      let first = "";
      return overriding(policy, { snapshot: () => (first ||= policy.snapshot()) });
    }),
  ),
  mutant("acknowledges before it has stored", /^G22/, onPorts(acknowledgingFirst)),
  mutant(
    "forgets that a job is to wait",
    /^G14/,
    onBatch((batch) => ({ ...batch, changes: batch.changes.map((change) => onJob(change, withoutStart)) })),
    { delays: true },
  ),
  mutant(
    "does not note the last step",
    /^G16/,
    onBatch((batch) => ({ ...batch, changes: batch.changes.map((change) => onJob(change, withoutLastStep)) })),
  ),
  mutant(
    "forgets the audit entry",
    /^G16/,
    onBatch((batch) => ({ ...batch, changes: batch.changes.filter((change) => change.do !== "append") })),
  ),
  mutant(
    "leaves a dead letter in its list when it is removed or retried",
    /^G5/,
    onBatch((batch) => ({ ...batch, changes: batch.changes.filter((change) => !leavesLetters(change)) })),
    { letters: true },
  ),
  mutant(
    "takes the signature out with any of its dead letters",
    /^G5/,
    onBatch((batch) => ({ ...batch, changes: batch.changes.flatMap(withItsSignature) })),
    { letters: true },
  ),
  mutant(
    "takes a held lock for a free one",
    /^G19/,
    onState((state) => readingAs(state, LOCK_KIND, (value) => ({ ...value, holds: [] }))),
    {
      locks: true,
    },
  ),
  mutant(
    "hands a lock on under the same token",
    /^G19/,
    onBatch((batch) => ({ ...batch, changes: batch.changes.map(withOneToken) })),
    {
      locks: true,
    },
  ),
  mutant("goes on with a key as it was when it first met it", /^G20/, onState(rememberingKeys), { keys: true }),
  mutant("takes State that is away for a key that is unknown", /^G20/, onPorts(losingKeys), { keys: true }),
  mutant("does not learn which workers are drained", /^G23/, onPorts(deafToDrains), { drains: true }),
  mutant("does not look for changes that no news told", /^G21/, onPorts(withoutScans), { readers: true }),
  mutant(
    "takes each job for one of its own tenant",
    /^G(17|2|5)|misplaced/,
    onState((state) => readingAs(state, JOB_KIND, (value) => ({ ...value, t: "globex" }))),
    {
      tenants: true,
    },
  ),
  mutant("logs what it stores", /^G18/, onPorts(loggingPayloads)),
];

type Members = { readonly [name: string]: Json };

function onJob(change: Change, mutate: (value: Members) => Members): Change {
  if (change.do !== "put" || change.key.kind !== JOB_KIND) return change;
  return { ...change, value: mutate(change.value as Members) };
}

function withoutStart({ s: _, ...rest }: Members): Members {
  return rest;
}

function withoutLastStep(value: Members): Members {
  const { e: steps } = value;
  return Array.isArray(steps) && steps.length > 1 ? { ...value, e: steps.slice(0, -1) } : value;
}

function leavesLetters(change: Change): boolean {
  return change.do === "leave" && change.index.index === DEAD_LETTER_INDEX.byTenant;
}

function withItsSignature(change: Change): readonly Change[] {
  if (change.do !== "leave" || change.index.index !== DEAD_LETTER_INDEX.bySignature) return [change];
  const [tenant = "", signature = ""] = change.index.of;
  return [change, { do: "leave", index: signaturesOf(tenant, change.index.partition), member: signature }];
}

function withOneToken(change: Change): Change {
  if (change.do !== "put" || change.key.kind !== LOCK_KIND) return change;
  return { ...change, value: { ...(change.value as Members), token: 1 } };
}

/** Records of a kind look otherwise to whoever reads them. */
function readingAs(state: State, kind: string, change: (value: Members) => Members): State {
  return overriding(state, {
    async get(keys, signal) {
      const found = await state.get(keys, signal);
      return found.map((stored) =>
        stored?.key.kind === kind ? { ...stored, value: change(stored.value as Members) } : stored,
      );
    },
  });
}

function rememberingKeys(state: State): State {
  const first = new Map<string, Stored>();
  return overriding(state, {
    async get(keys, signal) {
      const found = await state.get(keys, signal);
      return found.map((stored) => {
        if (stored?.key.kind !== KEY_KIND) return stored;
        const known = first.get(stored.key.id) ?? stored;
        first.set(stored.key.id, known);
        return known;
      });
    },
  });
}

/** State that does not answer, as often as in the worst of weathers. */
function losingKeys(ports: ProcessPorts): ProcessPorts {
  const { state, chance } = ports;
  return {
    ...ports,
    state: overriding(state, {
      async get(keys, signal) {
        if (keys.length !== 1 || keys[0]?.kind !== KEY_KIND || chance.below(3) > 0) return state.get(keys, signal);
        return [undefined];
      },
    }),
  };
}

function withoutScans(ports: ProcessPorts): ProcessPorts {
  const { state } = ports;
  return {
    ...ports,
    state: overriding(state, {
      async list(query, signal) {
        const page = await state.list(query, signal);
        return query.span.index.index === JOB_INDEX.byTenant ? { entries: [], examined: page.examined } : page;
      },
    }),
  };
}

function deafToDrains(ports: ProcessPorts): ProcessPorts {
  const { state } = ports;
  return {
    ...ports,
    state: overriding(state, {
      async list(query, signal) {
        const page = await state.list(query, signal);
        return query.span.index.index === "drain.all" ? { entries: [], examined: page.examined } : page;
      },
    }),
  };
}

function acknowledgingFirst(ports: ProcessPorts): ProcessPorts {
  const { bus } = ports;
  return {
    ...ports,
    bus: overriding(bus, {
      subscribe: (spec, handle) =>
        bus.subscribe(spec, async (bytes, about, signal) => {
          if (!spec.keep) return handle(bytes, about, signal);
          handle(bytes, about, signal).catch(() => undefined);
          return { kind: "ack" };
        }),
    }),
  };
}

function loggingPayloads(ports: ProcessPorts): ProcessPorts {
  const { payloads, log } = ports;
  return {
    ...ports,
    payloads: overriding(payloads, {
      put(key, bytes, ttlMs, signal) {
        log.debug("payload.stored", { key, text: Buffer.from(bytes).toString("utf8") });
        return payloads.put(key, bytes, ttlMs, signal);
      },
    }),
  };
}
