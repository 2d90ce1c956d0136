// A bus on which packets are signed as they go out and judged as they come in.
// Owns:          which subjects carry packets, and what becomes of a packet that is not accepted.
// Must not know: which bus it stands before; what a packet means.
// Z1. What goes out is decoded, encoded canonically and signed: other SDKs verify by encoding again, and a dispatch with fields appended to
//     it is not yet what they would encode. Fields that we do not know are kept.
// Z2. What comes in is judged by the bytes that came, before the handler sees them.
// Z3. Out of scope, and passed on as they are: the control plane's own doorbells that are no packets (`cordum.placer`, `cordum.event.*`) –
//     they may cost time, never a job – and questions and answers (`answer`), which have proofs of their own.
// Z4. Results and cancels that a process overhears, beside its group, are judged too, but a refusal is told by whoever was to handle the result.
// Z5. With verification off a subscription is the inner bus's own: no cost, no change.

import { decodePacket, matchesSubject, type SigningKey, SUBJECTS, signPacket } from "@cordum/protocol";
import type { Bus, Handle, Subject, SubscriptionSpec } from "../../ports/bus.ts";
import type { Clock } from "../../ports/clock.ts";
import { Fault } from "../../ports/fault.ts";
import type { Log, Meter } from "../../ports/telemetry.ts";
import type { Ms } from "../../ports/time.ts";
import { judgePacket } from "./judge-packet.ts";
import { Refusals } from "./refusals.ts";
import type { SenderKeys } from "./trusted-senders.ts";

/** `warn` judges as `require` does, says what it would refuse, and lets it through. */
export type VerifyMode = "off" | "warn" | "if_present" | "require";

/** What of the keys this bus needs; they may change at any time. */
export interface Keys {
  /** Undefined: nothing is signed. */
  readonly signingKey: SigningKey | undefined;
  keysOf(senderId: string): SenderKeys | undefined;
}

export interface SignedBusOptions {
  readonly bus: Bus;
  readonly keys: Keys;
  readonly verify: VerifyMode;
  /** How long records of finished jobs are kept (judge-packet.ts, J3). */
  readonly submitAgeMaxMs: Ms;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

const SENT_PACKETS: ReadonlySet<Subject> = new Set([
  SUBJECTS.jobSubmit,
  SUBJECTS.jobResult,
  SUBJECTS.jobProgress,
  SUBJECTS.jobCancel,
  SUBJECTS.jobDeadLetter,
  SUBJECTS.heartbeat,
  SUBJECTS.handshake,
  SUBJECTS.alert,
  SUBJECTS.workflowEvent,
  SUBJECTS.configChanged,
]);
/** Topics, and the direct subjects of workers. */
const SENT_PREFIXES = ["job.", "worker."] as const;
const JUDGED: readonly Subject[] = [
  SUBJECTS.jobSubmit,
  SUBJECTS.jobResult,
  SUBJECTS.jobProgress,
  SUBJECTS.jobCancel,
  SUBJECTS.heartbeat,
  SUBJECTS.handshake,
];
/** Somebody else, in a group, handles what comes on these. */
const OVERHEARD: readonly Subject[] = [SUBJECTS.jobResult, SUBJECTS.jobCancel];
/** Tag, length and DER of a signature have at most 74 bytes. */
const SIGNATURE_ROOM_BYTES = 80;

/** Has the faults of `bus`. Draining it drains `bus`. */
export function signedBus(options: SignedBusOptions): Bus {
  const { bus, verify } = options;
  const bytesMax = (): number => bus.traits.packetBytesMax - SIGNATURE_ROOM_BYTES;
  const send = (subject: Subject, bytes: Uint8Array): Uint8Array => {
    if (bytes.byteLength > bytesMax())
      throw new Fault("PAYLOAD_TOO_LARGE", `a packet may have ${bytesMax()} bytes, this one has ${bytes.byteLength}`);
    return seal(subject, bytes, options.keys.signingKey);
  };
  const publish: Bus["publish"] = async (subject, bytes, signal) => bus.publish(subject, send(subject, bytes), signal);
  const judging = judge({ ...options, refusals: new Refusals({ ...options, bus: { publish } }) });
  return {
    get traits() {
      return { ...bus.traits, packetBytesMax: bytesMax() };
    },
    publish,
    deliver: async (subject, bytes, signal) => bus.deliver(subject, send(subject, bytes), signal),
    subscribe: (spec, handle) => bus.subscribe(spec, verify === "off" ? handle : judging(spec, handle)),
    answer: (subject, reply) => bus.answer(subject, reply),
    status: () => bus.status(),
    drain: (signal) => bus.drain(signal),
  };
}

function seal(subject: Subject, bytes: Uint8Array, key: SigningKey | undefined): Uint8Array {
  const isPacket = SENT_PACKETS.has(subject) || SENT_PREFIXES.some((prefix) => subject.startsWith(prefix));
  return key === undefined || !isPacket ? bytes : signPacket(decodePacket(bytes), key);
}

function judge(
  options: SignedBusOptions & { readonly refusals: Refusals },
): (spec: SubscriptionSpec, handle: Handle) => Handle {
  const { verify, submitAgeMaxMs, keys, clock, refusals } = options;
  const rules = {
    isRequired: verify !== "if_present",
    submitAgeMaxMs,
    keysOf: (senderId: string) => keys.keysOf(senderId),
  };
  return (spec, handle) => {
    const isOverheard = OVERHEARD.includes(spec.subject) && spec.group === undefined;
    if (!JUDGED.some((subject) => matchesSubject(spec.subject, subject))) return handle;
    return async (bytes, about, signal) => {
      if (spec.subject !== about.subject && !JUDGED.includes(about.subject)) return handle(bytes, about, signal);
      const judgement = judgePacket(bytes, about, clock.now(), rules);
      if (judgement.kind === "accepted") return handle(bytes, about, signal);
      const { reason, senderId } = judgement;
      if (isOverheard) return verify === "warn" ? handle(bytes, about, signal) : { kind: "refuse", reason };
      const refusal = { reason, senderId, subject: about.subject };
      if (verify !== "warn") return { kind: "refuse", reason: await refusals.refuse(refusal, signal) };
      refusals.warn(refusal);
      return handle(bytes, about, signal);
    };
  };
}
