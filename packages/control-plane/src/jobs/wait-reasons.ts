// The reasons for which jobs wait, in words.
// Owns:          for each reason what it means, what would free the job and who can do that.
// Must not know: State; counts.

import { unreachable } from "../ports/fault.ts";
import type { JobNeeds } from "../scheduling/placement.ts";
import type { Job, WaitReason } from "./job.ts";
import { SUBMIT_RATE } from "./transition.ts";

/** Who can do something about it. "time" and "system" need nobody. */
export type Actor = "approver" | "operator" | "submitter" | "worker" | "time" | "system";

export interface Explanation {
  readonly explanation: string;
  /** What would free it; "" when nothing has to. */
  readonly freedBy: string;
  readonly whoCanAct: readonly Actor[];
}

export function reasonOf({ phase }: Job): string {
  switch (phase.state) {
    case "PENDING":
    case "SCHEDULED":
      return phase.waiting;
    case "APPROVAL_REQUIRED":
      return "approval_required";
    case "DISPATCHED":
      return "with_worker";
    case "RUNNING":
      return "running";
    default:
      return "ended";
  }
}

export function explain(job: Job, needs: JobNeeds): Explanation {
  const { phase } = job;
  switch (phase.state) {
    case "PENDING":
      if (job.steps.at(-1)?.why === SUBMIT_RATE)
        return says("its tenant submits more jobs than it may in a second, and it waits for its turn", "time", [
          "time",
          "operator",
        ]);
      return explainWait(phase.waiting, [], needs);
    case "SCHEDULED":
      return explainWait(phase.waiting, phase.pools, needs);
    case "APPROVAL_REQUIRED":
      return says(
        `rule ${phase.ask.ruleId} asks a person: ${phase.ask.reason}`,
        "an answer to the approval by somebody other than the one who asked for the job",
        ["approver", "operator"],
      );
    case "DISPATCHED":
      return says(
        `worker ${phase.dispatch.workerId} has it and has not said that it began`,
        "the worker's claim or result",
        ["worker"],
      );
    case "RUNNING":
      return says(`worker ${phase.dispatch.workerId} works on it`, "the worker's result", ["worker"]);
    default:
      return says("it has ended", "", []);
  }
}

function explainWait(waiting: WaitReason, pools: readonly string[], needs: JobNeeds): Explanation {
  const where = pools.length === 0 ? "" : ` of ${pools.length === 1 ? "pool" : "pools"} ${pools.join(", ")}`;
  switch (waiting) {
    case "placing":
      return says("it was accepted and is about to be judged and placed", "a process that judges and places jobs", [
        "system",
      ]);
    case "policy_unavailable":
      return says("no policy is loaded, and nothing runs unjudged", "a policy that can be loaded", ["operator"]);
    case "throttled":
      return says("policy lets it wait for a while", "time, or another policy", ["time", "operator"]);
    case "no_workers":
      return says(
        `no live worker${where} may take jobs of topic ${needs.topic}${demandsOf(needs)}`,
        `a worker${where} that takes topic ${needs.topic}${demandsOf(needs)}`,
        ["operator"],
      );
    case "pool_overloaded":
      return says(
        `every worker${where} that could take it is full`,
        "a worker that finishes a job, or one more worker",
        ["worker", "operator"],
      );
    case "workers_draining":
      return says(`every worker${where} that could take it is drained`, "one more worker, or one that is undrained", [
        "operator",
      ]);
    case "no_listener":
      return says(
        `workers${where} are alive, but nobody listens where jobs of topic ${needs.topic} are sent`,
        "a worker that subscribes to its own subject or to the topic",
        ["operator"],
      );
    case "tenant_limit":
      return says(
        "the tenant has as many jobs out as it may have",
        "one of the tenant's jobs that ends, or a higher limit",
        ["worker", "operator"],
      );
    case "rule_limit":
      return says(
        "the rule that allows it has as many jobs out as it may have",
        "one of those jobs that ends, or a higher limit",
        ["worker", "operator"],
      );
    case "retry_backoff":
      return says("an attempt failed, and the next waits a while", "time", ["time"]);
    case "not_before":
      return says("its time has not come", "time; or cancel it and submit it without one", ["time", "submitter"]);
    default:
      return unreachable(waiting);
  }
}

const CONSTRAINING = ["placement.", "constraint.", "node."];

/** What narrows the choice of workers beside pool and topic. */
function demandsOf({ labels }: JobNeeds): string {
  const demands = Object.entries(labels).filter(([label]) => CONSTRAINING.some((prefix) => label.startsWith(prefix)));
  return demands.length === 0 ? "" : ` and carries ${demands.map(([label, value]) => `${label}=${value}`).join(", ")}`;
}

function says(explanation: string, freedBy: string, whoCanAct: readonly Actor[]): Explanation {
  return { explanation, freedBy, whoCanAct };
}
