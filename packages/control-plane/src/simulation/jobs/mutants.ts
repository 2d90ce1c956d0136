// Deliberate faults, each of which the simulation must find.
// Owns:          wrappers around the ports and the policy of a node that break one promise each.
// Must not know: production code's inside: it is never changed for this.

import { encodePacket, parsePacket } from "@cordum/protocol";
import { parseJob } from "../../jobs/job-codec.ts";
import { JOB_KIND } from "../../jobs/job-store.ts";
import { PLACER_SUBJECT } from "../../jobs/peers.ts";
import type { Policy } from "../../policy/decision.ts";
import { Fault } from "../../ports/fault.ts";
import type { Batch, Change, Check, Outcome, State } from "../../ports/state.ts";
import { SLOT_KIND } from "../../scheduling/slots.ts";
import type { ProcessPorts } from "../process.ts";
import { ignoringFault, type Mutant, mutant, onBatch, onPolicy, onPorts, onState, overriding } from "./mutating.ts";

export const MUTANTS: readonly Mutant[] = [
  mutant(
    "drops the alarm of a job that was dispatched",
    /^G4/,
    onBatch((batch) => ({ ...batch, changes: batch.changes.map(withoutAlarm) })),
  ),
  mutant("does not check the version", /^G[1235]/, onBatch(withoutVersion)),
  mutant("tells committed before it is", /^G[34]/, onState(acknowledgingFirst)),
  mutant("takes an unknown outcome for a success", /^G(3|4|6|16|19)/, onState(believingUnknown)),
  mutant("takes a conflict for a success", /^G(3|4|8|16|19|22)/, onState(believingConflicts)),
  mutant("does not count before it takes a slot", /^G10/, onBatch(withoutCount)),
  mutant(
    "never gives a slot of a limit back",
    /^G13/,
    onState((state) => overriding(state, { commit: (batch, signal) => keepingSlots(state, batch, signal) })),
  ),
  mutant("does not hear of other placers", /^G12/, onPorts(deafToPlacers)),
  mutant("takes workers for larger than they are", /^G12/, onPorts(overestimating)),
  mutant("goes by its own clock", /^G(2|11|19)/, onPorts(onOwnClock)),
  mutant(
    "forgets to leave an index",
    /^G5/,
    onBatch((batch) => ({ ...batch, changes: batch.changes.filter((change) => change.do !== "leave") })),
  ),
  mutant(
    "forgets the dead letter",
    /^G5/,
    onBatch((batch) => ({ ...batch, changes: batch.changes.filter((change) => !isDeadLetter(change)) })),
  ),
  mutant(
    "never looks at due alarms",
    /^G4/,
    onState((state) => overriding(state, { take: async () => [] })),
  ),
  mutant("publishes before it commits", /^G3/, onPorts(publishingFirst)),
  mutant(
    "lets everything pass when policy says no",
    /^G2/,
    onPolicy((policy) => overriding(policy, { decide: (input) => allowing(policy, input) })),
  ),
  mutant("keeps deciding by the first policy for each topic", /^G[24]/, onPolicy(remembering)),
];

function withoutAlarm(change: Change): Change {
  if (change.do !== "put" || change.key.kind !== JOB_KIND) return change;
  return parseJob(change.value).phase.state === "DISPATCHED" ? { ...change, wakeAt: "never" } : change;
}

function withoutVersion(batch: Batch): Batch {
  const [first, ...rest] = batch.checks;
  if (first.is !== "at") return batch;
  // Something that holds before and not after, as every batch needs.
  const index = { partition: batch.partition, index: "job.lanes", of: ["mutant"] };
  const unchecked: Check = { is: "out", index, member: batch.id };
  return {
    ...batch,
    checks: [unchecked, ...rest],
    changes: [...batch.changes, { do: "enter", index, member: batch.id, score: 0 }],
  };
}

function withoutCount(batch: Batch): Batch {
  const [first, ...rest] = batch.checks;
  const takesSlot = batch.changes.some((change) => change.do === "put" && change.key.kind === SLOT_KIND);
  return takesSlot ? { ...batch, checks: [first, ...rest.filter((check) => check.is !== "fewer")] } : batch;
}

