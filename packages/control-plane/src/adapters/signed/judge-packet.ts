// Whether a received packet is what its sender signed, and says only what that sender may say.
// Owns:          the judgement, and its reasons.
// Must not know: the bus, logs, what a refusal leads to.
// J1. The received bytes are judged, before anybody acts on them; nothing about a judgement is remembered.
// J2. A key speaks for its own sender and for nobody else: heartbeats, handshakes and results are about whom they come from. An empty
//     worker id in a result would mean "whoever has the job", so it is refused too; every SDK fills it. Only parts of the control plane
//     announce the ends of jobs that workers did. A gateway speaks for the workers that are connected to it: it knows them by their keys.
// J3. A signature alone does not say when: a signed packet may be recorded and sent again. So its time must be near ours where packets
//     are not kept, and a submit must be younger than the records by which we know that a job has been there. A result has no limit: it
//     may wait in a stream for days, and the job's record knows which dispatch it answers.
//     Only the first delivery is asked for its time: what we put off ourselves has not become worse by that.
// J4. Old SDKs put no time into heartbeats; these pass, and can be repeated by whoever recorded them.

import { type BusPacket, epochMsOf, parsePacket, SENDERS, SUBJECTS, verifyPacket } from "@cordum/protocol";
import type { About } from "../../ports/bus.ts";
import type { EpochMs, Ms } from "../../ports/time.ts";
import { CONTROL_PLANE, type SenderKeys } from "./trusted-senders.ts";

export type RefusalReason = "malformed" | "missing" | "unknown_sender" | "invalid" | "sender_mismatch" | "stale";
export type Judgement =
  | { readonly kind: "accepted" }
  | { readonly kind: "refused"; readonly reason: RefusalReason; readonly senderId: string };

export interface JudgeRules {
  /** False: what carries no signature passes unlooked at. */
  readonly isRequired: boolean;
  /** How old a signed submit may be: as long as records of finished jobs are kept. */
  readonly submitAgeMaxMs: Ms;
  keysOf(senderId: string): SenderKeys | undefined;
}

/** How far the clock of a sender may be from ours. */
export const CLOCK_SKEW_MAX_MS: Ms = 300_000;
const ACCEPTED: Judgement = { kind: "accepted" };

/** Never throws on bytes. Costs about 75 µs for a valid signature; up to three times that for an invalid one, with each key of its sender. */
export function judgePacket(bytes: Uint8Array, about: About, now: EpochMs, rules: JudgeRules): Judgement {
  const parsed = parsePacket(bytes);
  if (parsed.kind === "malformed") return { kind: "refused", reason: "malformed", senderId: "" };
  const { packet } = parsed;
  const reason = refusalOf({ bytes, packet, about, now }, rules);
  return reason === undefined ? ACCEPTED : { kind: "refused", reason, senderId: packet.senderId };
}

interface Judged {
  readonly bytes: Uint8Array;
  readonly packet: BusPacket;
  readonly about: About;
  readonly now: EpochMs;
}

function refusalOf(judged: Judged, rules: JudgeRules): RefusalReason | undefined {
  const { bytes, packet } = judged;
  const isSigned = packet.signature.length > 0;
  if (!isSigned && !rules.isRequired) return undefined;
  const keys = rules.keysOf(packet.senderId);
  if (keys === "unsigned") return speaksForItself(packet) ? undefined : "sender_mismatch";
  if (!isSigned) return "missing";
  if (keys === undefined) return "unknown_sender";
  if (!keys.some((key) => verifyPacket(bytes, key).kind === "verified")) return "invalid";
  if (!speaksForItself(packet)) return "sender_mismatch";
  return isTimely(judged, rules) ? undefined : "stale";
}

function speaksForItself({ senderId, payload }: BusPacket): boolean {
  switch (payload?.kind) {
    case "heartbeat":
      return payload.value.workerId === senderId || senderId === SENDERS.gateway;
    case "handshake":
      return payload.value.componentId === senderId || senderId === SENDERS.gateway;
    case "jobResult":
      return payload.value.workerId === senderId || CONTROL_PLANE.has(senderId);
    default:
      return true;
  }
}

function isTimely({ packet, about, now }: Judged, { submitAgeMaxMs }: JudgeRules): boolean {
  if (about.subject === SUBJECTS.jobResult || about.delivery > 1) return true;
  const isSubmit = about.subject === SUBJECTS.jobSubmit;
  if (packet.createdAt === undefined) return !isSubmit;
  const at = epochMsOf(packet.createdAt);
  const ageMaxMs = isSubmit ? submitAgeMaxMs : CLOCK_SKEW_MAX_MS;
  return at !== undefined && now - at <= ageMaxMs && at - now <= CLOCK_SKEW_MAX_MS;
}
