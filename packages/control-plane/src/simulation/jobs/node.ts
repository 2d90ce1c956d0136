// A node of the control plane in a simulated world: the production composition, and people who use it.
// Owns:          what clients, approvers and operators of this node do, and what they remember when the node dies.
// Must not know: how the control plane works inside; which faults it meets.
// People live outside of the node: what they asked and were told is kept by `People` and in the ledger, whatever crashes.

import { approveJob, rejectJob } from "../../approvals/answer.ts";
import { listApprovals } from "../../approvals/list-approvals.ts";
import { cancelJob } from "../../jobs/cancel.ts";
import type { Job } from "../../jobs/job.ts";
import type { JobParts, JobSettings } from "../../jobs/job-parts.ts";
import { submitJob } from "../../jobs/submit.ts";
import type { SubmitCommand } from "../../jobs/submit-command.ts";
import type { Policy } from "../../policy/decision.ts";
import { Fault } from "../../ports/fault.ts";
import { NO_JUDGE } from "../../ports/schema-judge.ts";
import { NO_TRACING } from "../../ports/tracing.ts";
import type { Routing } from "../../scheduling/routing.ts";
import { composeCore, DEFAULT_JOB_SETTINGS, DEFAULT_RETENTION } from "../../services/core.ts";
import { COMMAND } from "../../testing/job-scene.ts";
import type { ProcessPorts, SimProcess } from "../process.ts";
import { QUIET_MS } from "./capacity.ts";
import { type Ledger, note } from "./ledger.ts";
import { MILD_POLICY, PolicyInForce, STRICT_POLICY, TOPICS } from "./policies.ts";

export const TENANT = "acme";
export const POOL = "p";
const CLIENT = "ada";
const APPROVERS = ["bob", "eve", CLIENT] as const;

export const SIM_SETTINGS: JobSettings = {
  ...DEFAULT_JOB_SETTINGS,
  approvalTtlMs: 90_000,
  backlogMaxMs: 60_000,
  upkeepMs: 40_000,
  relistMs: 100_000,
};
const RUNNING_TIMEOUT_MS = 15_000;

export interface NodeOptions {
  readonly ledger: Ledger;
  /** Submissions of this node's client, over all its lives. */
  readonly submissions: number;
  /** False: it stores and rings, and leaves the driving to others. */
  readonly drives: boolean;
  /** How a test plants a fault: production parts are wrapped, never changed. */
  readonly mutate: Mutation;
}
export interface Mutation {
  ports(ports: ProcessPorts): ProcessPorts;
  policy(policy: Policy): Policy;
}

/** What the client of a node remembers. */
interface People {
  next: number;
  nextFresh: number;
}

export function simNode(name: string, options: NodeOptions): SimProcess {
  const people: People = { next: 0, nextFresh: 0 };
  return {
    name,
    mayCrash: true,
    async start(given) {
      const ports = options.mutate.ports(given);
      const source = new PolicyInForce();
      const core = composeCore(
        { ...ports, tracing: NO_TRACING, policy: options.mutate.policy(source), judge: NO_JUDGE },
        {
          scheduling: { routing: ROUTING, timeouts: { runningMs: RUNNING_TIMEOUT_MS, topics: new Map() } },
          retention: DEFAULT_RETENTION,
          settings: SIM_SETTINGS,
          drives: options.drives,
        },
      );
      await core.start();
      const user = { parts: core.parts, ports, options };
      await Promise.all([
        changePolicy(source, user),
        submitAll(name, people, user),
        answerApprovals(user),
        cancelSome(user),
      ]);
    },
  };
}

/** One topic runs on a named pool, where a worker need not announce it; the others on whoever announces them. */
const ROUTING: Routing = {
  topics: new Map([["job.small", [POOL]]]),
  pools: new Map([[POOL, { requires: [] }]]),
  isOpen: true,
};

interface User {
  readonly parts: JobParts;
  readonly ports: ProcessPorts;
  readonly options: NodeOptions;
}

/** Each node learns of a new policy in its own time; now and then none is loaded. */
async function changePolicy(source: PolicyInForce, { ports, options }: User): Promise<void> {
  const { chance, clock, signal } = ports;
  do {
    const roll = chance.below(10);
    const policy = options.ledger.isHealed || roll < 5 ? MILD_POLICY : STRICT_POLICY;
    source.use(roll === 9 && !options.ledger.isHealed ? undefined : policy);
  } while (await clock.sleep(1_000 + chance.below(5_000), signal));
}

