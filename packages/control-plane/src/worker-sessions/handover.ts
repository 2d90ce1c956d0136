// Handing jobs over to one worker.
// Owns:          which jobs were rung for, which deliveries the worker has not answered, which jobs it holds.
// Must not know: frames' bytes, payloads, who may connect.
// H1. The bus rings, the record speaks: for each ring the record is read, and what is not out with this worker is not handed over. Nothing is
//     before the worker has said in this session which of its lives it is in: a job of an earlier one is not its job any more.
// H2. At most `window` deliveries are unanswered, and at most so many bytes of them; at most `heldMax` jobs are held. What comes on top waits as
//     an id. A worker that answers nothing for `tookMs` has its session ended.
// H3. What never left for the socket is given back at no cost to the job, when the session ends or the worker does not want it. Of what has
//     left and was not answered nobody knows, nor of what was dispatched before this session: it is handed over (again) when the worker is
//     there in the same life, and goes the way of a lost worker's jobs when it is not.
// H4. A ring that could not be followed is not forgotten: a look at all jobs that are out with the worker finds it.
// H5. A look finds jobs of which nobody rang here: their dispatcher may just be taking them back, since nobody listened. So such a job is handed
//     over only once its record says that it was heard.

import { SUBJECTS } from "@cordum/protocol";
import type { Dispatch, Job } from "../jobs/job.ts";
import { listOut, packetOf, type Standing, standingOf, vouchFor } from "../jobs/out-with-worker.ts";
import { messageOf } from "../ports/fault.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import type { SessionParts } from "./session-parts.ts";
import type { SessionWorker } from "./session-worker.ts";
import { type Answered, givenBack } from "./vouch.ts";

/** How the worker gets what is for it. */
export interface Outlet {
  /** The subject under which the worker wants jobs of the topic; undefined: it wants none. */
  subjectFor(topic: string): string | undefined;
  deliver(id: number, subject: string, packet: Uint8Array): void;
  /** The worker takes nothing any more. */
  giveUp(reason: string): void;
}

interface Unanswered {
  readonly bytes: number;
  readonly at: Ms;
}

const LOOKS_AT_ONCE = 8;
/** By how much the clocks of two processes may differ. */
const CLOCKS_MS: Ms = 1_000;
const GIVE_BACKS_AT_ONCE = 32;

export class Handover {
  readonly #parts: SessionParts;
  readonly #worker: SessionWorker;
  readonly #outlet: Outlet;
  readonly #life: AbortSignal;
  readonly #held = new Map<string, Answered>();
  readonly #rung = new Set<string>();
  /** Found by a look, without a ring. */
  readonly #found = new Set<string>();
  readonly #looking = new Set<string>();
  /** Ended while their records were being read. */
  readonly #stopped = new Set<string>();
  readonly #unanswered = new Map<number, Unanswered>();
  #window: number;
  #unansweredBytes = 0;
  #lastId = 0;
  /** In which of its lives the worker is; undefined until it has said it. */
  #instance: string | undefined;
  #since: EpochMs = 0;
  #isDoubtful = false;

  constructor(worker: SessionWorker, outlet: Outlet, parts: SessionParts, life: AbortSignal) {
    this.#worker = worker;
    this.#outlet = outlet;
    this.#parts = parts;
    this.#life = life;
    this.#window = parts.limits.window;
  }

  narrow(window: number): void {
    this.#window = Math.min(this.#window, window);
  }