function keepingSlots(state: State, batch: Batch, signal: AbortSignal): Promise<Outcome> {
  const givesBack = batch.changes.some((change) => change.do === "delete" && change.key.kind === SLOT_KIND);
  return givesBack ? Promise.resolve({ kind: "conflict", check: 0, found: undefined }) : state.commit(batch, signal);
}

/** Each placer takes all slots of a worker for its own. */
function deafToPlacers(ports: ProcessPorts): ProcessPorts {
  const { bus } = ports;
  return {
    ...ports,
    bus: overriding(bus, {
      subscribe: (spec, handle) =>
        bus.subscribe(spec, spec.subject === PLACER_SUBJECT ? async () => ({ kind: "ack" }) : handle),
    }),
  };
}

function overestimating(ports: ProcessPorts): ProcessPorts {
  const { bus } = ports;
  const larger = (bytes: Uint8Array): Uint8Array => {
    const parsed = parsePacket(bytes);
    if (parsed.kind !== "packet" || parsed.packet.payload?.kind !== "heartbeat") return bytes;
    const { value } = parsed.packet.payload;
    const payload = { kind: "heartbeat", value: { ...value, maxParallelJobs: value.maxParallelJobs + 1 } } as const;
    return encodePacket({ ...parsed.packet, payload });
  };
  return {
    ...ports,
    bus: overriding(bus, {
      subscribe: (spec, handle) => bus.subscribe(spec, (bytes, about, signal) => handle(larger(bytes), about, signal)),
    }),
  };
}

/** Ahead of the store by more than any followed clock. */
function onOwnClock(ports: ProcessPorts): ProcessPorts {
  const { clock } = ports;
  return { ...ports, clock: overriding(clock, { now: () => clock.now() + 15_000 }) };
}

function isDeadLetter(change: Change): boolean {
  return change.do === "put" && change.key.kind === "dead";
}

function acknowledgingFirst(state: State): State {
  return overriding(state, {
    async commit(batch, signal) {
      state.commit(batch, signal).catch(ignoringFault);
      return { kind: "committed", sizes: [] };
    },
  });
}

function believingUnknown(state: State): State {
  return overriding(state, {
    async commit(batch, signal) {
      try {
        return await state.commit(batch, signal);
      } catch (error) {
        if (error instanceof Fault && error.code === "STATE_OUTCOME_UNKNOWN") return { kind: "committed", sizes: [] };
        throw error;
      }
    },
  });
}

function believingConflicts(state: State): State {
  return overriding(state, {
    async commit(batch, signal) {
      const outcome = await state.commit(batch, signal);
      return outcome.kind === "conflict" && batch.checks[0].is === "at" ? { kind: "committed", sizes: [] } : outcome;
    },
  });
}

/** A commit that dispatches waits until its delivery is under way. */
function publishingFirst(ports: ProcessPorts): ProcessPorts {
  let delivered: () => void = () => undefined;
  return {
    ...ports,
    state: overriding(ports.state, {
      async commit(batch, signal) {
        const delivery = new Promise<void>((resolve) => {
          delivered = resolve;
        });
        if (!batch.changes.some((change) => withoutAlarm(change) !== change)) return ports.state.commit(batch, signal);
        delivery.then(() => ports.state.commit(batch, signal)).catch(ignoringFault);
        return { kind: "committed", sizes: [] };
      },
    }),
    bus: overriding(ports.bus, {
      async deliver(subject, bytes, signal) {
        const verdict = await ports.bus.deliver(subject, bytes, signal);
        delivered();
        return verdict;
      },
    }),
  };
}

function allowing(policy: Policy, input: Parameters<Policy["decide"]>[0]): ReturnType<Policy["decide"]> {
  const decision = policy.decide(input);
  return decision !== "unavailable" && decision.kind === "deny" ? { ...decision, kind: "allow" } : decision;
}

function remembering(policy: Policy): Policy {
  const first = new Map<string, ReturnType<Policy["decide"]>>();
  return overriding(policy, {
    decide(input) {
      const fresh = policy.decide(input);
      const known = first.get(input.topic) ?? fresh;
      if (known !== "unavailable") first.set(input.topic, known);
      return known === "unavailable" || fresh === "unavailable" ? fresh : { ...known, snapshot: fresh.snapshot };
    },
  });
}
