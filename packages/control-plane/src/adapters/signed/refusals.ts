// Telling that a packet was not what it should be.
// Owns:          the metric, the log line and the alert of a refusal, and how many of the last two there may be.
// Must not know: how a packet is judged.
// R1. Every refusal is counted; alerts, and lines with the reason, are bounded: who may publish could otherwise multiply on the bus what he
//     sends.
// R2. An alert that cannot be published is a line in the log, and changes nothing for the packet.

import { AlertSeverity, ErrorCode, encodePacket, ID_CHARS_MAX, SENDERS, SUBJECTS, timestampOf } from "@cordum/protocol";
import type { Bus, Subject } from "../../ports/bus.ts";
import type { Clock } from "../../ports/clock.ts";
import { messageOf } from "../../ports/fault.ts";
import type { Log, Meter } from "../../ports/telemetry.ts";
import type { Ms } from "../../ports/time.ts";
import type { RefusalReason } from "./judge-packet.ts";

export interface Refusal {
  readonly reason: RefusalReason;
  /** As the packet says. */
  readonly senderId: string;
  readonly subject: Subject;
}

export interface RefusalParts {
  /** Where alerts go. */
  readonly bus: Pick<Bus, "publish">;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

const TOLD_MAX = 20;
const SPAN_MS: Ms = 10_000;
const ALERT_TIMEOUT_MS: Ms = 2_000;

export class Refusals {
  readonly #parts: RefusalParts;
  #spanEndsAt: Ms = 0;
  #told = 0;
  #untold = 0;

  constructor(parts: RefusalParts) {
    this.#parts = parts;
  }

  /** The packet goes on although it should not. */
  warn(refusal: Refusal): void {
    this.#count(refusal);
    this.#log("signature.doubtful", refusal);
  }

  /** The packet is refused. Never rejects. The code that the refusal has on the wire. */
  async refuse(refusal: Refusal, signal: AbortSignal): Promise<string> {
    const code = codeOf(refusal.reason);
    this.#count(refusal);
    if (this.#log("signature.refused", refusal)) await this.#alert(code, refusal, signal);
    return code;
  }

  #count({ reason }: Refusal): void {
    this.#parts.meter.count("cordum_scheduler_signature_refused_total", { reason });
  }

  /** False when enough was said in this span of time. */
  #log(event: string, refusal: Refusal): boolean {
    const now = this.#parts.clock.mono();
    if (now >= this.#spanEndsAt) {
      this.#spanEndsAt = now + SPAN_MS;
      this.#told = 0;
    }
    if (this.#told >= TOLD_MAX) {
      this.#untold++;
      return false;
    }
    this.#told++;
    this.#parts.log.warn(event, { ...shown(refusal), untoldBefore: this.#untold });
    this.#untold = 0;
    return true;
  }

  async #alert(code: Code, refusal: Refusal, signal: AbortSignal): Promise<void> {
    const { bus, clock, log } = this.#parts;
    try {
      await bus.publish(
        SUBJECTS.alert,
        alertPacket(code, refusal, clock.now()),
        clock.deadline(signal, ALERT_TIMEOUT_MS),
      );
    } catch (error) {
      log.warn("alert.not_published", { reason: messageOf(error) });
    }
  }
}

type Code = "PROTOCOL_MALFORMED_PACKET" | "PROTOCOL_SIGNATURE_MISSING" | "PROTOCOL_SIGNATURE_INVALID";

function codeOf(reason: RefusalReason): Code {
  if (reason === "malformed") return "PROTOCOL_MALFORMED_PACKET";
  return reason === "missing" ? "PROTOCOL_SIGNATURE_MISSING" : "PROTOCOL_SIGNATURE_INVALID";
}

function shown({ senderId, ...rest }: Refusal): Refusal {
  return { ...rest, senderId: senderId.slice(0, ID_CHARS_MAX) };
}

function alertPacket(code: Code, refusal: Refusal, now: Ms): Uint8Array {
  const { reason, senderId, subject } = shown(refusal);
  const component = SENDERS.scheduler;
  return encodePacket({
    senderId: component,
    createdAt: timestampOf(now),
    protocolVersion: 1,
    payload: {
      kind: "alert",
      value: {
        level: "CRITICAL",
        message: `packet refused: ${code} (${reason})`,
        component,
        code,
        severity: AlertSeverity.CRITICAL,
        errorCodeEnum: ErrorCode[code],
        sourceComponent: component,
        details: { offending_sender: senderId, subject, reason },
      },
    },
  });
}
