// Calls that travel together to Redis.
// Owns:          which of them share a command: those of one turn, and those that arrive while commands are under way (S8).
// Must not know: what is asked. Only for what may be repeated, as RedisLink.run.
// G1. A lane is what one command can carry: everything on a single Redis, one slot of a cluster.
// G2. What waits is bounded by `waitingMax`, what a command carries by `weightMax`: one command must not keep Redis from others for long.
// G3. A caller waits until its own signal fires, which is noticed as in watch.ts; the command goes on for the others.

import { Fault, type FaultCode } from "../../ports/fault.ts";
import type { Ms } from "../../ports/time.ts";
import type { Command, RedisLink } from "./redis-link.ts";
import type { Reply } from "./redis-node.ts";
import { Watch } from "./watch.ts";

const COMMANDS_UNDER_WAY_MAX = 4;

export interface GatherSettings<Asked> {
  readonly code: FaultCode;
  readonly waitingMax: number;
  /** What a command carries at most; a single call may weigh more. */
  readonly weightMax: number;
  /** For how long calls gather before a command leaves; default: until the end of the turn. */
  readonly collectMs?: Ms;
  weightOf(asked: Asked): number;
  /** The reply must be a list with an element for each of `asked`. */
  commandFor(asked: readonly Asked[]): Command;
}

/** One `ask`: it ends with the last of its calls, or with the first that fails. */
interface Caller {
  readonly signal: AbortSignal;
  /** On the monotonic clock. */
  readonly giveUpAt: Ms;
  readonly replies: Reply[];
  missing: number;
  readonly resolve: (replies: readonly Reply[]) => void;
  readonly reject: (error: unknown) => void;
}

interface Call<Asked> {
  readonly asked: Asked;
  readonly caller: Caller;
  /** Among the caller's replies. */
  readonly at: number;
}

interface Lane<Asked> {
  readonly slot: number;
  waiting: Call<Asked>[];
  underWay: number;
  isPlanned: boolean;
}

export class Gather<Asked> {
  readonly #link: RedisLink;
  readonly #settings: GatherSettings<Asked>;
  readonly #lanes = new Map<number, Lane<Asked>>();
  readonly #callers = new Set<Caller>();
  readonly #watch: Watch;

  constructor(link: RedisLink, settings: GatherSettings<Asked>) {
    this.#link = link;
    this.#settings = settings;
    this.#watch = new Watch(link, (now) => this.#giveUp(now));
  }

  /** The replies in the order of `asked`; each is carried by whatever command has room. */
  ask(asked: readonly (readonly [slot: number, asked: Asked])[], signal: AbortSignal): Promise<readonly Reply[]> {
    if (asked.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      if (signal.aborted) throw new Fault(this.#settings.code, "the call was given up before it was sent");
      const giveUpAt = this.#link.clock.mono() + this.#link.settings.callMsMax;
      const caller: Caller = { signal, giveUpAt, replies: [], missing: asked.length, resolve, reject };
      this.#callers.add(caller);
      asked.forEach(([slot, one], at) => {
        this.#add(slot, { asked: one, caller, at });
      });
      this.#watch.start();
    });
  }

  #add(slot: number, call: Call<Asked>): void {
    const lane = this.#laneOf(slot);
    if (lane.waiting.length >= this.#settings.waitingMax) {
      this.#fail(call.caller, new Fault(this.#settings.code, `${lane.waiting.length} calls wait for Redis already`));
      return;
    }
    lane.waiting.push(call);
    this.#sendSoon(lane);
  }

  #laneOf(slot: number): Lane<Asked> {
    const known = this.#lanes.get(slot);
    if (known !== undefined) return known;
    const lane: Lane<Asked> = { slot, waiting: [], underWay: 0, isPlanned: false };
    this.#lanes.set(slot, lane);
    return lane;
  }

  #sendSoon(lane: Lane<Asked>): void {
    if (lane.isPlanned || lane.waiting.length === 0) return;
    lane.isPlanned = true;
    const { collectMs } = this.#settings;
    if (collectMs === undefined) process.nextTick(() => this.#sendAll(lane));
    else void this.#link.clock.sleep(collectMs, this.#link.closed).then(() => this.#sendAll(lane));
  }

  #sendAll(lane: Lane<Asked>): void {
    lane.isPlanned = false;
    while (lane.waiting.length > 0 && lane.underWay < COMMANDS_UNDER_WAY_MAX) void this.#send(lane);
  }

  async #send(lane: Lane<Asked>): Promise<void> {
    const calls = this.#board(lane);
    lane.underWay++;
    try {
      const command = this.#settings.commandFor(calls.map(({ asked }) => asked));
      const options = { signal: this.#link.closed, code: this.#settings.code } as const;
      const reply = await this.#link.run(lane.slot, command, options);
      calls.forEach((call, at) => {
        this.#hear(call, elementOf(reply, at));
      });
    } catch (error) {
      for (const { caller } of calls) this.#fail(caller, error);
    } finally {
      lane.underWay--;
      this.#sendSoon(lane);
    }
  }

  #hear({ caller, at }: Call<Asked>, reply: Reply): void {
    caller.replies[at] = reply;
    caller.missing--;
    if (caller.missing === 0 && this.#callers.delete(caller)) caller.resolve(caller.replies);
  }

  #fail(caller: Caller, error: unknown): void {
    if (this.#callers.delete(caller)) caller.reject(error);
  }

  #giveUp(now: Ms): boolean {
    for (const caller of this.#callers)
      if (caller.signal.aborted || now >= caller.giveUpAt)
        this.#fail(caller, new Fault(this.#settings.code, "Redis did not answer in time"));
    return this.#callers.size > 0;
  }

  /** Takes from the lane what the next command carries: at least one call. */
  #board(lane: Lane<Asked>): readonly Call<Asked>[] {
    let weight = 0;
    const end = lane.waiting.findIndex(({ asked }, at) => {
      weight += this.#settings.weightOf(asked);
      return at > 0 && weight > this.#settings.weightMax;
    });
    const boarded = end === -1 ? lane.waiting : lane.waiting.slice(0, end);
    lane.waiting = lane.waiting.slice(boarded.length);
    return boarded;
  }
}

function elementOf(reply: Reply, at: number): Reply {
  const element: unknown = Array.isArray(reply) ? reply[at] : undefined;
  return (element ?? null) as Reply;
}
