// News that a document of configuration has changed.
// Owns:          the packet, which is the one that later servers of the original send, and how it is read. News that are lost cost the time
//                of effective-configs.ts, F2.
// Must not know: what a process does about it.

import { encodePacket, parsePacket, SENDERS, SUBJECTS } from "@cordum/protocol";
import type { Bus, Subscription } from "../ports/bus.ts";
import type { EpochMs } from "../ports/time.ts";
import { hearNews, type NewsParts, sendNews } from "../records/news.ts";
import { type ConfigAddress, parseScope } from "./document.ts";

const MESSAGE = "config changed";

/** Never fails. */
export function announceConfig(address: ConfigAddress, parts: NewsParts, signal: AbortSignal): Promise<void> {
  const unsent = { event: "config.news_not_sent", fields: { scope: address.scope } };
  const bytes = newsOf(address, parts.clock.now());
  return sendNews({ subject: SUBJECTS.configChanged, bytes, unsent }, parts, signal);
}

/** Hears of documents; undefined: of some change, nobody knows which. */
export function listenForConfig(bus: Bus, hear: (address: ConfigAddress | undefined) => void): Promise<Subscription> {
  return hearNews(bus, SUBJECTS.configChanged, (bytes) => {
    const parsed = parsePacket(bytes);
    if (parsed.kind === "packet" && parsed.packet.payload?.kind === "alert") {
      const { message, details } = parsed.packet.payload.value;
      if (message.toLowerCase() === MESSAGE) hear(addressIn(details));
    }
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
