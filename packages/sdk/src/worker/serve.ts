// Serve: one worker process, for one or several topics.
// Owns:          building the parts, the subscriptions, the order of start and drain.
// Must not know: how a job is run; which connection it is.
// V1. Start: listen first, then say so. A start that fails leaves no subscription behind.
// V2. Topics are shared in the queue group named like the topic; the worker's own subject is not shared with anybody. A job that
//     arrives by both ways runs once.
// V3. Drain: stop listening, say so, let running jobs end, stop what has not ended in time, report it. The cancel subscription
//     and the heartbeats end last. The connection stays open: it belongs to whoever opened it; one that was opened here for a URL is
//     closed at the end, which sends what is left.

import { connect } from "../connections/connect.ts";
import type { GatewayTarget } from "../connections/gateway-target.ts";
import type { ConnectionTarget } from "../connections/target.ts";
import { onFirstStopSignal, type Runtime, systemRuntime } from "../runtime.ts";
import type { WorkerConnection, WorkerSubscription } from "./connection.ts";
import { ConstraintsReader } from "./constraints.ts";
import { Deadlines } from "./deadlines.ts";
import { failure } from "./failure.ts";
import { Intake } from "./intake.ts";
import type { TopicHandler } from "./job-context.ts";
import { lineLog, messageOf, type WorkerLog, withFields } from "./log.ts";
import { Outbox } from "./outbox.ts";
import { Presence } from "./presence.ts";
import { type ProcessOptions, resolveSettings, type Settings } from "./settings.ts";
import { createSigning, type Signing, type SigningOptions } from "./signing.ts";
import { isTopic, type JobOffer, PacketReader, PacketWriter, SUBJECTS } from "./wire.ts";

export interface StartOptions extends ProcessOptions {
  /** Drains when it fires. */
  readonly signal?: AbortSignal;
  /** JSON lines on standard error when absent. */
  readonly log?: WorkerLog;
  readonly runtime?: Runtime;
  /** Off when absent: neither signs nor looks at signatures. */
  readonly signing?: SigningOptions;
}

/** A connection that the caller opened and closes, or where to open one, see `connect`. */
export type ServeOptions = StartOptions &
  (
    | { readonly connection: WorkerConnection; readonly url?: undefined }
    | { readonly url: string | ConnectionTarget | GatewayTarget; readonly connection?: undefined }
  );

export interface Serving extends AsyncDisposable {
  readonly workerId: string;
  readonly topics: readonly string[];
  /** Jobs that are running or waiting here. */
  readonly activeJobs: number;
  /** Ends the work in order; see V3. A second call waits for the first. */
  drain(): Promise<void>;
  /** For the last line of a program: waits for SIGTERM or SIGINT, then drains. */
  untilStopped(): Promise<void>;
}

/** Starts serving. Rejects with TypeError for options that cannot be right, or with what the connection said. */
export async function serve(definitions: readonly TopicHandler[], options: ServeOptions): Promise<Serving> {
  const runtime = options.runtime ?? systemRuntime;
  const settings = resolveSettings(definitions, options, runtime);
  const log = withFields(options.log ?? lineLog(runtime), { workerId: settings.workerId });
  const signing = createSigning(options.signing);
  const opened =
    options.connection === undefined
      ? await connect(options.url, { name: settings.workerId, ioTimeoutMs: settings.ioTimeoutMs, log, runtime })
      : undefined;
  const connection = options.connection ?? opened;
  if (connection === undefined) throw new TypeError("a connection or a URL is expected");
  const service = new Service(definitions, settings, { connection, opened, runtime, log, signing });
  await service.start();
  const { signal } = options;
  if (signal?.aborted) await service.drain();
  else signal?.addEventListener("abort", () => void service.drain(), { once: true });
  return service;
}

interface ServiceParts {
  readonly connection: WorkerConnection;
  /** The same, when it is ours to close. */
  readonly opened: WorkerConnection | undefined;
  readonly runtime: Runtime;
  readonly log: WorkerLog;
  readonly signing: Signing;
}

class Service implements Serving {
  readonly workerId: string;
  readonly topics: readonly string[];
  readonly #definitions: ReadonlyMap<string, TopicHandler>;
  readonly #settings: Settings;
  readonly #parts: ServiceParts;
  readonly #reader: PacketReader;
  readonly #deadlines: Deadlines;
  readonly #intake: Intake;
  readonly #presence: Presence;
  readonly #jobSubscriptions: WorkerSubscription[] = [];
  readonly #cancelSubscriptions: WorkerSubscription[] = [];
  #forgetReconnects: () => void = () => undefined;
  #draining: Promise<void> | undefined;

  constructor(definitions: readonly TopicHandler[], settings: Settings, parts: ServiceParts) {
    const { runtime, log, connection } = parts;
    this.workerId = settings.workerId;
    this.topics = definitions.map((definition) => definition.topic);
    this.#definitions = new Map(definitions.map((definition) => [definition.topic, definition]));
    this.#settings = settings;
    this.#parts = parts;
    this.#reader = new PacketReader(parts.signing);
    this.#deadlines = new Deadlines(runtime);
    const deadlines = this.#deadlines;
    const writer = new PacketWriter(settings.workerId, parts.signing, () => runtime.now());
    const outbox = new Outbox({ connection, runtime, deadlines, log, ioTimeoutMs: settings.ioTimeoutMs });
    const intake = new Intake({
      connection,
      runtime,
      deadlines,
      log,
      limits: settings,
      constraints: new ConstraintsReader(),
      intake: settings,
      writer,
      outbox,
    });
    this.#intake = intake;
    const { pool, capabilities, labels, concurrency: maxParallelJobs, heartbeatIntervalMs: intervalMs } = settings;
    const facts = () => ({ pool, capabilities, labels, maxParallelJobs, activeJobs: intake.activeJobs });
    this.#presence = new Presence({ outbox, writer, runtime, log, intervalMs, topics: this.topics, facts });
  }

