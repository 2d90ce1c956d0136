// A worker that is connected to a gateway of a simulated house, and speaks frames, not always well.
// Owns:          connecting again and again; what it does with a job; what it must not be given.
// Must not know: how a session works.
// It asks again for what was not answered, as our SDK does, and knows by its id a dispatch that it has had.

import {
  contextKey,
  decodePacket,
  directSubject,
  encodePacket,
  type GatewayFrame,
  JobStatus,
  parsePointer,
  pointerTo,
  readGatewayFrame,
  resultKey,
  SUBJECTS,
  WORKER_FRAMES_VERSION,
  type WorkerFrame,
  writeWorkerFrame,
} from "@cordum/protocol";
import { requestOf } from "../../jobs/job-request.ts";
import type { ProcessPorts, SimProcess } from "../process.ts";
import { type Ledger, note } from "./ledger.ts";
import { POOL, TOPICS } from "./policies.ts";
import { knownJob } from "./user.ts";
import type { Connection, Wire } from "./wire.ts";

export interface FrameWorkerOptions {
  readonly ownId: string;
  readonly tenant: string;
  readonly capacity: number;
  readonly wire: Wire;
  readonly ledger: Ledger;
  fail(says: string): void;
}

type Payload = NonNullable<Parameters<typeof encodePacket>[0]["payload"]>;
type Request = Exclude<WorkerFrame, { readonly kind: "hello" | "took" }>;
type Asked = Request extends infer F ? (F extends { readonly id: number } ? Omit<F, "id"> : never) : never;
type Answer = GatewayFrame | "cut";

const BEAT_MS = 4_000;
const WINDOW = 8;
const HANDSHAKE_EVERY = 3;
const RESULT_TRIES = 8;

export function simFrameWorker(options: FrameWorkerOptions): SimProcess {
  return {
    name: `${options.tenant}.${options.ownId}`,
    mayCrash: true,
    async start(ports) {
      await new FrameWorker(options, ports).run();
    },
  };
}

class FrameWorker {
  readonly #options: FrameWorkerOptions;
  readonly #ports: ProcessPorts;
  readonly #busId: string;
  readonly #asked = new Map<number, (answer: Answer) => void>();
  readonly #tasks = new Map<string, { isStopped: boolean }>();
  readonly #done = new Set<string>();
  #connection: Connection | undefined;
  #lastId = 0;

  constructor(options: FrameWorkerOptions, ports: ProcessPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#busId = `${options.tenant}.${options.ownId}`;
  }

