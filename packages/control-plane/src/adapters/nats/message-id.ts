// Message ids of durable publishes.
// Owns:          the id by which a stream knows a message it already has.
// Must not know: streams, connections.
// Source: scheduler.md §2.2. An id is what the sender of a packet chose, so it is used only where a header can hold it unchanged:
// one that was trimmed or cut could equal another's, and the second message would be thrown away.

import { type BusPacket, parsePacket } from "@cordum/protocol";

/** A job that must pass the duplicate window (2 minutes) more than once says so with this label. */
const ID_LABEL = "cordum.bus_msg_id";
const ID_PATTERN = /^[\x21-\x7e]{1,1024}$/;

/** The id for `Nats-Msg-Id`, or undefined where a packet has none. Never throws on bytes. */
export function messageId(subject: string, bytes: Uint8Array): string | undefined {
  const parsed = parsePacket(bytes);
  const id = parsed.kind === "packet" ? idOf(subject, parsed.packet.payload) : undefined;
  return id !== undefined && ID_PATTERN.test(id) ? id : undefined;
}

function idOf(subject: string, payload: BusPacket["payload"]): string | undefined {
  switch (payload?.kind) {
    case "jobRequest": {
      const label = payload.value.labels[ID_LABEL]?.trim() ?? "";
      if (label !== "") return `jobreq:${subject}:${label}`;
      return payload.value.jobId === "" ? undefined : `jobreq:${payload.value.jobId}`;
    }
    case "jobResult": {
      const { jobId, dispatch } = payload.value;
      if (jobId === "") return undefined;
      // What gateways publish for workers names its dispatch: a job that is tried again has a result of each attempt.
      const attempt = dispatch?.dispatchId ?? "";
      return attempt === "" ? `${subject}:${jobId}` : `${subject}:${jobId}:${attempt}`;
    }
    case "heartbeat":
      return payload.value.workerId === "" ? undefined : `${subject}:${payload.value.workerId}`;
    default:
      return undefined;
  }
}
