// A packet of the bus as a frame of the stream.
// Owns:          the JSON form, what is blanked out, which packets the control plane writes itself.
// Must not know: sockets, who gets which frame.
// R1. The form is protobuf JSON, the payload on the top level. R2. For people of a tenant references to secrets are blanked out; what went
//     to or came from a denied job has no pointers.

import {
  BusPacket,
  encodePacket,
  jobStatusNames,
  parsePacket,
  SENDERS,
  toProtoJson,
  wrapJobRequest,
} from "@cordum/protocol";
import { statusOf, timestamp } from "../../jobs/effects.ts";
import type { Job } from "../../jobs/job.ts";
import { bytesOfRequest } from "../../jobs/job-request.ts";
import { redactSecrets } from "../../policy/secrets.ts";

export interface Form {
  /** Blanked out for people of a tenant. */
  readonly isRedacted: boolean;
  /** With our member `subject`. */
  readonly namesSubject: boolean;
}

/** UTF-8 of one frame. */
export function frameOf(packet: BusPacket, subject: string, form: Form): Buffer {
  const json = toProtoJson(BusPacket, packet);
  const members = typeof json === "object" && json !== null ? json : {};
  const named = form.namesSubject ? { subject, ...members } : members;
  return Buffer.from(JSON.stringify(form.isRedacted ? redactSecrets(named).value : named));
}

/** The submit of a job, as the original publishes it for every one. */
export function submitOf(job: Job): BusPacket | undefined {
  const envelope = {
    traceId: job.traceId,
    senderId: SENDERS.gatewayHttp,
    createdAt: timestamp(job.acceptedAt),
    protocolVersion: 1,
  };
  return parsed(wrapJobRequest(bytesOfRequest(job), envelope));
}

/** The end of a job, as it is recorded. */
export function resultOf(job: Job): BusPacket | undefined {
  const { phase } = job;
  if (!("outcome" in phase)) return undefined;
  const { outcome } = phase;
  const isDenied = phase.state === "DENIED";
  const isOfWorker = outcome.by === "worker" && outcome.workerId !== "";
  return parsed(
    encodePacket({
      traceId: job.traceId,
      senderId: isOfWorker ? outcome.workerId : SENDERS.scheduler,
      createdAt: timestamp(outcome.at),
      protocolVersion: 1,
      payload: {
        kind: "jobResult",
        value: {
          jobId: job.id,
          status: jobStatusNames.numberOf.get(outcome.reported) ?? statusOf(phase.state),
          resultPtr: isDenied ? "" : outcome.resultPtr,
          workerId: outcome.workerId,
          executionMs: outcome.executionMs,
          errorCode: outcome.code,
          errorMessage: outcome.message,
          artifactPtrs: isDenied ? [] : outcome.artifactPtrs,
        },
      },
    }),
  );
}

function parsed(bytes: Uint8Array): BusPacket | undefined {
  const read = parsePacket(bytes);
  return read.kind === "packet" ? read.packet : undefined;
}
