// How batches travel to Redis.
// Owns:          which batches share a call (S8), resending after a lost connection, and the honest end of every commit.
// Must not know: what a batch says (commit-encoder.ts), what the script does (commit-script.ts).
// T1. A lane is what one call can carry: everything on a single Redis, one slot of a cluster. While its calls are under way, batches
//     collect; at most `batchesPerCallMax` of them and `callBytesMax` leave together.
// T2. A batch whose answer was lost is sent again as it is: the script recognises it (S1). A resend that loses against later work of
//     others would be told "conflict" although it won; that is why it is repeated at once, and never after the call's deadline.
// T3. STATE_UNAVAILABLE is said only when the batch was certainly not carried out; STATE_OUTCOME_UNKNOWN otherwise.
// T4. What waits is bounded by `waitingMax`. A signal that fires is noticed as in watch.ts.
// T5. No batch is carried out after its call's deadline (S10): Redis is told until when, by its own clock, and says when it was too late.

import { Fault } from "../../ports/fault.ts";
import type { Batch, Outcome, Stored } from "../../ports/state.ts";
import type { Ms } from "../../ports/time.ts";
import type { Admission } from "../state/admission.ts";
import { CallEncoder, type PreparedBatch, prepareBatch } from "./commit-encoder.ts";
import { COMMIT_SCRIPT } from "./commit-script.ts";
import { slotOfPartition } from "./keys.ts";
import { type Command, type Next, nodeAsked, type RedisLink, script, scriptCommand } from "./redis-link.ts";
import type { Answer, RedisNode, Reply } from "./redis-node.ts";
import { parseStored } from "./stored.ts";
import { Watch } from "./watch.ts";

export interface LaneSettings {
  readonly batchesPerCallMax: number;
  readonly callBytesMax: number;
  /** Calls under way at once in a lane. */
  readonly callsMax: number;
  /** Batches that may wait, over all lanes. */
  readonly waitingMax: number;
  /** Replicas that must have a commit before it is answered, and how long to wait for them. */
  readonly wait?: { readonly replicas: number; readonly timeoutMs: Ms };
}

interface Ticket {
  readonly prepared: PreparedBatch;
  readonly signal: AbortSignal;
  /** On the monotonic clock. */
  readonly giveUpAt: Ms;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
  /** It may have been carried out. */
  isUncertain: boolean;
  isSettled: boolean;
}

interface Lane {
  readonly slot: number;
  waiting: Ticket[];
  readonly underWay: Set<readonly Ticket[]>;
  /** What the last answer says about the next call. */
  next: Next | undefined;
  isPausing: boolean;
  isCalled: boolean;
}

export class CommitLanes {
  readonly #link: RedisLink;
  readonly #admission: Admission;
  readonly #settings: LaneSettings;
  readonly #script = script(COMMIT_SCRIPT);
  readonly #lanes = new Map<number, Lane>();
  #pending = 0;
  readonly #watch: Watch;
  #isClosed = false;
  #idle: (() => void) | undefined;

  constructor(link: RedisLink, admission: Admission, settings: LaneSettings) {
    this.#link = link;
    this.#admission = admission;
    this.#settings = settings;
    this.#watch = new Watch(link, (now) => this.#giveUpLate(now));
  }

