// A node of the control plane in a simulated house: the production composition, and the people who use it.
// Owns:          composing it as services/node.ts does, with all that has no socket of its own; changes of policy and routing; ending in order.
// Must not know: how the control plane works inside; what people do; which faults it meets.

import { createKeyAccess } from "../../gateway/key-access.ts";
import { JobFeed } from "../../jobs/job-feed.ts";
import type { JobSettings } from "../../jobs/job-parts.ts";
import { NO_JUDGE } from "../../ports/schema-judge.ts";
import { NO_TRACING } from "../../ports/tracing.ts";
import type { Routing, Timeouts } from "../../scheduling/routing.ts";
import { type Core, composeCore, DEFAULT_JOB_SETTINGS, DEFAULT_RETENTION } from "../../services/core.ts";
import { DEFAULT_SESSION_SETTINGS } from "../../worker-sessions/session-parts.ts";
import { WorkerSessions } from "../../worker-sessions/sessions.ts";
import type { ProcessPorts, SimProcess } from "../process.ts";
import { drainSome } from "./drainers.ts";
import type { Habits } from "./habits.ts";
import { holdKeys } from "./key-holders.ts";
import type { Ledger } from "./ledger.ts";
import { holdLocks } from "./lock-holders.ts";
import type { Mutation } from "./mutating.ts";
import { tendLetters } from "./operators.ts";
import { answerApprovals, cancelSome, submitAll } from "./people.ts";
import { MILD_POLICY, POOL, PolicyInForce, STRICT_POLICY } from "./policies.ts";
import { readAlong, watchSome } from "./readers.ts";
import { notingAnnounced } from "./topic-watch.ts";
import { type People, TENANT, type User } from "./user.ts";
import type { Wire } from "./wire.ts";

export const SIM_SETTINGS: JobSettings = {
  ...DEFAULT_JOB_SETTINGS,
  approvalTtlMs: 90_000,
  backlogMaxMs: 60_000,
  upkeepMs: 40_000,
  relistMs: 100_000,
};
const RUNNING_TIMEOUT_MS = 15_000;
/** As a container is ended: after that it is killed. */
const END_WITHIN_MS = 6_000;

export interface NodeOptions {
  readonly name: string;
  readonly people: People;
  readonly ledger: Ledger;
  readonly habits: Habits;
  readonly wire: Wire;
  /** Submissions of this node's client, over all its lives. */
  readonly submissions: number;
  /** False: it stores and rings, and leaves the driving to others. */
  readonly drives: boolean;
  /** How a test plants a fault: production parts are wrapped, never changed. */
  readonly mutate: Mutation;
  fail(says: string): void;
}

export function simNode(options: NodeOptions): SimProcess {
  return {
    name: options.name,
    mayCrash: true,
    async start(given) {
      const stopping = new AbortController();
      const ports = {
        ...options.mutate.ports(notingAnnounced(given, options.ledger)),
        signal: stopping.signal,
      };
      const source = new PolicyInForce();
      const core = composeCore(
        { ...ports, tracing: NO_TRACING, policy: options.mutate.policy(source), judge: NO_JUDGE },
        {
          scheduling: { routing: ROUTING, timeouts: TIMEOUTS },
          retention: DEFAULT_RETENTION,
          settings: SIM_SETTINGS,
          drives: options.drives,
        },
      );
      noteKnowledge(options.people, core, given);
      await core.start();
      ports.onGap(() => core.catchUp());
      const user: User = { ...options, parts: core.parts, ports };
      const around = await startAround(user, options);
      await Promise.all([
        changePolicy(source, user),
        submitAll(user),
        answerApprovals(user),
        cancelSome(user),
        ...around.work,
        ...(user.habits.letters ? [tendLetters(user)] : []),
        ...(user.habits.locks ? [holdLocks(user)] : []),
        ...(user.habits.drains ? [drainSome(user)] : []),
        ...(user.habits.reroutes ? [changeRouting(core, user)] : []),
        ...(user.habits.restarts ? [endInOrder(core, around, stopping, user)] : []),
      ]);
    },
  };
}

/** What a test may ask of the node's present life. */
function noteKnowledge(people: People, { parts: { registry } }: Core, { clock }: ProcessPorts): void {
  people.slotsHeld = () => [...registry.held()].length;
  people.unheardOf = () => registry.alive(clock.now()).flatMap(({ id, topics }) => (topics === undefined ? [id] : []));
}

