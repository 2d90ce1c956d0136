// Workers of a simulated world: they speak raw CAP, and not always well.
// Owns:          what a worker does with a job: succeed, fail, vanish, answer twice, late, or for a job that is not its own;
//                after healing it succeeds.
// Must not know: the control plane's inside.

import {
  decodePacket,
  directCancelSubject,
  directSubject,
  encodePacket,
  JobStatus,
  parsePacket,
  SUBJECTS,
} from "@cordum/protocol";
import { Fault } from "../../ports/fault.ts";
import type { Ms } from "../../ports/time.ts";
import type { ProcessPorts, SimProcess } from "../process.ts";
import { type Ledger, note } from "./ledger.ts";
import { POOL, TOPICS } from "./policies.ts";

const HEARTBEAT_MS = 4_000;
const HANDSHAKE_EVERY = 3;
const LATE_MS = 20_000;

export interface WorkerOptions {
  /** On its own subject; otherwise on its topics only, with others. */
  readonly directly: boolean;
  readonly capacity: number;
  /** It stops what is cancelled; others take no notice. */
  readonly obeys: boolean;
  /** It announces its topics when it starts; and after healing until one node has heard it, since there may have been none. */
  readonly terse: boolean;
}

type Payload = NonNullable<Parameters<typeof encodePacket>[0]["payload"]>;
interface Task {
  readonly jobId: string;
  readonly dispatchId: string;
  readonly topic: string;
  /** Jobs that were cancelled. */
  readonly stopped: ReadonlySet<string>;
}

export function simWorker(id: string, options: WorkerOptions, ledger: Ledger): SimProcess {
  return {
    name: id,
    mayCrash: true,
    async start(ports) {
      let activeJobs = 0;
      const stopped = new Set<string>();
      const serve = async (bytes: Uint8Array) => {
        const { payload } = decodePacket(bytes);
        if (payload?.kind !== "jobRequest") return { kind: "refuse", reason: "no request" } as const;
        const { jobId, dispatch, topic } = payload.value;
        const dispatchId = dispatch?.dispatchId ?? "";
        note(ledger.heard, jobId, dispatchId);
        activeJobs++;
        void behave(id, { jobId, dispatchId, topic, stopped }, ports, ledger).finally(() => {
          activeJobs--;
          ledger.capacity.noteDropped(dispatchId);
        });
        return { kind: "ack" } as const;
      };
      const handshake: Payload = { kind: "handshake", value: { componentId: id, role: 3, readyTopics: [...TOPICS] } };
      const heartbeat = (): Payload => ({
        kind: "heartbeat",
        value: { workerId: id, pool: POOL, maxParallelJobs: options.capacity, activeJobs },
      });
      const subjects = options.directly ? [directSubject(id)] : TOPICS;
      for (const subject of subjects)
        await ports.bus.subscribe({ subject, group: "pool", keep: false, inFlightMax: 50 }, serve);
      const cancels = options.obeys ? [SUBJECTS.jobCancel, directCancelSubject(id)] : [];
      for (const subject of cancels)
        await ports.bus.subscribe({ subject, keep: false, inFlightMax: 50 }, async (bytes) => {
          const parsed = parsePacket(bytes);
          const payload = parsed.kind === "packet" ? parsed.packet.payload : undefined;
          if (payload?.kind === "jobCancel") stopped.add(payload.value.jobId);
          return { kind: "ack" };
        });
      for (let beat = 0; ; beat++) {
        const isUnheard = ledger.isHealed && !ledger.announced.has(id);
        const isDue = options.terse ? beat === 0 || isUnheard : beat % HANDSHAKE_EVERY === 0;
        if (isDue) await send(ports, id, SUBJECTS.handshake, handshake);
        await send(ports, id, SUBJECTS.heartbeat, heartbeat());
        await ports.clock.sleep(HEARTBEAT_MS, ports.signal);
      }
    },
  };
}

/** What becomes of a job, by chance. */
async function behave(id: string, task: Task, ports: ProcessPorts, ledger: Ledger): Promise<void> {
  const { chance, clock, signal } = ports;
  const wait = (ms: Ms): Promise<boolean> => clock.sleep(chance.below(ms), signal);
  const answer = (status: number, jobId = task.jobId): Promise<void> =>
    sendResult(id, { ...task, jobId }, status, ports, ledger);
  const roll = ledger.isHealed ? 0 : chance.below(100);
  await wait(3_000);
  if (task.stopped.has(task.jobId)) {
    ledger.count("stopped by cancel");
    return answer(JobStatus.CANCELLED);
  }
  // Of what may be tried again most fails, so that attempts run out.
  if (task.topic === "job.small" && !ledger.isHealed && chance.below(3) > 0) return answer(JobStatus.FAILED);
  if (roll < 50) return answer(JobStatus.SUCCEEDED);
  if (roll < 60) return answer(JobStatus.FAILED);
  if (roll < 65) return answer(JobStatus.FAILED_FATAL);
  if (roll < 72) return ledger.count("vanished");
  if (roll < 80) {
    await answer(JobStatus.SUCCEEDED);
    await wait(8_000);
    return answer(chance.once(2) ? JobStatus.SUCCEEDED : JobStatus.FAILED);
  }
  if (roll < 86) {
    await wait(LATE_MS);
    return answer(JobStatus.SUCCEEDED);
  }
  if (roll < 92) {
    const foreign = [...ledger.accepted];
    const jobId = foreign[chance.below(foreign.length)];
    return jobId === undefined ? undefined : answer(JobStatus.SUCCEEDED, jobId);
  }
  await sendProgress(id, task, ports);
  await wait(6_000);
  return answer(JobStatus.SUCCEEDED);
}

async function sendResult(id: string, task: Task, status: number, ports: ProcessPorts, ledger: Ledger): Promise<void> {
  const { jobId, dispatchId } = task;
  const known = ledger.sent.get(jobId);
  if (known === undefined) ledger.sent.set(jobId, [{ workerId: id, status }]);
  else known.push({ workerId: id, status });
  // Old workers do not know dispatch ids.
  const dispatch = ports.chance.once(2) ? { dispatch: { dispatchId, attempt: 1, assignedWorkerId: id } } : {};
  const value = { jobId, workerId: id, status, ...dispatch };
  await send(ports, id, SUBJECTS.jobResult, { kind: "jobResult", value });
}

async function sendProgress(id: string, { jobId, dispatchId }: Task, ports: ProcessPorts): Promise<void> {
  const value = { jobId, percent: ports.chance.below(100), dispatch: { dispatchId, attempt: 1, assignedWorkerId: id } };
  await send(ports, id, SUBJECTS.jobProgress, { kind: "jobProgress", value });
}

/** A worker does not repeat what the bus refused: that, too, happens. */
async function send(ports: ProcessPorts, id: string, subject: string, payload: Payload): Promise<void> {
  try {
    await ports.bus.publish(
      subject,
      encodePacket({ senderId: id, protocolVersion: 1, payload }),
      ports.clock.deadline(ports.signal, 5_000),
    );
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
  }
}
