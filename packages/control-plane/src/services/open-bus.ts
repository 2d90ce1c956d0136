// Opening the bus that the configuration names.
// Owns:          which adapter stands behind Bus. An adapter is loaded when it is named.
// Must not know: what is said on it.

import { inProcessBus } from "../adapters/inprocess/bus.ts";
import type { Bus } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/telemetry.ts";
import type { BusConfig } from "./configuration.ts";

export interface OpenedBus {
  readonly bus: Bus;
  /** Calls `listener` when messages may have been missed. */
  onGap(listener: () => void): void;
}

/** Faults: BUS_UNAVAILABLE and BUS_MISCONFIGURED, each a sentence that says what to do. */
export async function openBus(
  config: BusConfig,
  parts: { readonly clock: Clock; readonly log: Log },
): Promise<OpenedBus> {
  if (config.kind === "in_process") return { bus: inProcessBus(parts), onGap: () => undefined };
  const { url, usesJetStream, adoptsStreams, stream, credentials, tls } = config;
  const { openNatsBus } = await import("../adapters/nats/open-nats.ts");
  const bus = await openNatsBus({
    url,
    mode: usesJetStream ? "jetstream" : "core",
    adoptStreams: adoptsStreams,
    stream: given(stream),
    credentials: given(credentials),
    ...(tls === undefined
      ? {}
      : {
          tls: {
            ...given({ caPath: tls.caPath, certPath: tls.certPath, keyPath: tls.keyPath, serverName: tls.serverName }),
            insecure: tls.acceptsAnyCertificate,
          },
        }),
    ...parts,
  });
  return {
    bus,
    onGap: (listener) => {
      bus.onReconnect(listener);
    },
  };
}

type Given<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> };

/** Only what is set. */
function given<T extends object>(settings: T): Given<T> {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as Given<T>;
}