  commit(batch: Batch, signal: AbortSignal): Promise<Outcome> {
    // Refusals are rejections, as every other end of a commit.
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw new Fault("STATE_UNAVAILABLE", "the store is closed");
      if (signal.aborted) throw new Fault("STATE_UNAVAILABLE", "the commit was given up before it was sent");
      if (this.#pending >= this.#settings.waitingMax) {
        throw new Fault("STATE_UNAVAILABLE", `${this.#pending} commits wait for Redis already`);
      }
      const prepared = prepareBatch(batch, this.#admission);
      const giveUpAt = this.#link.clock.mono() + this.#link.settings.callMsMax;
      const lane = this.#laneOf(batch.partition);
      lane.waiting.push({ prepared, signal, giveUpAt, resolve, reject, isUncertain: false, isSettled: false });
      this.#pending++;
      this.#callSoon(lane);
      this.#watch.start();
    });
  }

  /** No new commits; resolves when those under way have ended, which their deadlines bound. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#pending === 0) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
  }

  #laneOf(partition: number): Lane {
    const slot = this.#link.isCluster ? slotOfPartition(partition) : 0;
    const known = this.#lanes.get(slot);
    if (known !== undefined) return known;
    const lane: Lane = { slot, waiting: [], underWay: new Set(), next: undefined, isPausing: false, isCalled: false };
    this.#lanes.set(slot, lane);
    return lane;
  }

  /** At the end of this turn, so that commits of one turn leave together. */
  #callSoon(lane: Lane): void {
    if (lane.isCalled) return;
    lane.isCalled = true;
    process.nextTick(() => {
      lane.isCalled = false;
      while (lane.waiting.length > 0 && !lane.isPausing && lane.underWay.size < this.#settings.callsMax) {
        void this.#call(lane, this.#board(lane));
      }
    });
  }

  /** Takes from the lane what the next call carries. */
  #board(lane: Lane): readonly Ticket[] {
    const { batchesPerCallMax, callBytesMax } = this.#settings;
    const boarded: Ticket[] = [];
    let bytes = 0;
    let taken = 0;
    for (const ticket of lane.waiting) {
      if (ticket.signal.aborted) this.#fail(ticket, "the commit was given up", ticket.isUncertain);
      if (!ticket.isSettled) {
        bytes += ticket.prepared.bytes;
        if (boarded.length === batchesPerCallMax || (boarded.length > 0 && bytes > callBytesMax)) break;
        boarded.push(ticket);
      }
      taken++;
    }
    lane.waiting = lane.waiting.slice(taken);
    return boarded;
  }

  async #call(lane: Lane, boarded: readonly Ticket[]): Promise<void> {
    if (boarded.length === 0) return;
    const encoder = new CallEncoder(this.#admission);
    const tickets: Ticket[] = [];
    for (const ticket of boarded) {
      if (tickets.length > 0 && !encoder.hasRoomFor(ticket.prepared)) break;
      encoder.add(ticket.prepared);
      tickets.push(ticket);
    }
    if (tickets.length < boarded.length) lane.waiting.unshift(...boarded.slice(tickets.length));
    lane.underWay.add(tickets);
    const giveUpAt = Math.min(...tickets.map((ticket) => ticket.giveUpAt));
    const { keys, args } = encoder.finish(this.#link.storeTime.at(giveUpAt));
    const node = nodeAsked(lane.next) ?? this.#link.nodeOf(lane.slot);
    const [answer, replicas] = await this.#send(node, scriptCommand(this.#script, keys, args), lane.next);
    lane.underWay.delete(tickets);
    lane.next = undefined;
    if (answer.kind === "reply") this.#hear(lane, tickets, answer.reply, replicas);
    else await this.#settleOrRepeat(lane, node, { tickets, answer });
    this.#callSoon(lane);
  }

  async #send(
    node: RedisNode | undefined,
    command: Command,
    next: Next | undefined,
  ): Promise<readonly [Answer, Answer | undefined]> {
    const { wait } = this.#settings;
    const answered = this.#link.sendTo(node, command, next);
    if (wait === undefined) return [await answered, undefined];
    const acknowledged = this.#link.sendTo(node, { name: "WAIT", args: [wait.replicas, wait.timeoutMs] }, undefined);
    return await Promise.all([answered, acknowledged]);
  }

  #hear(lane: Lane, tickets: readonly Ticket[], reply: Reply, replicas: Answer | undefined): void {
    const isTooLate = typeof reply === "number";
    const storeMs = Number(isTooLate ? reply : Array.isArray(reply) ? reply[tickets.length] : Number.NaN);
    if (Number.isFinite(storeMs)) this.#link.storeTime.told(storeMs, this.#link.clock.mono());
    if (isTooLate) lane.waiting.unshift(...tickets.filter((ticket) => !ticket.isSettled));
    else this.#deliver(tickets, reply, replicas);
  }

  #deliver(tickets: readonly Ticket[], reply: Reply, replicas: Answer | undefined): void {
    const outcomes = Array.isArray(reply) ? reply : [];
    const lacksReplicas = this.#settings.wait !== undefined && !hasEnough(replicas, this.#settings.wait.replicas);
    tickets.forEach((ticket, at) => {
      this.#deliverOne(ticket, outcomes[at], lacksReplicas);
    });
  }

  #deliverOne(ticket: Ticket, told: Reply | undefined, lacksReplicas: boolean): void {
    let outcome: Outcome | undefined;
    try {
      outcome = outcomeOf(ticket.prepared.batch, told);
    } catch (error) {
      // What another program wrote under our keys is the trouble of this batch alone.
      if (this.#settle(ticket)) ticket.reject(error);
      return;
    }
    if (outcome === undefined) this.#fail(ticket, "Redis answered in a way that is not expected", true);
    else if (lacksReplicas && outcome.kind === "committed")
      this.#fail(ticket, "not enough replicas have the change yet", true);
    else if (this.#settle(ticket)) ticket.resolve(outcome);
  }

  async #settleOrRepeat(
    lane: Lane,
    node: RedisNode | undefined,
    ended: { readonly tickets: readonly Ticket[]; readonly answer: Exclude<Answer, { kind: "reply" }> },
  ): Promise<void> {
    const { tickets, answer } = ended;
    const next = this.#link.next(lane.slot, node, answer);
    if (next.executed === "unknown") for (const ticket of tickets) ticket.isUncertain = true;
    if (next.kind === "fail") {
      const cause = answer.kind === "error" ? answer.message : undefined;
      for (const ticket of tickets) this.#fail(ticket, next.hint, ticket.isUncertain, cause);
      return;
    }
    lane.waiting.unshift(...tickets.filter((ticket) => !ticket.isSettled));
    lane.next = next;
    if (next.pauseMs === 0 || lane.isPausing) return;
    lane.isPausing = true;
    await this.#link.clock.sleep(next.pauseMs, this.#link.closed);
    lane.isPausing = false;
  }

  /** True for the one who may end it. */
  #settle(ticket: Ticket): boolean {
    if (ticket.isSettled) return false;
    ticket.isSettled = true;
    this.#pending--;
    if (this.#pending === 0) this.#idle?.();
    return true;
  }

  #fail(ticket: Ticket, detail: string, isUncertain: boolean, cause?: unknown): void {
    const code = isUncertain ? "STATE_OUTCOME_UNKNOWN" : "STATE_UNAVAILABLE";
    if (this.#settle(ticket)) ticket.reject(new Fault(code, detail, cause === undefined ? {} : { cause }));
  }

  /** Gives up what waits for too long or is no longer wanted. */
  #giveUpLate(now: Ms): boolean {
    for (const lane of this.#lanes.values()) {
      for (const ticket of lane.waiting) this.#giveUp(ticket, now, ticket.isUncertain);
      for (const tickets of lane.underWay) for (const ticket of tickets) this.#giveUp(ticket, now, true);
    }
    return this.#pending > 0;
  }

  #giveUp(ticket: Ticket, now: Ms, isUncertain: boolean): void {
    if (ticket.signal.aborted) this.#fail(ticket, "the commit was given up", isUncertain);
    else if (now >= ticket.giveUpAt) this.#fail(ticket, "Redis did not answer in time", isUncertain);
  }
}

function hasEnough(answer: Answer | undefined, replicas: number): boolean {
  return answer?.kind === "reply" && typeof answer.reply === "number" && answer.reply >= replicas;
}

/** Reads one element of the script's answer, see commit-script.ts. */
function outcomeOf(batch: Batch, told: Reply | undefined): Outcome | undefined {
  if (told === 0) return { kind: "committed", sizes: [] };
  if (!Array.isArray(told)) return undefined;
  const [position, ...rest] = told as readonly Reply[];
  if (position === 0) return { kind: "committed", sizes: rest.map(Number) };
  const check = Number(position) - 1;
  const checked = batch.checks[check];
  if (checked === undefined) return undefined;
  const [raw] = rest;
  return { kind: "conflict", check, found: foundBy(checked, raw) };
}

function foundBy(checked: Batch["checks"][number], raw: Reply | undefined): Stored | undefined {
  if (typeof raw !== "string" || !("key" in checked)) return undefined;
  return parseStored(checked.key, raw);
}