interface Around {
  readonly work: readonly Promise<void>[];
  /** Ends what came from outside, before the core ends. */
  leave(deadline: AbortSignal): Promise<void>;
}

/** What a gateway has around the core: keys, feeds, sessions of workers. */
async function startAround(user: User, { wire }: NodeOptions): Promise<Around> {
  const { ports, parts, habits } = user;
  const work: Promise<void>[] = [];
  const leaves: ((deadline: AbortSignal) => Promise<void>)[] = [];
  if (habits.keys) {
    const access = createKeyAccess(ports, { configured: [], openTenant: TENANT, isOpen: false });
    await access.start();
    ports.onGap(() => access.doubt());
    work.push(holdKeys(access, user));
    leaves.push((deadline) => access.settle(deadline));
  }
  if (habits.readers) {
    const feed = new JobFeed(parts);
    ports.onGap(() => feed.catchUp());
    work.push(feed.run(ports.signal), readAlong(feed, user), watchSome(feed, user));
    leaves.push((deadline) => feed.close(deadline));
  }
  if (habits.sessions) {
    const sessions = new WorkerSessions({ ...parts, limits: DEFAULT_SESSION_SETTINGS });
    await sessions.start();
    ports.onGap(() => sessions.catchUp());
    work.push(sessions.run(ports.signal));
    wire.listen(`${user.name}#${ports.life}`, ports, (socket, tenant) =>
      sessions.open(socket, tenant, () => undefined),
    );
    leaves.push(async (deadline) => {
      await sessions.leave();
      await sessions.close(deadline);
    });
  }
  return {
    work,
    async leave(deadline) {
      for (const leave of leaves) await leave(deadline);
    },
  };
}

/** One topic runs on a named pool, where a worker need not announce it; the others on whoever announces them. */
const ROUTING: Routing = {
  topics: new Map([["job.small", [POOL]]]),
  pools: new Map([[POOL, { requires: [] }]]),
  isOpen: true,
};
const TIMEOUTS: Timeouts = { runningMs: RUNNING_TIMEOUT_MS, topics: new Map() };
const OTHER_ROUTING: Routing = {
  topics: new Map([["job.slow", [POOL]]]),
  pools: new Map([[POOL, { requires: [] }]]),
  isOpen: true,
};
const OTHER_TIMEOUTS: Timeouts = {
  runningMs: RUNNING_TIMEOUT_MS,
  topics: new Map([["job.slow", { timeoutMs: 9_000, maxRetries: 2 }]]),
};

/** Each node learns of a new policy in its own time; now and then none is loaded. */
async function changePolicy(source: PolicyInForce, { ports, ledger, name }: User): Promise<void> {
  const { chance, clock, signal } = ports;
  do {
    const roll = chance.below(10);
    const policy = ledger.isHealed || roll < 5 ? MILD_POLICY : STRICT_POLICY;
    const isTaken = roll === 9 && !ledger.isHealed;
    source.use(isTaken ? undefined : policy);
    ledger.notePolicy(`${name}#${ports.life}`, isTaken ? "" : policy.snapshot);
    ledger.count(isTaken ? "policy taken away" : "policy put in force");
  } while (await clock.sleep(1_000 + chance.below(5_000), signal));
}

async function changeRouting(core: Core, { ports, ledger }: User): Promise<void> {
  const { chance, clock, signal } = ports;
  while (await clock.sleep(2_000 + chance.below(8_000), signal)) {
    const isOther = !ledger.isHealed && chance.once(2);
    core.useScheduling({ routing: isOther ? OTHER_ROUTING : ROUTING, timeouts: isOther ? OTHER_TIMEOUTS : TIMEOUTS });
    ledger.count("rerouted");
    if (ledger.isHealed) return;
  }
}

async function endInOrder(
  core: Core,
  around: Around,
  stopping: AbortController,
  { ports, ledger }: User,
): Promise<void> {
  const { chance, clock, signal } = ports;
  if (!(await clock.sleep(8_000 + chance.below(40_000), signal)) || ledger.isHealed) return;
  const deadline = clock.deadline(new AbortController().signal, END_WITHIN_MS);
  stopping.abort();
  await around.leave(deadline);
  await core.settle(deadline);
  ledger.count("ended in order");
  ports.exit();
}
