// News that a document of configuration has changed.
// Owns:          the packet, which is the one that later servers of the original send, and how it is read.
// Must not know: what a process does about it.
// The news names a document and says nothing about it: whoever forges one costs a read. One that is lost costs the time of
// effective-configs.ts, F2.

import { encodePacket, parsePacket, SENDERS, SUBJECTS } from "@cordum/protocol";
import type { Bus, Subscription } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import { messageOf } from "../ports/fault.ts";
import type { Log } from "../ports/telemetry.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import { type ConfigAddress, parseScope } from "./document.ts";

const PUBLISH_MS: Ms = 2_000;
const IN_FLIGHT_MAX = 64;
const MESSAGE = "config changed";

export interface NewsParts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Log;
}

/** Never fails: the change is made, and is found out without the news too. */
export async function announceConfig(address: ConfigAddress, parts: NewsParts, signal: AbortSignal): Promise<void> {
  const { bus, clock, log } = parts;
  try {
    await bus.publish(SUBJECTS.configChanged, newsOf(address, clock.now()), clock.deadline(signal, PUBLISH_MS));
  } catch (error) {
    log.warn("config.news_not_sent", { scope: address.scope, reason: messageOf(error) });
  }
}

/** Hears of documents; undefined: of some change, nobody knows which. */
export function listenForConfig(bus: Bus, hear: (address: ConfigAddress | undefined) => void): Promise<Subscription> {
  const spec = { subject: SUBJECTS.configChanged, keep: false, inFlightMax: IN_FLIGHT_MAX } as const;
  return bus.subscribe(spec, async (bytes) => {
    const parsed = parsePacket(bytes);
    if (parsed.kind === "packet" && parsed.packet.payload?.kind === "alert") {
      const { message, details } = parsed.packet.payload.value;
      if (message.toLowerCase() === MESSAGE) hear(addressIn(details));
    }
    return { kind: "ack" };
  });
}

function newsOf({ tenant, scope, scopeId }: ConfigAddress, now: EpochMs): Uint8Array {
  const changedAt = new Date(now).toISOString();
  const details = {
    scope,
    scope_id: scopeId,
    changed_at: changedAt,
    ...(tenant === "" ? {} : { tenant_id: tenant }),
  };
  const value = { level: "INFO", message: MESSAGE, component: SENDERS.gatewayHttp, code: "config_changed", details };
  return encodePacket({
    traceId: "",
    senderId: SENDERS.gatewayHttp,
    createdAt: { seconds: Math.floor(now / 1000), nanos: (now % 1000) * 1_000_000 },
    protocolVersion: 1,
    payload: { kind: "alert", value },
  });
}

function addressIn(details: Readonly<Record<string, string>>): ConfigAddress | undefined {
  const { scope: named = "", scope_id: scopeId = "", tenant_id: tenant = "" } = details;
  const scope = parseScope(named);
  if (scope === undefined || named === "" || scopeId === "") return undefined;
  if (scope !== "system" && tenant === "") return undefined;
  return { tenant: scope === "system" ? "" : tenant, scope, scopeId };
}
