// What a worker asks of its session.
// Owns:          what is published, loaded and stored for it, and what is refused.
// Must not know: frames' bytes, sockets, subscriptions.
// S2 to S4 are session.ts's.

import { SUBJECTS, type WorkerFrame } from "@cordum/protocol";
import { type KeyUse, ownersOf, ownsKey, standingOf } from "../jobs/out-with-worker.ts";
import { Fault } from "../ports/fault.ts";
import type { Handover } from "./handover.ts";
import type { OnRefused, SessionParts } from "./session-parts.ts";
import type { SessionWorker } from "./session-worker.ts";
import {
  type Answered,
  hearWorker,
  presencePacket,
  progressPacket,
  resultPacket,
  type Said,
  stopOrder,
} from "./vouch.ts";

export type Answer = { readonly kind: "done"; readonly bytes?: Uint8Array } | { readonly kind: "missing" } | Refused;
export interface Refused {
  readonly kind: "refused";
  readonly code: string;
  readonly isFinal: boolean;
  readonly reason: string;
}
type StoreFrame = WorkerFrame & { readonly kind: "store" };

export interface DeskParts {
  readonly worker: SessionWorker;
  readonly handover: Handover;
  readonly parts: SessionParts;
  readonly life: AbortSignal;
  readonly onRefused: OnRefused;
  /** Passes the order to stop on to the worker. */
  stop(packet: Uint8Array): void;
}

export const DONE: Answer = { kind: "done" };
/** Heartbeats and handshakes in a second, and at once. */
const PRESENCE = { perSecond: 2, burst: 20 };
const TTL_MS_MIN = 1_000;

export class WorkerDesk {
  readonly #worker: SessionWorker;
  readonly #handover: Handover;
  readonly #parts: SessionParts;
  readonly #life: AbortSignal;
  readonly #onRefused: OnRefused;
  readonly #stop: DeskParts["stop"];
  #presenceLeft = PRESENCE.burst;
  #presenceAt = 0;

  constructor({ worker, handover, parts, life, onRefused, stop }: DeskParts) {
    this.#worker = worker;
    this.#handover = handover;
    this.#parts = parts;
    this.#life = life;
    this.#onRefused = onRefused;
    this.#stop = stop;
  }

  get worker(): SessionWorker {
    return this.#worker;
  }

