// A gateway as a worker's bus and store: everything over one WebSocket, with an API key.
// Owns:          the one connection, its reconnects, subscriptions, how an answer becomes the outcome of a call.
// Must not know: what is in a packet, jobs.
// B1. As over NATS: a result counts as sent when the bus has it; heartbeats, handshakes and progress are refused without connection.
// B2. The connection comes back by itself for ever, with jittered pauses; subscriptions come back with it, before anybody is told.
// B3. A gateway that says goodbye is left as soon as it has answered what is on its way.
// B4. Silence is an end: whoever has not answered a request for `silenceMs` is gone, whatever the operating system thinks.
// B5. Each delivery is answered when it was handed to the worker: until then the gateway keeps it within its window.

import { type GatewayFrame, SESSION_CLOSE, type SessionLimits, WORKER_FRAMES_VERSION } from "@cordum/protocol";
import { backoffMs } from "../backoff.ts";
import type { Runtime } from "../runtime.ts";
import { PayloadTooLarge, type WorkerConnection, type WorkerSubscription } from "../worker/connection.ts";
import type { WorkerLog } from "../worker/log.ts";
import { SUBJECTS } from "../worker/wire.ts";
import { explainRefusal } from "./gateway-refusal.ts";
import { type Answer, type Asked, GatewayRequests } from "./gateway-requests.ts";
import { GatewayConnectionSocket } from "./gateway-socket.ts";
import type { GatewayPlace } from "./gateway-target.ts";

export interface GatewayBusParts {
  readonly workerId: string;
  readonly runtime: Runtime;
  readonly log: WorkerLog;
  readonly connectTimeoutMs: number;
  /** A load or store, repeats included. */
  readonly ioTimeoutMs: number;
  readonly payloadBytesMax: number;
}

type Handle = (bytes: Uint8Array, subject: string) => void;

const LIGHT: ReadonlySet<string> = new Set([SUBJECTS.heartbeat, SUBJECTS.handshake, SUBJECTS.progress]);
const WINDOW = 256;
const BACKOFF = { baseMs: 250, capMs: 10_000 };
/** After what a repeat will hardly change: a key that is refused, another worker with the same id. */
const REFUSED_BACKOFF = { baseMs: 5_000, capMs: 30_000 };
/** A gateway that ends has others beside it: all workers that it had come to them at once. */
const ELSEWHERE_MS_MAX = 500;
const STEADY_MS = 10_000;
const CLOSE_TIMEOUT_MS = 5_000;
const GOODBYE_MS = 2_000;
const HOPELESS: ReadonlySet<number> = new Set([
  SESSION_CLOSE.BAD_HELLO,
  SESSION_CLOSE.BAD_FRAME,
  SESSION_CLOSE.REPLACED,
  SESSION_CLOSE.REVOKED,
]);

/** Rejects with a sentence when the gateway cannot be reached or lets us not in. */
export async function openGateway(place: GatewayPlace, parts: GatewayBusParts): Promise<WorkerConnection> {
  const bus = new GatewayBus(place, parts);
  await bus.open();
  return bus;
}

