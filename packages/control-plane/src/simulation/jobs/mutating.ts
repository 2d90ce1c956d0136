// How a fault is planted in a node of a simulated house.
// Owns:          what a mutant is; wrappers around the ports and the policy of a node.
// Must not know: production code's inside: it is never changed for this; which faults there are.

import type { Policy } from "../../policy/decision.ts";
import { Fault } from "../../ports/fault.ts";
import type { Batch, State } from "../../ports/state.ts";
import type { ProcessPorts } from "../process.ts";
import type { Habits } from "./habits.ts";

export interface Mutation {
  ports(ports: ProcessPorts): ProcessPorts;
  policy(policy: Policy): Policy;
  /** What the house must do for the fault to matter. */
  readonly habits?: Partial<Habits>;
}

/** By name: what is broken, and the invariants of which one must say so. */
export interface Mutant {
  readonly name: string;
  readonly foundAs: RegExp;
  readonly mutation: Mutation;
}

/** `habits`: what must be going on for the fault to matter. */
export function mutant(name: string, foundAs: RegExp, mutation: Mutation, habits: Partial<Habits> = {}): Mutant {
  return { name, foundAs, mutation: { ...mutation, habits } };
}

export function same<T>(part: T): T {
  return part;
}

export function onState(change: (state: State) => State): Mutation {
  return { ports: (ports) => ({ ...ports, state: change(ports.state) }), policy: same };
}

export function onBatch(change: (batch: Batch) => Batch): Mutation {
  return onState((state) => overriding(state, { commit: (batch, signal) => state.commit(change(batch), signal) }));
}

/** `part` with some members replaced; all others are its own. */
export function overriding<T extends object>(part: T, members: Partial<T>): T {
  return new Proxy(part, {
    get(target, name) {
      const owner = Object.hasOwn(members, name) ? members : target;
      const member: unknown = Reflect.get(owner, name);
      return typeof member === "function" ? member.bind(owner) : member;
    },
  });
}

/** Wraps what each subscription of a node does with a message. */
export function onPorts(change: (ports: ProcessPorts) => ProcessPorts): Mutation {
  return { ports: change, policy: same };
}

export function onPolicy(change: (policy: Policy) => Policy): Mutation {
  return { ports: same, policy: change };
}

export function ignoringFault(error: unknown): void {
  if (!(error instanceof Fault)) throw error;
}
