// A packet of the bus as a frame of the stream.
// Owns:          the JSON form, what is blanked out, which packets the control plane writes itself.
// Must not know: sockets, who gets which frame.
// R1. The form is protobuf JSON, the payload on the top level. R2. References to secrets are blanked out, so that a signature beside one does
//     not fit any more. R3. For people of a tenant what came from a denied job has no pointers.

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
import { redactJson } from "../../policy/secrets.ts";

/** UTF-8 of one frame; with our member `subject` where it is asked for. */
export function frameOf(packet: BusPacket, subject: string, namesSubject: boolean): Buffer {
  const json = toProtoJson(BusPacket, packet);
  const members = typeof json === "object" && json !== null ? json : {};
  return Buffer.from(redactJson(JSON.stringify(namesSubject ? { subject, ...members } : members)));
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