class GatewayBus implements WorkerConnection {
  readonly #place: GatewayPlace;
  readonly #parts: GatewayBusParts;
  readonly #requests: GatewayRequests;
  readonly #handles = new Map<string, Handle>();
  readonly #listeners = new Set<() => void>();
  readonly #over = new AbortController();
  #socket: GatewayConnectionSocket | undefined;
  #limits: SessionLimits | undefined;
  #lastHeardAt = 0;
  #closing: Promise<void> | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(place: GatewayPlace, parts: GatewayBusParts) {
    this.#place = place;
    this.#parts = parts;
    this.#requests = new GatewayRequests((frame) => {
      if (this.#requests.onWay === 1) this.#lastHeardAt = parts.runtime.mono();
      this.#socket?.send(frame);
    });
  }

  async open(): Promise<void> {
    const first = await this.#connect();
    if (first.kind === "ended") {
      const { host } = new URL(this.#place.url);
      const isTold = first.code >= 4_000;
      const why = isTold
        ? undefined
        : await explainRefusal(this.#place, { runtime: this.#parts.runtime, ms: this.#parts.connectTimeoutMs });
      throw new Error(`the gateway cannot be used at ${host}: ${why ?? `${first.reason} (${first.code})`}`);
    }
    this.#running = this.#keepConnected(first.gone);
    void this.#watchSilence();
  }

  async publish(subject: string, bytes: Uint8Array): Promise<void> {
    const max = this.#limits?.packetBytesMax ?? Number.POSITIVE_INFINITY;
    if (bytes.length > max) throw new Error(`a packet may have ${max} bytes, this one has ${bytes.length}`);
    const isLight = LIGHT.has(subject);
    const answer = await this.#requests.ask({ kind: "publish", subject, packet: bytes }, { isLight });
    if (answer.kind !== "refused") return;
    // The gateway has it and says that it changes nothing: to say it again would not help.
    if (answer.code === "JOB_NOT_HELD") this.#parts.log.warn("packet.of_no_use", { subject, reason: answer.reason });
    else throw refusal(answer);
  }

  async subscribe(subject: string, _group: string | undefined, handle: Handle): Promise<WorkerSubscription> {
    if (this.#handles.has(subject)) throw new Error(`${subject} has a subscriber already`);
    this.#handles.set(subject, handle);
    try {
      done(await this.#requests.ask({ kind: "subscribe", subject }));
    } catch (cause) {
      this.#handles.delete(subject);
      throw cause;
    }
    return {
      close: async () => {
        if (this.#handles.get(subject) !== handle) return;
        try {
          // Without connection there is nothing to take back: it is not asked for again.
          if (this.#limits !== undefined) await this.#requests.ask({ kind: "unsubscribe", subject }, { isLight: true });
        } finally {
          this.#handles.delete(subject);
        }
      },
    };
  }

  onReconnect(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async loadPayload(key: string): Promise<Uint8Array | undefined> {
    const answer = await this.#askInTime({ kind: "load", key });
    if (answer.kind === "missing") return undefined;
    const bytes = done(answer);
    this.#checkSize(bytes.length);
    return bytes;
  }

  async storePayload(key: string, bytes: Uint8Array, ttlMs: number): Promise<void> {
    this.#checkSize(bytes.length);
    // Of one object stored under two keys each is a request of its own.
    done(await this.#askInTime({ kind: "store", key, ttlMs, bytes: bytes.subarray() }));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { runtime, log } = this.#parts;
    const late = new AbortController();
    await Promise.race([this.#requests.idle(), runtime.sleep(CLOSE_TIMEOUT_MS, late.signal)]);
    late.abort();
    if (this.#requests.size > 0) log.warn("gateway.requests_lost", { requests: this.#requests.size });
    this.#requests.close(new Error("the connection to the gateway is closed"));
    this.#over.abort();
    this.#socket?.drop("closed");
    await this.#running;
  }

  #checkSize(bytes: number): void {
    const max = Math.min(this.#parts.payloadBytesMax, this.#limits?.payloadBytesMax ?? Number.POSITIVE_INFINITY);
    if (bytes > max) throw new PayloadTooLarge(`a payload may have ${max} bytes, this one has ${bytes}`);
  }

  async #askInTime(asked: Asked): Promise<Answer> {
    const { runtime, ioTimeoutMs } = this.#parts;
    const [late, answered] = [new AbortController(), new AbortController()];
    void runtime.sleep(ioTimeoutMs, answered.signal).then((isLate) => isLate && late.abort());
    try {
      return await this.#requests.ask(asked, { signal: late.signal });
    } finally {
      answered.abort();
    }
  }

  /** One connection, until it is welcome or over. */
  #connect(): Promise<Connected> {
    const { runtime, connectTimeoutMs, workerId } = this.#parts;
    const { promise, resolve } = Promise.withResolvers<Connected>();
    const gone = Promise.withResolvers<Gone>();
    const welcomed = new AbortController();
    const socket = new GatewayConnectionSocket(this.#place, {
      opened: () => socket.send({ kind: "hello", workerId, version: WORKER_FRAMES_VERSION, window: WINDOW }),
      frame: (frame) => {
        this.#lastHeardAt = runtime.mono();
        if (frame.kind === "welcome") {
          welcomed.abort();
          this.#welcome(socket, frame.limits);
          resolve({ kind: "welcome", gone: gone.promise });
        } else this.#hear(frame);
      },
      ended: (code, reason) => {
        welcomed.abort();
        if (this.#socket === socket) this.#lose();
        gone.resolve({ code, reason });
        resolve({ kind: "ended", code, reason });
      },
    });
    void runtime.sleep(connectTimeoutMs, welcomed.signal).then((isLate) => {
      if (isLate) socket.drop(`no welcome within ${connectTimeoutMs} ms`);
    });
    return promise;
  }

  #welcome(socket: GatewayConnectionSocket, limits: SessionLimits): void {
    this.#socket = socket;
    this.#limits = limits;
    this.#requests.resume(limits);
  }

  #lose(): void {
    this.#socket = undefined;
    this.#limits = undefined;
    this.#requests.pause();
  }

  async #keepConnected(first: Promise<Gone>): Promise<void> {
    const { runtime, log } = this.#parts;
    let gone = first;
    for (let failures = 0; !this.#over.signal.aborted; ) {
      const since = runtime.mono();
      const { code, reason } = await gone;
      if (this.#over.signal.aborted) return;
      if (HOPELESS.has(code)) log.error("gateway.refused", new Error(reason), { code });
      else log.warn("gateway.disconnected", { code, reason });
      failures = runtime.mono() - since > STEADY_MS ? 1 : failures + 1;
      for (;;) {
        const waitMs = pauseMs(code, failures, runtime.random());
        if (!(await runtime.sleep(waitMs, this.#over.signal))) return;
        const connected = await this.#connect();
        if (connected.kind === "welcome") {
          gone = connected.gone;
          break;
        }
        failures++;
        log.debug("gateway.not_reached", { code: connected.code, reason: connected.reason, failures });
      }
      await this.#comeBack();
    }
  }

  async #comeBack(): Promise<void> {
    const { log } = this.#parts;
    try {
      const again = [...this.#handles.keys()];
      await Promise.all(
        again.map(async (subject) => done(await this.#requests.ask({ kind: "subscribe", subject }, { isLight: true }))),
      );
    } catch (error) {
      log.error("gateway.not_subscribed", error);
      this.#socket?.drop("what was subscribed to could not be had again");
      return;
    }
    log.info("gateway.reconnected", { keptRequests: this.#requests.size });
    for (const listener of [...this.#listeners]) listener();
  }

  #hear(frame: GatewayFrame): void {
    switch (frame.kind) {
      case "deliver":
        this.#handles.get(frame.subject)?.(frame.packet, frame.subject);
        this.#socket?.send({ kind: "took", id: frame.id });
        return;
      case "done":
      case "missing":
      case "refused":
        this.#requests.answered(frame.id, frame);
        return;
      case "goodbye":
        void this.#goElsewhere(frame.reason);
        return;
      case "welcome":
        return;
    }
  }

  /** What is on its way is answered first, as far as that takes no time to speak of. */
  async #goElsewhere(reason: string): Promise<void> {
    const { runtime, log } = this.#parts;
    log.info("gateway.goodbye", { reason });
    const left = this.#socket;
    const until = runtime.mono() + GOODBYE_MS;
    while (this.#requests.onWay > 0 && runtime.mono() < until)
      if (!(await runtime.sleep(20, this.#over.signal))) return;
    left?.drop("goodbye");
  }

  async #watchSilence(): Promise<void> {
    const { runtime, ioTimeoutMs } = this.#parts;
    while (await runtime.sleep(Math.max(1, ioTimeoutMs / 4), this.#over.signal)) {
      const isSilent = this.#requests.onWay > 0 && runtime.mono() - this.#lastHeardAt > ioTimeoutMs;
      if (isSilent) this.#socket?.drop(`no answer for ${ioTimeoutMs} ms`);
    }
  }
}

interface Gone {
  readonly code: number;
  readonly reason: string;
}
type Connected =
  | { readonly kind: "welcome"; readonly gone: Promise<Gone> }
  | { readonly kind: "ended"; readonly code: number; readonly reason: string };

function pauseMs(code: number, failures: number, random: number): number {
  if (HOPELESS.has(code)) return backoffMs(failures, REFUSED_BACKOFF, random);
  return code === SESSION_CLOSE.RESTARTING && failures === 1
    ? ELSEWHERE_MS_MAX * random
    : backoffMs(failures, BACKOFF, random);
}

/** Throws what the gateway said. */
function done(answer: Answer): Uint8Array {
  if (answer.kind === "done") return answer.bytes;
  if (answer.kind === "missing") throw new Error("the gateway found nothing");
  if (answer.code === "PAYLOAD_TOO_LARGE") throw new PayloadTooLarge(answer.reason);
  throw refusal(answer);
}

function refusal({ code, reason }: Answer & { readonly kind: "refused" }): Error {
  return new Error(`the gateway refused: ${reason} (${code})`);
}
