// Workers that are connected to a gateway, on the stage of jobs: no socket, frames as a worker of any language would write them.
// Owns:          the sessions, and a worker that says only what a test makes it say.
// Must not know: single tests.

import {
  directSubject,
  encodePacket,
  type GatewayFrame,
  parsePacket,
  readGatewayFrame,
  SUBJECTS,
  WORKER_FRAMES_VERSION,
  type WorkerFrame,
  writeWorkerFrame,
} from "@cordum/protocol";
import type { Fault } from "../ports/fault.ts";
import type { WorkerSession } from "../worker-sessions/session.ts";
import { DEFAULT_SESSION_SETTINGS, type FrameSocket, type SessionSettings } from "../worker-sessions/session-parts.ts";
import { WorkerSessions } from "../worker-sessions/sessions.ts";
import { type JobScene, NEVER, openJobScene, type Payload, type SceneOptions } from "./job-scene.ts";

export interface SessionScene extends AsyncDisposable {
  readonly scene: JobScene;
  readonly sessions: WorkerSessions;
  readonly refused: readonly Fault[];
  /** Sessions of another process over the same bus and state. */
  addSessions(): Promise<WorkerSessions>;
  connect(over?: ConnectOptions): FrameWorker;
  /** Connects, says hello, listens directly and for cancels, announces the topics, beats once. */
  worker(over?: ConnectOptions): Promise<FrameWorker>;
}

export interface ConnectOptions {
  readonly id?: string;
  readonly tenant?: string;
  readonly instance?: string;
  readonly window?: number;
  readonly capacity?: number;
  readonly topics?: readonly string[];
  /** Which subjects it subscribes to; its own and that of cancels when absent. */
  readonly subjects?: readonly string[];
  readonly at?: WorkerSessions;
  /** It answers no delivery. */
  readonly isDeaf?: boolean;
  /** Its socket takes nothing. */
  readonly isStuck?: boolean;
}

type Delivery = GatewayFrame & { readonly kind: "deliver" };
type RequestFrame = Exclude<WorkerFrame, { readonly kind: "hello" | "took" }>;
type Asked = RequestFrame extends infer F ? (F extends { readonly id: number } ? Omit<F, "id"> : never) : never;

export class FrameWorker implements FrameSocket {
  readonly id: string;
  readonly frames: GatewayFrame[] = [];
  closedWith: { readonly code: number; readonly reason: string } | undefined;
  session: WorkerSession | undefined;
  readonly #scene: JobScene;
  readonly #options: ConnectOptions;
  #lastId = 0;

  constructor(scene: JobScene, options: ConnectOptions) {
    this.#scene = scene;
    this.#options = options;
    this.id = options.id ?? "w1";
  }

  async send(frame: Uint8Array): Promise<void> {
    const read = readGatewayFrame(frame);
    if (read.kind !== "frame") throw new Error(`the gateway wrote ${read.reason}`);
    this.frames.push(read.frame);
    if (this.#options.isStuck) await new Promise(() => undefined);
    if (read.frame.kind === "deliver" && !this.#options.isDeaf) this.say({ kind: "took", id: read.frame.id });
  }

  close(code: number, reason: string): void {
    this.closedWith = { code, reason };
  }

  raw(bytes: Uint8Array): void {
    this.session?.receive(bytes);
  }

  say(frame: WorkerFrame): void {
    this.raw(writeWorkerFrame(frame));
  }

  hello(over: Partial<WorkerFrame & { readonly kind: "hello" }> = {}): void {
    const { window = 100 } = this.#options;
    this.say({ kind: "hello", workerId: this.id, version: WORKER_FRAMES_VERSION, window, ...over });
  }

  /** The answer; undefined when there is none although everything has come to rest. */
  async ask(request: Asked): Promise<GatewayFrame | undefined> {
    const id = ++this.#lastId;
    this.say({ ...request, id } as RequestFrame);
    await this.#scene.quiet();
    return this.frames.find((frame) => frame.kind !== "deliver" && "id" in frame && frame.id === id);
  }

  publish(subject: string, payload: Payload): Promise<GatewayFrame | undefined> {
    const packet = encodePacket({ traceId: "t", senderId: this.id, protocolVersion: 1, payload });
    return this.ask({ kind: "publish", subject, packet });
  }

  beat(over: object = {}): Promise<GatewayFrame | undefined> {
    const { instance = "life-1", capacity = 4 } = this.#options;
    const labels = { "cordum.instance": instance };
    const value = { workerId: this.id, pool: "p", maxParallelJobs: capacity, labels, ...over };
    return this.publish(SUBJECTS.heartbeat, { kind: "heartbeat", value });
  }

  announce(): Promise<GatewayFrame | undefined> {
    const { topics = ["job.echo"] } = this.#options;
    return this.publish(SUBJECTS.handshake, {
      kind: "handshake",
      value: { componentId: this.id, role: 3, readyTopics: topics },
    });
  }

  result(value: object): Promise<GatewayFrame | undefined> {
    return this.publish(SUBJECTS.jobResult, { kind: "jobResult", value: { workerId: this.id, status: 5, ...value } });
  }

  async begin(): Promise<void> {
    this.hello();
    const { subjects = [directSubject(this.id), SUBJECTS.jobCancel] } = this.#options;
    for (const subject of subjects) await this.ask({ kind: "subscribe", subject });
    await this.announce();
    await this.beat();
  }

  /** What was handed over, in order. */
  get deliveries(): readonly (Delivery & { readonly payload: unknown; readonly jobId: string })[] {
    return this.frames.flatMap((frame) => {
      if (frame.kind !== "deliver") return [];
      const parsed = parsePacket(frame.packet);
      const payload = parsed.kind === "packet" ? parsed.packet.payload : undefined;
      if (payload === undefined || !("jobId" in payload.value)) throw new Error("a delivery is about a job");
      return [{ ...frame, payload: payload.value, jobId: payload.value.jobId }];
    });
  }

  get jobs(): readonly string[] {
    return this.deliveries.map(({ jobId }) => jobId);
  }

  /** The connection breaks without a word. */
  async vanish(): Promise<void> {
    this.session?.closed("gone");
    await this.#scene.quiet();
  }
}

export async function openSessionScene(
  options: SceneOptions = {},
  limits: Partial<SessionSettings> = {},
): Promise<SessionScene> {
  const scene = await openJobScene(options);
  const ending = new AbortController();
  const refused: Fault[] = [];
  const all: WorkerSessions[] = [];
  const addSessions = async (): Promise<WorkerSessions> => {
    const sessions = new WorkerSessions({ ...scene.parts, limits: { ...DEFAULT_SESSION_SETTINGS, ...limits } });
    await sessions.start();
    void sessions.run(ending.signal);
    all.push(sessions);
    return sessions;
  };
  const sessions = await addSessions();
  const connect = (over: ConnectOptions = {}): FrameWorker => {
    const worker = new FrameWorker(scene, over);
    worker.session = (over.at ?? sessions).open(worker, over.tenant ?? "acme", (fault) => refused.push(fault));
    return worker;
  };
  return {
    scene,
    sessions,
    refused,
    addSessions,
    connect,
    async worker(over = {}) {
      const worker = connect(over);
      await worker.begin();
      return worker;
    },
    async [Symbol.asyncDispose]() {
      ending.abort();
      const closing = Promise.all(all.map((each) => each.close(NEVER)));
      await scene.quiet();
      await closing;
      await scene.settle();
    },
  };
}