  async run(): Promise<void> {
    const { chance, clock, signal } = this.#ports;
    const who = `${this.#busId}#${this.#ports.life}`;
    for (;;) {
      const { wire, tenant, ledger } = this.#options;
      const connection = wire.dial({ who, tenant, ports: this.#ports, onFrame: (frame) => this.#hear(frame) });
      if (connection !== undefined) {
        this.#connection = connection;
        ledger.count("session");
        await this.#serve(connection);
        this.#connection = undefined;
        for (const tell of this.#asked.values()) tell("cut");
        this.#asked.clear();
      }
      await clock.sleep(200 + chance.below(2_000), signal);
    }
  }

  async #serve(connection: Connection): Promise<void> {
    const { ownId } = this.#options;
    const gone = new Promise<void>((resolve) =>
      connection.gone.addEventListener("abort", () => resolve(), { once: true }),
    );
    this.#say({ kind: "hello", workerId: ownId, version: WORKER_FRAMES_VERSION, window: WINDOW });
    void this.#ask({ kind: "subscribe", subject: directSubject(ownId) });
    void this.#ask({ kind: "subscribe", subject: SUBJECTS.jobCancel });
    void this.#beat(connection);
    await gone;
  }

  async #beat(connection: Connection): Promise<void> {
    const { ownId, capacity } = this.#options;
    const labels = { "cordum.instance": `life-${this.#ports.life}` };
    for (let nth = 0; !connection.gone.aborted; nth++) {
      if (nth % HANDSHAKE_EVERY === 0) {
        const value = { componentId: ownId, role: 3, readyTopics: [...TOPICS] };
        void this.#publish(SUBJECTS.handshake, { kind: "handshake", value });
      }
      const value = { workerId: ownId, pool: POOL, maxParallelJobs: capacity, activeJobs: this.#tasks.size, labels };
      void this.#publish(SUBJECTS.heartbeat, { kind: "heartbeat", value });
      if (!(await this.#ports.clock.sleep(BEAT_MS, connection.gone))) return;
    }
  }

  #hear(bytes: Uint8Array): void {
    const read = readGatewayFrame(bytes);
    if (read.kind !== "frame") this.#options.fail(`a gateway wrote what is no frame: ${read.reason}`);
    else if (read.frame.kind === "deliver") this.#take(read.frame.id, read.frame.packet);
    else if (read.frame.kind === "goodbye") this.#connection?.close();
    else if ("id" in read.frame) {
      this.#asked.get(read.frame.id)?.(read.frame);
      this.#asked.delete(read.frame.id);
    }
  }

  #take(id: number, packet: Uint8Array): void {
    const { chance } = this.#ports;
    const { ledger, tenant, fail } = this.#options;
    if (ledger.isHealed || !chance.once(40)) this.#say({ kind: "took", id });
    else ledger.count("delivery not taken");
    const { payload } = decodePacket(packet);
    if (payload?.kind === "jobCancel") {
      const task = this.#tasks.get(payload.value.jobId);
      if (task === undefined) return;
      ledger.count("stopped by cancel");
      task.isStopped = true;
      return;
    }
    if (payload?.kind !== "jobRequest") return;
    const { jobId, dispatch } = payload.value;
    const dispatchId = dispatch?.dispatchId ?? "";
    const owner = ledger.histories.get(jobId)?.job.tenant;
    if (owner !== undefined && owner !== tenant) fail(`G17: a worker of ${tenant} is given ${jobId} of ${owner}`);
    if (this.#tasks.has(jobId) || this.#done.has(dispatchId)) return;
    note(ledger.heard, jobId, dispatchId);
    ledger.count("handed over");
    const task = { isStopped: false };
    this.#tasks.set(jobId, task);
    void this.#behave(jobId, dispatchId, task).finally(() => {
      this.#tasks.delete(jobId);
      this.#done.add(dispatchId);
      ledger.capacity.noteDropped(dispatchId);
    });
  }

  /** What becomes of a job, by chance. */
  async #behave(jobId: string, dispatchId: string, task: { readonly isStopped: boolean }): Promise<void> {
    const { chance, clock, signal } = this.#ports;
    const { ledger } = this.#options;
    const roll = ledger.isHealed ? 0 : chance.below(100);
    if (chance.once(2)) await this.#loadOwn(jobId);
    await clock.sleep(chance.below(3_000), signal);
    if (roll >= 50 && roll < 60) return ledger.count("vanished");
    if (roll >= 60 && roll < 70) await this.#tryForeign();
    if (roll >= 70 && roll < 80) {
      const value = { jobId, percent: 50, dispatch: { dispatchId, attempt: 1, assignedWorkerId: this.#busId } };
      await this.#publish(SUBJECTS.jobProgress, { kind: "jobProgress", value });
      await clock.sleep(chance.below(8_000), signal);
    }
    if (roll >= 80 && roll < 88) return this.#report(jobId, dispatchId, JobStatus.FAILED);
    if (task.isStopped) return this.#report(jobId, dispatchId, JobStatus.CANCELLED);
    await this.#report(jobId, dispatchId, JobStatus.SUCCEEDED);
    if (roll >= 88) await this.#report(jobId, dispatchId, JobStatus.FAILED);
  }

  async #report(jobId: string, dispatchId: string, status: number): Promise<void> {
    const { chance, clock, signal } = this.#ports;
    const { ledger } = this.#options;
    const key = resultKey(jobId);
    await this.#ask({ kind: "store", key, ttlMs: 0, bytes: Buffer.from("{}") });
    const known = ledger.sent.get(jobId) ?? [];
    ledger.sent.set(jobId, [...known, { workerId: this.#busId, status }]);
    const value = { jobId, workerId: this.#options.ownId, status, resultPtr: pointerTo(key) };
    for (let attempt = 0; attempt < RESULT_TRIES; attempt++) {
      const answer = await this.#publish(SUBJECTS.jobResult, {
        kind: "jobResult",
        value: { ...value, dispatch: { dispatchId } },
      });
      if (answer !== "cut" && (answer.kind === "done" || (answer.kind === "refused" && answer.isFinal))) return;
      ledger.count("result said again");
      await clock.sleep(500 + chance.below(1_500), signal);
    }
  }

  async #loadOwn(jobId: string): Promise<void> {
    const { ledger } = this.#options;
    const job = ledger.histories.get(jobId)?.job;
    const pointer = job === undefined ? undefined : parsePointer(requestOf(job).contextPtr);
    const answer = await this.#ask({ kind: "load", key: pointer?.kind === "key" ? pointer.key : contextKey(jobId) });
    if (answer !== "cut") ledger.count(`loaded ${answer.kind}`);
  }

  /** It tries what is not its own: another's result, another's context. */
  async #tryForeign(): Promise<void> {
    const { ledger, fail } = this.#options;
    const jobId = knownJob({ ledger, ports: this.#ports });
    const history = jobId === undefined ? undefined : ledger.histories.get(jobId);
    if (jobId === undefined || history === undefined || history.assigned.has(this.#busId)) return;
    const pointer = parsePointer(requestOf(history.job).contextPtr);
    const value = { jobId, workerId: this.#options.ownId, status: JobStatus.SUCCEEDED };
    const answer = this.#ports.chance.once(2)
      ? await this.#ask({ kind: "load", key: pointer.kind === "key" ? pointer.key : contextKey(jobId) })
      : await this.#publish(SUBJECTS.jobResult, { kind: "jobResult", value });
    if (answer === "cut" || history.assigned.has(this.#busId)) return;
    ledger.count(`foreign ${answer.kind}`);
    if (answer.kind !== "refused") fail(`G17: ${this.#busId} got ${answer.kind} for ${jobId}, which it never had`);
  }

  #publish(subject: string, payload: Payload): Promise<Answer> {
    const packet = encodePacket({ senderId: this.#options.ownId, protocolVersion: 1, payload });
    return this.#ask({ kind: "publish", subject, packet });
  }

  #ask(request: Asked): Promise<Answer> {
    if (this.#connection === undefined) return Promise.resolve("cut");
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      this.#asked.set(id, resolve);
      this.#say({ ...request, id } as Request);
    });
  }

  #say(frame: WorkerFrame): void {
    this.#connection?.send(writeWorkerFrame(frame));
  }
}
