// A worker on the stage of jobs that speaks raw CAP.
// Owns:          its subscriptions, heartbeats and what it saw; it says only what a test makes it say.
// Must not know: the control plane's inside.

import { directSubject, encodePacket, type JobRequest, type JobResult, parsePacket, SUBJECTS } from "@cordum/protocol";
import type { Subscription } from "../ports/bus.ts";
import type { Ms } from "../ports/time.ts";
import { type JobScene, NEVER, type Payload } from "./job-scene.ts";

export type Answer = Partial<JobResult>;

export interface WorkerOptions {
  readonly id?: string;
  /** Announced by handshake; none: no handshake is sent. */
  readonly topics?: readonly string[];
  readonly pool?: string;
  readonly capacity?: number;
  readonly instance?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly listens?: "directly" | "on_topic" | "nowhere";
  /** What it answers to a job; undefined: nothing (yet). */
  readonly answer?: (request: JobRequest) => Answer | undefined;
  /** 0: one heartbeat only. Default 5 s. */
  readonly heartbeatMs?: Ms;
}

export interface SceneWorker {
  readonly id: string;
  /** Requests that arrived, in order, each time they came. */
  readonly seen: readonly JobRequest[];
  heartbeat(over?: Partial<WorkerOptions>): Promise<void>;
  handshake(topics: readonly string[]): Promise<void>;
  result(value: Answer & { readonly jobId: string }): Promise<void>;
  progress(jobId: string, percent: number, dispatchId?: string): Promise<void>;
  /** Another life of the same worker. */
  restart(instance: string): Promise<void>;
  /** No more heartbeats, no more jobs. */
  die(): Promise<void>;
}

export async function addWorker(scene: JobScene, options: WorkerOptions = {}): Promise<SceneWorker> {
  const { id = "w1", topics = ["job.echo"], listens = "directly", heartbeatMs = 5_000 } = options;
  const seen: JobRequest[] = [];
  const life = new AbortController();
  let current = options;
  const send = (subject: string, payload: Payload): Promise<void> =>
    scene.bus.publish(subject, encodePacket({ senderId: id, protocolVersion: 1, payload }), NEVER);
  const result: SceneWorker["result"] = (value) =>
    send(SUBJECTS.jobResult, { kind: "jobResult", value: { workerId: id, ...value } });
  const serve = async (bytes: Uint8Array) => {
    const parsed = parsePacket(bytes);
    if (parsed.kind !== "packet" || parsed.packet.payload?.kind !== "jobRequest")
      return { kind: "refuse", reason: "no request" } as const;
    const request = parsed.packet.payload.value;
    seen.push(request);
    const answer = current.answer?.(request);
    if (answer !== undefined) await result({ jobId: request.jobId, ...answer });
    return { kind: "ack" } as const;
  };
  const subjects = listens === "directly" ? [directSubject(id)] : listens === "on_topic" ? topics : [];
  const subscriptions: Subscription[] = [];
  for (const subject of subjects)
    subscriptions.push(await scene.bus.subscribe({ subject, group: "workers", keep: false, inFlightMax: 100 }, serve));
  const heartbeat: SceneWorker["heartbeat"] = async (over = {}) => {
    current = { ...current, ...over };
    await send(SUBJECTS.heartbeat, heartbeatOf(id, current));
    await scene.quiet();
  };
  const handshake = (readyTopics: readonly string[]): Promise<void> =>
    send(SUBJECTS.handshake, { kind: "handshake", value: { componentId: id, role: 3, readyTopics } });
  if (topics.length > 0) await handshake(topics);
  await heartbeat();
  if (heartbeatMs > 0) void beat();
  return {
    id,
    seen,
    heartbeat,
    handshake,
    result,
    progress: (jobId, percent, dispatchId = "") =>
      send(SUBJECTS.jobProgress, {
        kind: "jobProgress",
        value: { jobId, percent, ...(dispatchId === "" ? {} : { dispatch: { dispatchId } }) },
      }),
    restart: (instance) => heartbeat({ instance }),
    async die() {
      life.abort();
      await Promise.all(subscriptions.map((subscription) => subscription.drain(NEVER)));
    },
  };

  async function beat(): Promise<void> {
    while (await scene.clock.sleep(heartbeatMs, life.signal)) await send(SUBJECTS.heartbeat, heartbeatOf(id, current));
  }
}

function heartbeatOf(workerId: string, options: WorkerOptions): Payload {
  const { pool = "p", capacity = 4, instance, labels = {} } = options;
  return {
    kind: "heartbeat",
    value: {
      workerId,
      pool,
      maxParallelJobs: capacity,
      labels: instance === undefined ? labels : { ...labels, "cordum.instance": instance },
    },
  };
}
