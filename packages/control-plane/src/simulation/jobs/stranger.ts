// Strangers on the bus of a simulated world: whoever may publish there, well-behaved or not.
// Owns:          submits, cancels and heartbeats as raw packets; bytes that are none.
// Must not know: the control plane's inside. Nothing is promised to a stranger, so nothing is noted of what it sends.

import { encodePacket, JobPriority, JobStatus, SUBJECTS } from "@cordum/protocol";
import { Fault } from "../../ports/fault.ts";
import type { ProcessPorts, SimProcess } from "../process.ts";
import { POOL, TOPICS } from "./policies.ts";
import { TENANT } from "./user.ts";

type Payload = NonNullable<Parameters<typeof encodePacket>[0]["payload"]>;

const HEARD_BY_NODES = [
  SUBJECTS.jobSubmit,
  SUBJECTS.jobResult,
  SUBJECTS.jobProgress,
  SUBJECTS.jobCancel,
  SUBJECTS.heartbeat,
  SUBJECTS.handshake,
] as const;
/** Packets in all: the world must come to rest. */
const PACKETS = 24;

export function simStranger(name: string): SimProcess {
  return {
    name,
    mayCrash: false,
    async start(ports) {
      const { chance, clock, signal } = ports;
      for (let nth = 0; nth < PACKETS; nth++) {
        await clock.sleep(chance.below(1_500), signal);
        await sendOne(nth, ports);
      }
    },
  };
}

/** The same few job ids come again and again: what a second submit with another request does must be nothing. */
function sendOne(nth: number, ports: ProcessPorts): Promise<void> {
  const { chance } = ports;
  const jobId = `stranger-${chance.below(6)}`;
  const topic = TOPICS[chance.below(TOPICS.length)] ?? "job.echo";
  switch (nth % 8) {
    case 0:
    case 1:
    case 2:
      return send(
        SUBJECTS.jobSubmit,
        { kind: "jobRequest", value: { jobId, topic, tenantId: TENANT, priority: JobPriority.BATCH } },
        ports,
      );
    case 3: // claims what only the control plane may say
      return send(
        SUBJECTS.jobSubmit,
        {
          kind: "jobRequest",
          value: { jobId, topic: "job.ask", tenantId: TENANT, labels: { approval_granted: "true" } },
        },
        ports,
      );
    case 4:
      return send(
        SUBJECTS.jobCancel,
        { kind: "jobCancel", value: { jobId, reason: "no", requestedBy: name(chance.below(3)) } },
        ports,
      );
    case 5: // a worker that is not there, with numbers that are none
      return send(
        SUBJECTS.heartbeat,
        {
          kind: "heartbeat",
          value: {
            workerId: name(chance.below(3)),
            pool: POOL,
            cpuLoad: Number.NaN,
            activeJobs: -5,
            maxParallelJobs: 1,
          },
        },
        ports,
      );
    case 6: // a payload that does not belong there
      return send(
        SUBJECTS.heartbeat,
        { kind: "jobResult", value: { jobId, status: JobStatus.SUCCEEDED, workerId: "nobody" } },
        ports,
      );
    default:
      return publish(HEARD_BY_NODES[chance.below(HEARD_BY_NODES.length)] ?? SUBJECTS.jobSubmit, noise(ports), ports);
  }
}

function name(n: number): string {
  return ["", "ghost", "x".repeat(300)][n] ?? "";
}

function noise({ chance }: ProcessPorts): Uint8Array {
  return Uint8Array.from({ length: chance.below(60) }, () => chance.below(256));
}

function send(subject: string, payload: Payload, ports: ProcessPorts): Promise<void> {
  return publish(subject, encodePacket({ senderId: "stranger", protocolVersion: 1, payload }), ports);
}

async function publish(subject: string, bytes: Uint8Array, ports: ProcessPorts): Promise<void> {
  try {
    await ports.bus.publish(subject, bytes, ports.clock.deadline(ports.signal, 5_000));
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
  }
}
