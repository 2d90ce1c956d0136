// Calls that wait for their fate.
// Owns:          the queue of port calls: who made them, how each is done, answered or failed.
// Must not know: which is next, and what becomes of it.
// Q1. A call is answered once at most, and never to an ended life. Q2. A call whose signal fired is answered at once, as a real port
//     does: the work stays in the queue, since it may be on the wire. Q3. The order of the queue depends on nothing but the seed.

import { Fault, type FaultCode } from "../ports/fault.ts";
import type { EpochMs } from "../ports/time.ts";
import type { CallKind } from "./fate.ts";
import { Life } from "./process.ts";

export interface CallAbout {
  readonly life: Life;
  readonly port: "state" | "payloads" | "bus";
  readonly method: string;
  /** Names what is called in the trace; the same in every run. */
  readonly key: string;
  readonly kind: CallKind;
  /** Lets somebody else be first, where that is possible. */
  readonly contend?: () => void;
}

export interface Call extends CallAbout {
  /** Counts up; calls of one turn have the same `turn`. */
  readonly nth: number;
  readonly turn: number;
  readonly madeAt: EpochMs;
  /** Nobody waits for the answer any more. */
  isAbandoned: boolean;
  /** Does the work; `answer` tells whether the caller hears of it. */
  perform(answer: boolean): void;
  fail(code: FaultCode, detail: string): void;
}

const UNAVAILABLE = { state: "STATE_UNAVAILABLE", payloads: "PAYLOADS_UNAVAILABLE", bus: "BUS_UNAVAILABLE" } as const;

/** What the caller hears when nothing was done. */
export function unavailable(call: CallAbout): FaultCode {
  return UNAVAILABLE[call.port];
}

/** What the caller hears when nobody knows whether it was done. */
export function outcomeUnknown(call: CallAbout): FaultCode {
  return call.kind === "commit" ? "STATE_OUTCOME_UNKNOWN" : unavailable(call);
}

export class CallQueue {
  readonly #ready: Call[] = [];
  readonly #now: () => EpochMs;
  #made = 0;
  /** Set by the world at each step. */
  turn = 0;

  constructor(now: () => EpochMs) {
    this.#now = now;
  }

  get size(): number {
    return this.#ready.length;
  }

  /** Without a signal the call waits for as long as it takes. */
  enqueue<T>(about: CallAbout, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = (tell: () => void): void => {
        signal?.removeEventListener("abort", onAbort);
        if (call.isAbandoned || !about.life.isAlive) return;
        call.isAbandoned = true;
        tell();
      };
      const call: Call = {
        ...about,
        nth: this.#made++,
        turn: this.turn,
        madeAt: this.#now(),
        isAbandoned: false,
        perform: (answer) => {
          const done = work();
          if (answer)
            done.then(
              (value) => finish(() => resolve(value)),
              (error: unknown) => finish(() => reject(error)),
            );
          else done.catch(passFault); // nobody waits for it
        },
        fail: (code, detail) => finish(() => reject(new Fault(code, detail))),
      };
      const onAbort = (): void => call.fail(outcomeUnknown(about), "the call's signal fired");
      if (signal?.aborted) return call.fail(unavailable(about), "the call was given up before it was sent");
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#ready.push(call);
    });
  }

  put(call: Call): void {
    this.#ready.push(call);
  }

  /** Takes the call at a place from 0 to size - 1; the last one moves there. */
  takeAt(place: number): Call | undefined {
    const last = this.#ready.pop();
    const chosen = this.#ready[place];
    if (chosen === undefined || last === undefined) return last;
    this.#ready[place] = last;
    return chosen;
  }

  abandonAll(life: Life): void {
    for (const call of this.#ready) if (call.life === life) call.isAbandoned = true;
  }
}

/** Everything but a Fault is a programmer error, and fails the run as an unhandled rejection. */
function passFault(error: unknown): void {
  if (!(error instanceof Fault)) throw error;
}

/** The same work once more, on the wire by itself: nobody hears its answer, and it outlives its caller. */
export function echoOf(call: Call): Call {
  return { ...call, life: ECHO, isAbandoned: false, perform: () => call.perform(false), fail: () => undefined };
}

const ECHO = new Life({ name: "wire", mayCrash: false, start: async () => undefined }, 1);
