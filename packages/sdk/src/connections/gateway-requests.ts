// Requests of a worker to its gateway: waiting, on their way, answered.
// Owns:          their order, their bounds, what happens to them when the connection breaks.
// Must not know: sockets; what is asked.
// Q1. What is to arrive is kept while there is no connection and sent when it is back, the oldest first; what was on its way is sent again:
//     a gateway knows results by job and attempt, and the rest may be repeated. Q2. What may be lost (`isLight`) is refused at once without a
//     connection. Q3. On the way are no more than the gateway allows. Q4. The same bytes again while they are kept are the same request.

import type { WorkerFrame } from "@cordum/protocol";

type Numbered = Exclude<WorkerFrame, { readonly kind: "hello" | "took" }>;
type WithoutId<F> = F extends { readonly id: number } ? Omit<F, "id"> : never;
export type Asked = WithoutId<Numbered>;

export type Answer =
  | { readonly kind: "done"; readonly bytes: Uint8Array }
  | { readonly kind: "missing" }
  | { readonly kind: "refused"; readonly code: string; readonly isFinal: boolean; readonly reason: string };

export interface RequestBounds {
  readonly requestsMax: number;
  readonly requestBytesMax: number;
}

interface Request {
  readonly asked: Asked;
  readonly isLight: boolean;
  readonly bytes: number;
  readonly settled: PromiseWithResolvers<Answer>;
  isSettled: boolean;
}

const KEPT_MAX = 10_000;
const KEPT_BYTES_MAX = 67_108_864;
const HEAD_BYTES = 64;

export class GatewayRequests {
  readonly #send: (frame: WorkerFrame) => void;
  readonly #onWay = new Map<number, Request>();
  readonly #byBytes = new Map<Uint8Array, Request>();
  #waiting: Request[] = [];
  #keptBytes = 0;
  #onWayBytes = 0;
  #lastId = 0;
  #bounds: RequestBounds | undefined;
  #closedBy: Error | undefined;
  #onIdle: (() => void)[] = [];

  constructor(send: (frame: WorkerFrame) => void) {
    this.#send = send;
  }

  get size(): number {
    return this.#waiting.length + this.#onWay.size;
  }

  get onWay(): number {
    return this.#onWay.size;
  }

  /** Resolves with the answer. Rejects when there is no room, with `close`, and what is light without a connection. */
  ask(asked: Asked, options: { readonly isLight?: boolean; readonly signal?: AbortSignal } = {}): Promise<Answer> {
    const { isLight = false, signal } = options;
    const body = bodyOf(asked);
    const known = body === undefined ? undefined : this.#byBytes.get(body);
    if (known !== undefined) return known.settled.promise;
    if (this.#closedBy !== undefined) return Promise.reject(this.#closedBy);
    if (isLight && this.#bounds === undefined) return Promise.reject(noConnection());
    const bytes = HEAD_BYTES + (body?.length ?? 0);
    if (this.size >= KEPT_MAX || this.#keptBytes + bytes > KEPT_BYTES_MAX)
      return Promise.reject(new Error(`${this.size} requests (${this.#keptBytes} bytes) wait for the gateway already`));
    const request: Request = { asked, isLight, bytes, settled: Promise.withResolvers(), isSettled: false };
    if (body !== undefined) this.#byBytes.set(body, request);
    this.#keptBytes += bytes;
    this.#waiting.push(request);
    signal?.addEventListener("abort", () => this.#tooLate(request), { once: true });
    this.#pump();
    return request.settled.promise;
  }

  /** False when nothing with this id is on its way. */
  answered(id: number, answer: Answer): boolean {
    const request = this.#onWay.get(id);
    if (request === undefined) return false;
    this.#onWay.delete(id);
    this.#onWayBytes -= request.bytes;
    this.#settle(request, answer);
    this.#pump();
    return true;
  }

  /** The connection is there. */
  resume(bounds: RequestBounds): void {
    this.#bounds = bounds;
    this.#pump();
  }

  pause(): void {
    this.#bounds = undefined;
    const again = [...this.#onWay.values()];
    this.#onWay.clear();
    this.#onWayBytes = 0;
    const all = [...again, ...this.#waiting];
    this.#waiting = all.filter(({ isLight, isSettled }) => !isLight && !isSettled);
    for (const request of all) if (request.isLight) this.#settle(request, noConnection());
  }

  /** Nothing waits and nothing is on its way. */
  async idle(): Promise<void> {
    while (this.size > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  close(why: Error): void {
    this.#closedBy ??= why;
    const all = [...this.#onWay.values(), ...this.#waiting];
    this.#onWay.clear();
    this.#waiting = [];
    for (const request of all) this.#settle(request, why);
  }

  /** What is on its way goes on counting until it is answered: the gateway counts it, too. */
  #tooLate(request: Request): void {
    this.#waiting = this.#waiting.filter((each) => each !== request);
    this.#settle(request, new Error("the gateway did not answer in time"));
  }

  #pump(): void {
    while (this.#bounds !== undefined) {
      const [next] = this.#waiting;
      if (next === undefined) return;
      const { requestsMax, requestBytesMax } = this.#bounds;
      const isTooMuch = this.#onWay.size > 0 && this.#onWayBytes + next.bytes > requestBytesMax;
      if (this.#onWay.size >= requestsMax || isTooMuch) return;
      this.#waiting.shift();
      this.#lastId = this.#lastId >= 0xffff_ffff ? 1 : this.#lastId + 1;
      this.#onWay.set(this.#lastId, next);
      this.#onWayBytes += next.bytes;
      this.#send({ ...next.asked, id: this.#lastId } as Numbered);
    }
  }

  #settle(request: Request, outcome: Answer | Error): void {
    if (request.isSettled) return;
    request.isSettled = true;
    this.#keptBytes -= request.bytes;
    const body = bodyOf(request.asked);
    if (body !== undefined) this.#byBytes.delete(body);
    if (outcome instanceof Error) request.settled.reject(outcome);
    else request.settled.resolve(outcome);
    if (this.size > 0) return;
    const waiters = this.#onIdle;
    this.#onIdle = [];
    for (const resolve of waiters) resolve();
  }
}

function bodyOf(asked: Asked): Uint8Array | undefined {
  switch (asked.kind) {
    case "publish":
      return asked.packet;
    case "store":
      return asked.bytes;
    default:
      return undefined;
  }
}

function noConnection(): Error {
  return new Error("there is no connection to the gateway at the moment");
}
