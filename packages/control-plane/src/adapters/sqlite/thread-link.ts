// The link to the SQLite thread: calls that wait travel together, and every call ends.
// Owns:          groups under way, calls that wait, timeouts, signals, the end of the thread.
// Must not know: what calls mean (T1 of tape.ts), SQL.
// K1. At most two groups are under way: one that the thread works on, and one that it finds when it is done. What comes
//     meanwhile waits and travels as the next group (S8).
// K2. A call that was not sent has not happened (`unsent`); one that was sent and not answered may have happened (`unanswered`).
// K3. A signal that fires ends its call at once, whether it waits or was sent.
// K4. When the thread ends, everything under way is unanswered, and everything after that is unsent.

import type { Clock } from "../../ports/clock.ts";
import type { FaultCode } from "../../ports/fault.ts";
import { Fault, unreachable } from "../../ports/fault.ts";
import type { Ms } from "../../ports/time.ts";
import { type Cell, type FromThread, TapeReader, type ToThread } from "./tape.ts";

const GROUPS_UNDER_WAY_MAX = 2;
const GROUP_CALLS_MAX = 512;
const GROUP_CELLS_MAX = 50_000;

/** The thread as the link sees it. A test may stand between and drop an answer. */
export interface ThreadPort {
  post(message: ToThread, transfer: readonly ArrayBuffer[]): void;
  listen(on: { message(message: FromThread): void; end(cause: Error): void }): void;
  terminate(): Promise<void>;
}

/** Which faults a call ends with. */
export interface CallFaults {
  readonly unsent: FaultCode;
  readonly unanswered: FaultCode;
}

export interface LinkLimits {
  /** How long the thread may take for a group. */
  readonly timeoutMs: Ms;
  /** Calls that wait at most; more are refused as unsent. */
  readonly waitingMax: number;
}

interface Call {
  readonly cells: readonly Cell[];
  readonly transfer: ArrayBuffer | undefined;
  readonly faults: CallFaults;
  readonly signal: AbortSignal;
  isSent: boolean;
  isSettled: boolean;
  resolve(answer: TapeReader): void;
  reject(fault: Fault): void;
}
interface Group {
  readonly calls: readonly Call[];
  readonly timer: AbortController;
}

export class ThreadLink {
  readonly #port: ThreadPort;
  readonly #clock: Clock;
  readonly #limits: LinkLimits;
  #waiting: Call[] = [];
  readonly #underWay = new Map<number, Group>();
  readonly #bySignal = new WeakMap<AbortSignal, Set<Call>>();
  #groups = 0;
  #isFlushPlanned = false;
  #closing: Promise<void> | undefined;
  #ended: Error | undefined;
  #whenIdle: (() => void) | undefined;
  #whenEnded: (() => void) | undefined;