  async publish(subject: string, packet: Uint8Array): Promise<Answer> {
    if (packet.length > this.#parts.limits.packetBytesMax)
      return this.refuse("PACKET_TOO_LARGE", `a packet has at most ${this.#parts.limits.packetBytesMax} bytes`);
    const said = hearWorker(subject, packet, this.#worker);
    switch (said.kind) {
      case "refused":
        if (said.code === "WORKER_MISMATCH") this.#record(said.reason);
        return this.refuse(said.code, said.reason);
      case "heartbeat":
      case "handshake":
        return this.#publishPresence(said);
      case "progress":
        return this.#publishProgress(said);
      case "result":
        return this.#publishResult(said);
    }
  }

  async #publishPresence(said: Said & { readonly kind: "heartbeat" | "handshake" }): Promise<Answer> {
    if (!this.#mayBePresent())
      return { kind: "refused", code: "RATE_LIMITED", isFinal: false, reason: "too many heartbeats and handshakes" };
    const subject = said.kind === "heartbeat" ? SUBJECTS.heartbeat : SUBJECTS.handshake;
    await this.#toBus(subject, presencePacket(said, this.#worker, this.#parts.clock.now()));
    if (said.kind === "heartbeat" && this.#handover.noteInstance(said.instance)) void this.#handover.lookAtAll();
    return DONE;
  }

  async #publishProgress(said: Said & { readonly kind: "progress" }): Promise<Answer> {
    const answered = this.#handover.held(said.jobId) ?? (await this.#find(said.jobId));
    if (answered === undefined) return this.#refuseJob(said.jobId, "progress");
    if (answered === "ended") return DONE; // the worker has been told
    await this.#toBus(SUBJECTS.jobProgress, progressPacket(said, answered, this.#worker, this.#parts.clock.now()));
    return DONE;
  }

  /** A job that this session did not hand over may be out with the worker all the same. */
  async #find(jobId: string): Promise<Answered | "ended" | undefined> {
    const standing = await standingOf(jobId, this.#worker, this.#parts, this.#life);
    if (standing.kind === "ended") {
      this.#stop(stopOrder(standing.job, this.#parts.clock.now()));
      return "ended";
    }
    if (standing.kind !== "out") return undefined;
    const answered = { id: standing.dispatch.id, attempt: standing.job.attempts };
    this.#handover.adopt(jobId, answered);
    return answered;
  }

  async #publishResult(said: Said & { readonly kind: "result" }): Promise<Answer> {
    const { jobId } = said;
    const held = this.#handover.held(jobId);
    const standing = await standingOf(jobId, this.#worker, this.#parts, this.#life);
    const isOwn =
      standing.kind === "out" || standing.kind === "ended" || (standing.kind === "waiting" && held !== undefined);
    if (!isOwn) {
      this.#handover.release(jobId);
      return this.#refuseJob(jobId, "result");
    }
    const answered = standing.kind === "out" ? { id: standing.dispatch.id, attempt: standing.job.attempts } : held;
    await this.#toBus(SUBJECTS.jobResult, resultPacket(said, answered, this.#worker, this.#parts.clock.now()));
    this.#handover.release(jobId);
    return DONE;
  }

  async load(key: string): Promise<Answer> {
    if (!(await this.#owns(key, "load"))) return this.#refuseKey(key, "load");
    const { payloads, limits } = this.#parts;
    const bytes = await payloads.get(key, this.#storeDeadline());
    if (bytes === undefined) return { kind: "missing" };
    return bytes.length > limits.payloadBytesMax
      ? this.refuse("PAYLOAD_TOO_LARGE", `what lies there has more than ${limits.payloadBytesMax} bytes`)
      : { kind: "done", bytes };
  }

  async store({ key, bytes, ttlMs }: StoreFrame): Promise<Answer> {
    if (!(await this.#owns(key, "store"))) return this.#refuseKey(key, "store");
    const { payloads, settings } = this.#parts;
    const keepMs = ttlMs === 0 ? settings.resultKeepMs : Math.min(settings.resultKeepMs, Math.max(TTL_MS_MIN, ttlMs));
    await payloads.put(key, bytes, keepMs, this.#storeDeadline());
    return DONE;
  }

  /** By the records, now (S4). */
  async #owns(key: string, use: KeyUse): Promise<boolean> {
    for (const jobId of ownersOf(key, use)) {
      const standing = await standingOf(jobId, this.#worker, this.#parts, this.#life);
      if (standing.kind === "out" && ownsKey(standing.job, key, use)) return true;
    }
    return false;
  }

  #refuseJob(jobId: string, what: "progress" | "result"): Answer {
    const reason = `no such job is out with this worker: ${jobId.slice(0, 100).toWellFormed()}`;
    this.#record(`${what} of a job that is not its own`);
    return this.refuse("JOB_NOT_HELD", reason);
  }

  #refuseKey(key: string, use: KeyUse): Answer {
    this.#record(`${use} of a payload that is not of its jobs`);
    return this.refuse(
      "PAYLOAD_FORBIDDEN",
      `no job that is out with this worker has ${key.slice(0, 100).toWellFormed()}`,
    );
  }

  refuse(code: string, reason: string): Refused {
    this.#parts.meter.count("cordum_gateway_worker_refused_total", { reason: code.toLowerCase() });
    const { workerId, session } = this.#worker;
    this.#parts.log.warn("session.refused", { workerId, session, code, reason });
    return { kind: "refused", code, isFinal: true, reason };
  }

  /** For those who read back what was tried. */
  #record(what: string): void {
    this.#onRefused(new Fault("FORBIDDEN", what));
  }

  #mayBePresent(): boolean {
    const now = this.#parts.clock.mono();
    const earned = ((now - this.#presenceAt) / 1_000) * PRESENCE.perSecond;
    this.#presenceLeft = Math.min(PRESENCE.burst, this.#presenceLeft + earned);
    this.#presenceAt = now;
    if (this.#presenceLeft < 1) return false;
    this.#presenceLeft--;
    return true;
  }

  async #toBus(subject: string, packet: Uint8Array): Promise<void> {
    const { bus, clock, settings } = this.#parts;
    await bus.publish(subject, packet, clock.deadline(this.#life, settings.busTimeoutMs));
  }

  #storeDeadline(): AbortSignal {
    return this.#parts.clock.deadline(this.#life, this.#parts.settings.storeTimeoutMs);
  }
}
