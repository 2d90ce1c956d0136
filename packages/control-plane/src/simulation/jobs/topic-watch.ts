// What the nodes of a simulated house know of the topics that workers announce.
// Owns:          which workers a node has heard after healing; what must hold of that.
// Must not know: how nodes tell each other.
// G25. What one node has heard a worker announce, all know in time: a worker may say it only once.

import { parsePacket, SUBJECTS } from "@cordum/protocol";
import type { Bus } from "../../ports/bus.ts";
import type { ProcessPorts } from "../process.ts";
import type { Ledger } from "./ledger.ts";
import { overriding } from "./mutating.ts";

/** The ports of a node, which notes whom it hears. */
export function notingAnnounced(ports: ProcessPorts, ledger: Ledger): ProcessPorts {
  const { bus } = ports;
  const subscribe: Bus["subscribe"] = (spec, handle) =>
    spec.subject !== SUBJECTS.handshake
      ? bus.subscribe(spec, handle)
      : bus.subscribe(spec, (bytes, about, signal) => {
          const worker = announcerIn(bytes);
          if (ledger.isHealed && worker !== undefined) ledger.announced.add(worker);
          return handle(bytes, about, signal);
        });
  return { ...ports, bus: overriding(bus, { subscribe }) };
}

/** It may be a stranger's, and anything. */
function announcerIn(bytes: Uint8Array): string | undefined {
  const parsed = parsePacket(bytes);
  const payload = parsed.kind === "packet" ? parsed.packet.payload : undefined;
  if (payload?.kind !== "handshake" || payload.value.readyTopics.length === 0) return undefined;
  return payload.value.componentId;
}

interface Node {
  readonly name: string;
  readonly people: { unheardOf(): readonly string[] };
}

/** G25. */
export function unknownTopics(nodes: readonly Node[], ledger: Ledger): string | undefined {
  for (const { name, people } of nodes) {
    const unheard = people.unheardOf().find((id) => ledger.announced.has(id));
    if (unheard !== undefined) return `G25: ${name} does not know the topics of ${unheard}`;
  }
  return undefined;
}
