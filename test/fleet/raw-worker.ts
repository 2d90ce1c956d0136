// A worker as a stranger would write it: the NATS and Redis clients, and the documented wire format.
// Owns:          heartbeats, subscriptions, reading a job, storing and reporting a result.
// Must not know: packages of Cordum.

import { createSign } from "node:crypto";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { Redis } from "ioredis";
import { bytes, type Fields, mapOf, message, messageOf, read, text, textOf, whole, wholeOf } from "./raw-wire.ts";

/** Numbers of JobStatus. */
export const STATUS = { SUCCEEDED: 5, FAILED: 6, CANCELLED: 7, FAILED_RETRYABLE: 10 } as const;

export interface RawJob {
  readonly jobId: string;
  readonly topic: string;
  readonly subject: string;
  readonly senderId: string;
  readonly traceId: string;
  readonly env: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  readonly deadlineMs: number;
  readonly attempt: number;
  readonly context: unknown;
}
export interface RawOutcome {
  readonly status: number;
  readonly result?: unknown;
  readonly error?: string;
}
export interface RawWorkerOptions {
  readonly id: string;
  readonly pool: string;
  readonly capacity: number;
  /** Subjects with the queue group on each. */
  readonly subjects: readonly { readonly subject: string; readonly group: string }[];
  /** Reports results without its id, under the job's id as trace, as the January runtime does with the latter. */
  readonly isTaciturn?: boolean;
  /** PEM of a P-256 key: results are signed with it. */
  readonly privateKey?: string;
  run(job: RawJob, cancelled: AbortSignal): Promise<RawOutcome>;
}

const HEARTBEAT_EVERY_MS = 5_000;

export class RawWorker implements AsyncDisposable {
  readonly jobs: RawJob[] = [];
  /** The packets of its results, as they were sent. */
  readonly results: Buffer[] = [];
  readonly #options: RawWorkerOptions;
  readonly #nats: NatsConnection;
  readonly #redis: Redis;
  readonly #running = new Map<string, AbortController>();
  #beating: NodeJS.Timeout | undefined;

  private constructor(options: RawWorkerOptions, nats: NatsConnection, redis: Redis) {
    this.#options = options;
    this.#nats = nats;
    this.#redis = redis;
  }

  static async start(at: { readonly nats: string; readonly redis: string }, options: RawWorkerOptions) {
    const worker = new RawWorker(options, await connect({ servers: at.nats }), new Redis(at.redis));
    for (const { subject, group } of options.subjects)
      worker.#nats.subscribe(subject, { queue: group, callback: (_, { data }) => void worker.#take(data, subject) });
    worker.#nats.subscribe("sys.job.cancel", { callback: (_, { data }) => worker.#cancel(data) });
    await worker.#nats.flush();
    worker.beat();
    worker.#beating = setInterval(() => worker.beat(), HEARTBEAT_EVERY_MS);
    return worker;
  }

  /** Heartbeat: payload 12 of the packet on sys.heartbeat. No trace, no time, as the helpers of CAP send it. */
  beat(): void {
    const { id, pool, capacity } = this.#options;
    const heartbeat = message(
      12,
      text(1, id),
      text(3, "cpu"),
      whole(6, this.#running.size),
      text(11, pool),
      whole(12, capacity),
    );
    this.#nats.publish("sys.heartbeat", Buffer.concat([text(2, id), whole(4, 1), heartbeat]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#beating);
    await this.#nats.close();
    this.#redis.disconnect();
  }

  async #take(data: Uint8Array, subject: string): Promise<void> {
    const packet = read(data);
    const request = messageOf(packet, 10);
    const job = await this.#jobOf(packet, request, subject);
    this.jobs.push(job);
    const cancelled = new AbortController();
    this.#running.set(job.jobId, cancelled);
    const outcome = await this.#options.run(job, cancelled.signal);
    this.#running.delete(job.jobId);
    const pointer = outcome.result === undefined ? "" : `redis://res:${job.jobId}`;
    if (pointer !== "") await this.#redis.set(`res:${job.jobId}`, JSON.stringify(outcome.result));
    this.#report(job, outcome, pointer);
  }

  async #jobOf(packet: Fields, request: Fields, subject: string): Promise<RawJob> {
    const pointer = textOf(request, 4);
    const stored = pointer === "" ? null : await this.#redis.get(pointer.slice("redis://".length));
    return {
      jobId: textOf(request, 1),
      topic: textOf(request, 2),
      subject,
      senderId: textOf(packet, 2),
      traceId: textOf(packet, 1),
      env: mapOf(request, 6),
      labels: mapOf(request, 15),
      deadlineMs: wholeOf(messageOf(request, 12), 4),
      attempt: wholeOf(messageOf(request, 19), 2),
      context: stored === null ? undefined : JSON.parse(stored),
    };
  }

  #report(job: RawJob, { status, error = "" }: RawOutcome, pointer: string): void {
    const { id, isTaciturn = false, privateKey } = this.#options;
    const result = [
      text(1, job.jobId),
      whole(2, status),
      ...(pointer === "" ? [] : [text(3, pointer)]),
      ...(isTaciturn ? [] : [text(4, id)]),
      ...(error === "" ? [] : [text(7, error)]),
      text(900, "a field of tomorrow"),
    ];
    const unsigned = Buffer.concat([
      text(1, isTaciturn ? job.jobId : job.traceId),
      text(2, id),
      message(3, whole(1, Math.floor(Date.now() / 1_000))),
      whole(4, 1),
      message(11, ...result),
    ]);
    const signed =
      privateKey === undefined
        ? unsigned
        : Buffer.concat([unsigned, bytes(14, createSign("sha256").update(unsigned).sign(privateKey))]);
    this.results.push(signed);
    this.#nats.publish("sys.job.result", signed);
  }

  /** Says the same again, as a client does that is not sure. */
  repeatLastResult(): void {
    this.#nats.publish("sys.job.result", this.results.at(-1) ?? Buffer.alloc(0));
  }

  #cancel(data: Uint8Array): void {
    this.#running.get(textOf(messageOf(read(data), 16), 1))?.abort();
  }
}