  get activeJobs(): number {
    return this.#intake.activeJobs;
  }

  async start(): Promise<void> {
    try {
      const onCancel = (bytes: Uint8Array) => this.#onCancel(bytes);
      this.#cancelSubscriptions.push(await this.#subscribe(SUBJECTS.cancel, undefined, onCancel));
      this.#cancelSubscriptions.push(await this.#subscribe(SUBJECTS.directCancel(this.workerId), undefined, onCancel));
      const direct = SUBJECTS.direct(this.workerId);
      for (const subject of [direct, ...this.topics]) {
        this.#jobSubscriptions.push(await this.#subscribe(subject, subject, (bytes, from) => this.#onJob(bytes, from)));
      }
    } catch (error) {
      await this.#close([...this.#jobSubscriptions, ...this.#cancelSubscriptions]);
      await this.#closeConnection();
      throw error;
    }
    await this.#presence.start();
    this.#forgetReconnects =
      this.#parts.connection.onReconnect?.(() => void this.#presence.announce()) ?? this.#forgetReconnects;
    this.#parts.log.info("worker.started", {
      pool: this.#settings.pool,
      topics: this.topics,
      concurrency: this.#settings.concurrency,
    });
  }

  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async untilStopped(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<string>();
    onFirstStopSignal(resolve);
    const signal = await promise;
    this.#parts.log.info("worker.stopping", { signal });
    await this.drain();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }

  async #drain(): Promise<void> {
    await this.#close(this.#jobSubscriptions);
    await this.#presence.drain();
    const { drainTimeoutMs, stopGraceMs, ioTimeoutMs } = this.#settings;
    if (!(await this.#idleWithin(drainTimeoutMs))) {
      this.#parts.log.warn("worker.drain_timed_out", { activeJobs: this.activeJobs, drainTimeoutMs });
      this.#intake.stopAll();
      if (!(await this.#idleWithin(stopGraceMs + ioTimeoutMs))) this.#intake.giveUp();
    }
    await this.#close(this.#cancelSubscriptions);
    this.#forgetReconnects();
    await this.#presence.stop();
    await this.#closeConnection();
    this.#parts.log.info("worker.stopped", { activeJobs: this.activeJobs });
  }

  async #closeConnection(): Promise<void> {
    try {
      await this.#parts.opened?.close();
    } catch (error) {
      this.#parts.log.warn("connection.not_closed", { reason: messageOf(error) });
    }
  }

  async #idleWithin(ms: number): Promise<boolean> {
    const over = new AbortController();
    const late = this.#parts.runtime.sleep(ms, over.signal);
    const isIdle = await Promise.race([this.#intake.idle().then(() => true), late.then(() => false)]);
    over.abort();
    return isIdle;
  }

  #onJob(bytes: Uint8Array, subject: string): void {
    this.#guarded(subject, () => {
      const read = this.#reader.job(bytes);
      if (read.kind === "refused") this.#refused(subject, read.reason);
      else this.#offer(read.value, subject);
    });
  }

  #offer(offer: JobOffer, subject: string): void {
    const definition = this.#definitions.get(offer.topic);
    // A topic's own subject carries jobs of that topic only: what policy let through as one topic is not run as another.
    if (definition !== undefined && (subject === offer.topic || !isTopic(subject)))
      this.#intake.accept(offer, definition);
    else {
      this.#refused(subject, "topic_not_served", offer.jobId);
      this.#intake.refuse(
        offer,
        failure("TOPIC_NOT_SERVED", `worker ${this.workerId} does not serve this topic on this subject`),
      );
    }
  }

  #onCancel(bytes: Uint8Array): void {
    this.#guarded(SUBJECTS.cancel, () => {
      const read = this.#reader.cancel(bytes);
      if (read.kind === "refused") this.#refused(SUBJECTS.cancel, read.reason);
      else this.#intake.cancel(read.value);
    });
  }

  /** A packet must not be able to stop the worker. */
  #guarded(subject: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#parts.log.error("packet.handling_failed", error, { subject });
    }
  }

  #refused(subject: string, reason: string, jobId?: string): void {
    this.#parts.log.warn("packet.refused", { subject, reason, jobId });
  }

  #subscribe(
    subject: string,
    group: string | undefined,
    handle: (bytes: Uint8Array, subject: string) => void,
  ): Promise<WorkerSubscription> {
    const { connection } = this.#parts;
    return this.#deadlines.within(this.#settings.ioTimeoutMs, `subscribe to ${subject}`, () =>
      connection.subscribe(subject, group, handle),
    );
  }

  async #close(subscriptions: readonly WorkerSubscription[]): Promise<void> {
    const closing = subscriptions.map(async (subscription) => {
      try {
        await this.#deadlines.within(this.#settings.ioTimeoutMs, "close of a subscription", () => subscription.close());
      } catch (error) {
        this.#parts.log.warn("subscription.not_closed", { reason: messageOf(error) });
      }
    });
    await Promise.all(closing);
  }
}