  /** The worker said in which of its lives it is. True when that is the first time, or another one. */
  noteInstance(instance: string): boolean {
    if (this.#instance === instance) return false;
    this.#instance = instance;
    this.#since = this.#parts.clock.now();
    this.#held.clear();
    return true;
  }

  held(jobId: string): Answered | undefined {
    return this.#held.get(jobId);
  }

  /** The job is to stop. True when the worker has it and must be told. */
  stop(jobId: string): boolean {
    if (this.#looking.has(jobId)) this.#stopped.add(jobId);
    return this.#held.has(jobId);
  }

  /** A job that is out with the worker although it was not handed over in this session. */
  adopt(jobId: string, answered: Answered): void {
    if (this.#held.size < this.#parts.limits.heldMax) this.#held.set(jobId, answered);
  }

  release(jobId: string): void {
    if (this.#held.delete(jobId)) this.#pump();
  }

  /** The bus says that the job may be for this worker. Memory alone. */
  ring(jobId: string): void {
    if (this.#rung.size >= this.#parts.limits.heldMax) this.#isDoubtful = true;
    else this.#rung.add(jobId);
    this.#pump();
  }

  /** False when there is no such delivery. */
  took(id: number): boolean {
    const answered = this.#unanswered.get(id);
    if (answered === undefined) return false;
    this.#unanswered.delete(id);
    this.#unansweredBytes -= answered.bytes;
    this.#pump();
    return true;
  }

  /** Passes a packet on that is no job, whatever the window says: there is at most one for each job that is held. */
  tell(subject: string, packet: Uint8Array): void {
    this.#send(subject, packet);
  }

  /** The worker wants other subjects than before. */
  wantsChanged(): void {
    this.#pump();
  }

  /** Whether the oldest delivery has waited for too long. Call now and then. */
  watch(): void {
    const now = this.#parts.clock.mono();
    const [oldest] = this.#unanswered.values();
    if (oldest !== undefined && now - oldest.at > this.#parts.limits.tookMs)
      this.#outlet.giveUp(`a delivery was not answered for ${this.#parts.limits.tookMs} ms`);
  }

  get isDoubtful(): boolean {
    return this.#isDoubtful;
  }

  /** Looks at all jobs that are out with the worker: rings for those that it may not have, and forgets those that have ended (H4). */
  async lookAtAll(): Promise<void> {
    if (this.#instance === undefined) return;
    const before = new Set(this.#held.keys());
    this.#isDoubtful = false;
    try {
      const ids = await listOut(this.#worker, this.#parts.limits.heldMax, this.#parts, this.#life);
      const out = new Set(ids);
      for (const jobId of before) if (!out.has(jobId)) this.#held.delete(jobId);
      for (const jobId of ids) {
        if (this.#held.has(jobId)) continue;
        this.#found.add(jobId);
        this.ring(jobId);
      }
    } catch (error) {
      this.#doubt(error, "");
    }
  }

  /** H3. Ends when everything was given back that can be, within `signal`. */
  async close(reason: string, signal: AbortSignal): Promise<void> {
    const left = [...this.#rung];
    this.#rung.clear();
    for (let from = 0; from < left.length; from += GIVE_BACKS_AT_ONCE)
      await Promise.all(
        left.slice(from, from + GIVE_BACKS_AT_ONCE).map((jobId) => this.#returnUnsent(jobId, reason, signal)),
      );
  }

  get #hasRoom(): boolean {
    const { heldMax, deliveryBytesMax } = this.#parts.limits;
    const coming = this.#looking.size;
    return (
      this.#unanswered.size + coming < this.#window &&
      this.#unansweredBytes < deliveryBytesMax &&
      this.#held.size + coming < heldMax
    );
  }

  #pump(): void {
    if (this.#instance === undefined || this.#life.aborted) return;
    for (const jobId of this.#rung) {
      if (this.#looking.size >= LOOKS_AT_ONCE || !this.#hasRoom) return;
      if (this.#looking.has(jobId)) continue; // its turn comes when that look has ended
      this.#rung.delete(jobId);
      this.#looking.add(jobId);
      void this.#follow(jobId);
    }
  }

  async #follow(jobId: string): Promise<void> {
    try {
      const standing = await standingOf(jobId, this.#worker, this.#parts, this.#life);
      if (this.#life.aborted) this.#rung.add(jobId);
      else await this.#act(jobId, standing);
    } catch (error) {
      if (this.#life.aborted) this.#rung.add(jobId);
      else this.#doubt(error, jobId);
    } finally {
      this.#looking.delete(jobId);
      this.#stopped.delete(jobId);
      this.#pump();
    }
  }

  async #act(jobId: string, standing: Standing): Promise<void> {
    if (standing.kind === "misplaced") {
      this.#parts.meter.count("cordum_gateway_worker_refused_total", { reason: "foreign_tenant" });
      this.#parts.log.error("session.job_misplaced", new Error("a job was placed with a worker of another tenant"), {
        jobId,
        workerId: this.#worker.workerId,
      });
      await this.#giveBack(standing.job, standing.dispatch, "the worker serves another tenant", this.#life);
      return;
    }
    if (standing.kind !== "out" || this.#stopped.has(jobId)) return;
    const { job, dispatch } = standing;
    // Of another life: whoever places jobs will notice that life's end, and see to the job.
    if (dispatch.instance !== null && dispatch.instance !== this.#instance) return;
    if (this.#held.get(jobId)?.id === dispatch.id) return;
    if (standing.isClaimed) this.adopt(jobId, { id: dispatch.id, attempt: job.attempts });
    else if (!this.#found.delete(jobId) || dispatch.heard || (await this.#isOurs(job, dispatch)))
      await this.#hand(job, dispatch);
  }

  /** See H5. */
  async #isOurs({ id }: Job, dispatch: Dispatch): Promise<boolean> {
    const isVouched = await vouchFor(id, dispatch.id, this.#parts, this.#life);
    return isVouched && !this.#life.aborted && !this.#stopped.has(id);
  }

  async #hand(job: Job, dispatch: Dispatch): Promise<void> {
    const subject = this.#outlet.subjectFor(job.topic);
    if (subject === undefined) {
      if (this.#isNew(dispatch))
        await this.#giveBack(job, dispatch, "the worker does not listen for jobs of the topic", this.#life);
      return;
    }
    const packet = await packetOf(job, dispatch, this.#parts);
    if (this.#life.aborted) this.#rung.add(job.id);
    if (this.#life.aborted || this.#stopped.has(job.id)) return;
    this.#held.set(job.id, { id: dispatch.id, attempt: job.attempts });
    this.#send(subject, packet);
  }

  #send(subject: string, packet: Uint8Array): void {
    this.#lastId = this.#lastId >= 0xffff_ffff ? 1 : this.#lastId + 1;
    this.#unanswered.set(this.#lastId, { bytes: packet.length, at: this.#parts.clock.mono() });
    this.#unansweredBytes += packet.length;
    this.#outlet.deliver(this.#lastId, subject, packet);
  }

  async #returnUnsent(jobId: string, reason: string, signal: AbortSignal): Promise<void> {
    try {
      const standing = await standingOf(jobId, this.#worker, this.#parts, signal);
      if (standing.kind !== "out" || standing.isClaimed) return;
      const { dispatch, job } = standing;
      if (this.#isNew(dispatch) && this.#held.get(jobId)?.id !== dispatch.id)
        await this.#giveBack(job, dispatch, reason, signal);
    } catch (error) {
      this.#parts.log.warn("session.job_not_returned", { jobId, reason: String(error) });
    }
  }

  async #giveBack(job: Job, dispatch: Dispatch, reason: string, signal: AbortSignal): Promise<void> {
    const { bus, clock, settings } = this.#parts;
    const packet = givenBack(job, dispatch, reason, clock.now());
    await bus.publish(SUBJECTS.jobResult, packet, clock.deadline(signal, settings.busTimeoutMs));
    this.#parts.log.info("session.job_returned", { jobId: job.id, workerId: this.#worker.workerId, reason });
  }

  /** Dispatched in this session: the worker has it from here or not at all. */
  #isNew({ at, instance }: Dispatch): boolean {
    return at > this.#since + CLOCKS_MS && (instance === null || instance === this.#instance);
  }

  #doubt(error: unknown, jobId: string): void {
    if (this.#life.aborted) return;
    this.#isDoubtful = true;
    this.#held.delete(jobId);
    this.#parts.log.warn("session.ring_not_followed", {
      jobId,
      workerId: this.#worker.workerId,
      reason: messageOf(error),
    });
  }
}