  constructor(port: ThreadPort, clock: Clock, limits: LinkLimits) {
    this.#port = port;
    this.#clock = clock;
    this.#limits = limits;
    port.listen({ message: (message) => this.#receive(message), end: (cause) => this.#end(cause) });
  }

  /** Groups sent so far. */
  get groups(): number {
    return this.#groups;
  }

  /** Sends a call with the next group. `transfer`: the buffer of bytes among the cells, which must be the link's to give away. */
  call(cells: readonly Cell[], faults: CallFaults, signal: AbortSignal, transfer?: ArrayBuffer): Promise<TapeReader> {
    const why = this.#whyNot(signal);
    if (why !== undefined) return Promise.reject(new Fault(faults.unsent, why));
    return new Promise((resolve, reject) => {
      const call: Call = { cells, transfer, faults, signal, isSent: false, isSettled: false, resolve, reject };
      this.#watch(call);
      this.#waiting.push(call);
      this.#planFlush();
    });
  }

  /** Lets what waits be done, then ends the thread; gives up after the timeout. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const isIdle = new Promise<void>((resolve) => (this.#whenIdle = resolve));
    this.#noteIdle();
    await this.#within(isIdle);
    const hasEnded = new Promise<void>((resolve) => (this.#whenEnded = resolve));
    if (this.#ended !== undefined) return;
    this.#port.post({ kind: "close" }, []);
    await this.#within(hasEnded);
    await this.#port.terminate();
    this.#end(new Error("the store was closed"));
  }

  #whyNot(signal: AbortSignal): string | undefined {
    if (signal.aborted) return "the call was given up before it was sent";
    if (this.#closing !== undefined) return "the store is closed";
    if (this.#ended !== undefined) return "the store's thread has ended";
    return this.#waiting.length >= this.#limits.waitingMax ? "too many calls wait for the store" : undefined;
  }

  async #within(promise: Promise<void>): Promise<void> {
    const timer = new AbortController();
    await Promise.race([promise, this.#clock.sleep(this.#limits.timeoutMs, timer.signal)]);
    timer.abort();
  }

  #planFlush(): void {
    if (this.#isFlushPlanned || this.#underWay.size >= GROUPS_UNDER_WAY_MAX) return;
    this.#isFlushPlanned = true;
    queueMicrotask(() => {
      this.#isFlushPlanned = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#ended === undefined && this.#underWay.size < GROUPS_UNDER_WAY_MAX) {
      const calls = this.#nextCalls();
      if (calls.length === 0) break;
      this.#send(calls);
    }
    this.#noteIdle();
  }

  #nextCalls(): readonly Call[] {
    const calls: Call[] = [];
    let [looked, cells] = [0, 0];
    for (const call of this.#waiting) {
      if (calls.length === GROUP_CALLS_MAX || cells > GROUP_CELLS_MAX) break;
      looked++;
      if (call.isSettled) continue;
      calls.push(call);
      cells += call.cells.length;
    }
    this.#waiting = this.#waiting.slice(looked);
    return calls;
  }

  #send(calls: readonly Call[]): void {
    const cells: Cell[] = [];
    const transfer: ArrayBuffer[] = [];
    for (const call of calls) {
      call.isSent = true;
      cells.push(call.cells.length);
      for (const cell of call.cells) cells.push(cell);
      if (call.transfer !== undefined) transfer.push(call.transfer);
    }
    const group: Group = { calls, timer: new AbortController() };
    const number = ++this.#groups;
    this.#underWay.set(number, group);
    this.#port.post({ kind: "group", group: number, now: this.#clock.now(), cells }, transfer);
    void this.#timeOut(number, group);
  }

  async #timeOut(number: number, group: Group): Promise<void> {
    const isOver = await this.#clock.sleep(this.#limits.timeoutMs, group.timer.signal);
    if (!isOver || !this.#underWay.delete(number)) return;
    this.#failAll(group.calls, `the store did not answer within ${this.#limits.timeoutMs} ms`);
    this.#flush();
  }

  #receive(message: FromThread): void {
    switch (message.kind) {
      case "answered":
      case "failed": {
        const group = this.#underWay.get(message.group);
        // An answer that comes after the timeout has nobody to go to.
        if (group === undefined) return;
        this.#underWay.delete(message.group);
        group.timer.abort();
        // The thread is fed before the callers are told: it works while they do.
        this.#flush();
        if (message.kind === "answered") this.#deliver(group.calls, message.cells);
        else this.#failGroup(group, message.detail, message.outcome === "undone");
        break;
      }
      case "opened":
      case "refused":
        break;
      default:
        unreachable(message);
    }
  }

  #deliver(calls: readonly Call[], cells: readonly Cell[]): void {
    const tape = new TapeReader(cells);
    for (const call of calls) {
      const answer = tape.part();
      if (!this.#settle(call)) continue;
      call.resolve(answer);
    }
  }

  /** What the disk said is for the log, not for callers. */
  #failGroup({ calls }: Group, said: string, isUndone: boolean): void {
    const cause = new Error(said);
    for (const call of calls) {
      const code = isUndone ? call.faults.unsent : call.faults.unanswered;
      if (this.#settle(call)) call.reject(new Fault(code, "the store could not write", { cause }));
    }
  }

  #failAll(calls: readonly Call[], detail: string): void {
    for (const call of calls) this.#fail(call, detail);
  }

  #fail(call: Call, detail: string): void {
    if (!this.#settle(call)) return;
    call.reject(new Fault(call.isSent ? call.faults.unanswered : call.faults.unsent, detail));
  }

  #settle(call: Call): boolean {
    if (call.isSettled) return false;
    call.isSettled = true;
    this.#bySignal.get(call.signal)?.delete(call);
    return true;
  }

  /** One listener for all calls of a signal: a server's signal has thousands, and each listener would be searched for. */
  #watch(call: Call): void {
    const known = this.#bySignal.get(call.signal);
    if (known !== undefined) {
      known.add(call);
      return;
    }
    const calls = new Set([call]);
    this.#bySignal.set(call.signal, calls);
    const onAbort = (): void => {
      for (const given of [...calls]) this.#fail(given, "the call was given up");
    };
    call.signal.addEventListener("abort", onAbort, { once: true });
  }

  #end(cause: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = cause;
    for (const group of this.#underWay.values()) {
      group.timer.abort();
      this.#failAll(group.calls, "the store's thread has ended");
    }
    this.#underWay.clear();
    this.#failAll(this.#waiting, "the store's thread has ended");
    this.#waiting = [];
    this.#noteIdle();
    this.#whenEnded?.();
  }

  #noteIdle(): void {
    if (this.#underWay.size === 0 && this.#waiting.length === 0) this.#whenIdle?.();
  }
}
