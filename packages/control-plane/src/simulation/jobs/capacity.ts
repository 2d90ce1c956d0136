// What must hold of how many jobs are out with one worker.
// Owns:          which life of a node has given which job to which worker; the bound of each and of all together.
// Must not know: how placers share (scheduling/placers.ts).
// C1. One placer never has more jobs out with a worker than the worker has slots: it counts its own. So while placers do not know of each
//     other (one came or went within PLACER_TTL_MS, or words of presence were lost) n of them have at most n × slots out: 8 of 4 for two.
// C2. QUIET_MS after the last coming or going, with nothing lost any more, all of them together have at most as many as it has slots.
// What was answered by anybody, dropped by the worker or given up by the record is not out. A dispatch whose commit was not confirmed to its
// placer is nobody's: it is rung for later (jobs/wake.ts), and heartbeats count it. After a failover nothing is judged that it forgot.

import type { Dispatch, Job } from "../../jobs/job.ts";
import { DEFAULT_JOB_SETTINGS } from "../../jobs/job-parts.ts";
import type { EpochMs } from "../../ports/time.ts";
import { PLACER_TTL_MS } from "../../scheduling/placers.ts";
import { DIFFERING_CLOCKS } from "../clock-error.ts";

/** A word under way takes 3 s at most, and one is said each 2 s. */
export const QUIET_MS = PLACER_TTL_MS + 5_000;

interface Published {
  readonly jobId: string;
  readonly dispatchId: string;
  readonly by: string;
  readonly at: EpochMs;
}
interface Given {
  readonly jobId: string;
  readonly dispatch: Dispatch;
  readonly by: string;
  readonly at: EpochMs;
}

/** What it must know of the run. */
interface Ledger {
  readonly isHealed: boolean;
  readonly histories: ReadonlyMap<string, { readonly job: Job }>;
  readonly forgotten: ReadonlySet<string>;
  readonly sent: ReadonlyMap<string, unknown>;
  count(name: string): void;
}

export class Capacity {
  readonly #slotsOf = new Map<string, number>();
  readonly #committedBy = new Map<string, string>();
  readonly #given = new Map<string, Given>();
  readonly #dead = new Set<string>();
  /** Dispatches that their worker has forgotten. */
  readonly #dropped = new Set<string>();
  #changedAt: EpochMs = 0;

  addWorker(id: string, slots: number): void {
    this.#slotsOf.set(id, slots);
  }

  noteCommitted(dispatchId: string, by: string): void {
    this.#committedBy.set(dispatchId, by);
  }

  noteLife(who: string, what: "begun" | "ended", now: EpochMs): void {
    this.#changedAt = now;
    if (what === "begun") return;
    this.#dead.add(who);
    const workerId = who.split("#", 1)[0] ?? "";
    for (const { dispatch } of this.#given.values()) if (dispatch.workerId === workerId) this.#dropped.add(dispatch.id);
  }

  noteHealed(now: EpochMs): void {
    this.#changedAt = now;
  }

  noteDropped(dispatchId: string): void {
    this.#dropped.add(dispatchId);
  }

  /** A node sends a job to a worker. Says what is wrong, or nothing. */
  notePublished({ jobId, dispatchId, by, at }: Published, ledger: Ledger): string | undefined {
    const job = ledger.histories.get(jobId)?.job;
    if (job === undefined || !("dispatch" in job.phase) || job.phase.dispatch.id !== dispatchId) return undefined;
    const { dispatch } = job.phase;
    const isRung = at >= dispatch.at + DEFAULT_JOB_SETTINGS.doorbellMs - 2 * DIFFERING_CLOCKS.unfollowedMs;
    if (this.#committedBy.get(dispatchId) !== by || isRung || this.#given.has(dispatchId)) return undefined;
    this.#given.set(dispatchId, { jobId, dispatch, by, at });
    return this.#judge(dispatch.workerId, { by, now: at }, ledger);
  }

  #judge(
    workerId: string,
    { by, now }: { readonly by: string; readonly now: EpochMs },
    ledger: Ledger,
  ): string | undefined {
    const slots = this.#slotsOf.get(workerId);
    if (slots === undefined) return undefined;
    const out = [...this.#given.values()].filter(
      (given) => given.dispatch.workerId === workerId && this.#isOut(given, ledger),
    );
    const own = out.filter((given) => given.by === by);
    if (own.length > slots) return `G12: ${by} has ${own.length} jobs out with ${workerId}, which has ${slots} slots`;
    const quietSince = this.#changedAt + QUIET_MS;
    if (!ledger.isHealed || now < quietSince) return undefined;
    const all = out.filter(({ at }) => at >= quietSince);
    if (all.length === slots) ledger.count("worker full");
    return all.length > slots
      ? `G12: ${all.length} jobs are out with ${workerId}, which has ${slots} slots`
      : undefined;
  }

  #isOut({ jobId, dispatch, by }: Given, ledger: Ledger): boolean {
    if (this.#dead.has(by) || this.#dropped.has(dispatch.id)) return false;
    if (ledger.sent.has(jobId) || ledger.forgotten.has(jobId)) return false;
    const phase = ledger.histories.get(jobId)?.job.phase;
    return phase !== undefined && "dispatch" in phase && phase.dispatch.id === dispatch.id;
  }
}