async function submitAll(name: string, people: People, user: User): Promise<void> {
  const { chance, clock, signal } = user.ports;
  while (people.next < user.options.submissions) {
    const nth = people.next;
    const answered = await submitOnce(commandOf(name, nth, user), user);
    if (answered) people.next = nth + 1;
    await clock.sleep(chance.below(answered ? 900 : 300), signal);
  }
  while (people.nextFresh < FRESH) {
    if (people.nextFresh === 0) await clock.sleep(1_000, signal);
    if (!user.options.ledger.isHealed) continue;
    if (people.nextFresh === 0) await clock.sleep(QUIET_MS, signal);
    const { jobId } = await submitJob({ ...BASE_COMMAND, topic: "job.echo", priority: "critical" }, user.parts, signal);
    user.options.ledger.fresh.add(jobId);
    people.nextFresh++;
  }
}

/** Asked for after healing: more than the slots of all workers, so that a slot that was never given back is missed. */
export const FRESH = 12;

/** True when the client will not ask again. */
async function submitOnce(command: SubmitCommand, { parts, ports, options }: User): Promise<boolean> {
  const { ledger } = options;
  try {
    const { jobId } = await submitJob(command, parts, ports.signal);
    ledger.accepted.add(jobId);
    ledger.count("accepted");
    if (command.idempotencyKey !== "") noteKey(command.idempotencyKey, jobId, ledger);
    return true;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    ledger.count(`submit ${error.code}`);
    return error.spec.retry === "never";
  }
}

function noteKey(key: string, jobId: string, ledger: Ledger): void {
  const first = ledger.byKey.get(key);
  if (first === undefined) ledger.byKey.set(key, jobId);
  else if (first !== jobId) ledger.count("KEY NAMES TWO JOBS");
}

/** The nth command of a client is always the same; every third key is used twice, once with another body. */
function commandOf(name: string, nth: number, { ports }: User): SubmitCommand {
  const { chance } = ports;
  const key = nth % 3 === 2 ? `${name}-${nth - 1}` : `${name}-${nth}`;
  const topic = TOPICS[(nth * 5 + name.length) % TOPICS.length] ?? "job.echo";
  return {
    ...BASE_COMMAND,
    topic: nth % 3 === 2 ? (TOPICS[((nth - 1) * 5 + name.length) % TOPICS.length] ?? "job.echo") : topic,
    prompt: nth % 6 === 5 ? "another body" : BASE_COMMAND.prompt,
    priority: (["critical", "interactive", "batch"] as const)[nth % 3 === 2 ? (nth - 1) % 3 : nth % 3] ?? "batch",
    // Without a key nobody can ask twice: then a lost answer is a job that its client does not know.
    idempotencyKey: nth % 8 === 7 ? "" : key,
    deadlineMs: nth % 5 === 4 && nth % 3 === 0 ? 5_000 + chance.below(1) : 0,
  };
}

async function answerApprovals(user: User): Promise<void> {
  const { chance, clock, signal } = user.ports;
  while (await clock.sleep(1_500 + chance.below(4_000), signal)) {
    await ignoringFaults(async () => {
      const { jobs } = await listApprovals({ tenant: TENANT, limit: 10 }, user.parts, signal);
      for (const job of jobs) if (chance.once(user.options.ledger.isHealed ? 1 : 2)) await answerOne(job, user);
    });
  }
}

async function answerOne(job: Job, { parts, ports, options }: User): Promise<void> {
  const { ledger } = options;
  const by = APPROVERS[ports.chance.below(APPROVERS.length)] ?? "bob";
  const yes = ports.chance.below(10) < 7;
  const answer = { tenant: TENANT, actor: actorNamed(by), reason: "because", note: "" };
  if (yes && by !== job.principal) note(ledger.approvers, job.id, by);
  await ignoringFaults(async () => {
    await (yes ? approveJob : rejectJob)(job.id, answer, parts, ports.signal);
    note(ledger.confirmed, job.id, `${yes ? "approved" : "rejected"} by ${by}`);
    ledger.count(yes ? "approved" : "rejected");
    if (yes && by === job.principal) ledger.count("SELF APPROVED");
  });
}

function actorNamed(principal: string) {
  return { tenant: TENANT, principal, role: "approver", keyId: "" };
}

async function cancelSome({ parts, ports, options }: User): Promise<void> {
  const { chance, clock, signal } = ports;
  while (await clock.sleep(3_000 + chance.below(9_000), signal)) {
    const known = [...options.ledger.accepted];
    const jobId = known[chance.below(Math.max(1, known.length))];
    if (jobId === undefined || options.ledger.isHealed) continue;
    await ignoringFaults(async () => {
      const cancellation = { tenant: TENANT, by: actorNamed("ada"), reason: "not needed" };
      const { moved } = await cancelJob(jobId, cancellation, parts, signal);
      if (moved) options.ledger.count("cancelled");
    });
  }
}

async function ignoringFaults(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Fault)) throw error; // the person shrugs and looks again later
  }
}

export const BASE_COMMAND: SubmitCommand = { ...COMMAND, tenant: TENANT, principal: CLIENT, prompt: "a prompt" };
