// What the gateway works with.
// Owns:          the list of parts and settings; services builds them.
// Must not know: which adapters stand behind, where settings come from.

import { type ArtifactSettings, DEFAULT_ARTIFACT_SETTINGS } from "../artifacts/use-artifacts.ts";
import type { JobParts } from "../jobs/job-parts.ts";
import type { ManageParts } from "../keys/manage.ts";
import type { Log } from "../ports/telemetry.ts";
import type { EpochMs, Ms } from "../ports/time.ts";
import type { ReadableMeter } from "../telemetry/meter.ts";
import type { Auth } from "./auth.ts";
import { DEFAULT_SOCKET_SETTINGS, type SocketSettings } from "./gateway-socket.ts";
import { DEFAULT_HELD_SETTINGS, type HeldSettings } from "./held-connections.ts";
import type { OriginRules } from "./origins.ts";
import type { RateLimit } from "./rate-limit.ts";
import { DEFAULT_STREAM_SETTINGS, type StreamSettings } from "./streams/streams.ts";

export interface GatewaySettings {
  readonly bodyBytesMax: number;
  readonly headReadMs: Ms;
  /** Head and body together. */
  readonly requestReadMs: Ms;
  readonly idleMs: Ms;
  /** What a handler may take. */
  readonly handlerMs: Ms;
  readonly origins: OriginRules;
  /** Per credential. */
  readonly rateLimit: RateLimit;
  /** Per tenant, over all of its credentials. */
  readonly tenantRateLimit: RateLimit;
  /** Per address, for requests without a valid credential. */
  readonly publicRateLimit: RateLimit;
  /** Addresses that are remembered for the limit. */
  readonly addressesMax: number;
  /** Serve /metrics on this listener too. */
  readonly exposesMetrics: boolean;
  /** Where refusals of strangers are recorded. */
  readonly operatorTenant: string;
  /** Addresses of proxies whose X-Forwarded-For counts; empty: the peer's address. */
  readonly trustedProxies: readonly string[];
  readonly sockets: SocketSettings;
  /** Streams and sockets. */
  readonly held: HeldSettings;
  readonly streams: StreamSettings;
  readonly artifacts: ArtifactSettings;
}

export const DEFAULT_GATEWAY_SETTINGS: Omit<GatewaySettings, "origins"> = {
  bodyBytesMax: 2 * 1_048_576,
  headReadMs: 5_000,
  requestReadMs: 15_000,
  idleMs: 60_000,
  handlerMs: 30_000,
  rateLimit: { rps: 50, burst: 100 },
  tenantRateLimit: { rps: 0, burst: 0 },
  publicRateLimit: { rps: 20, burst: 40 },
  addressesMax: 10_000,
  exposesMetrics: false,
  operatorTenant: "default",
  trustedProxies: [],
  sockets: DEFAULT_SOCKET_SETTINGS,
  held: DEFAULT_HELD_SETTINGS,
  streams: DEFAULT_STREAM_SETTINGS,
  artifacts: DEFAULT_ARTIFACT_SETTINGS,
};

export interface Build {
  /** Semantic version: packs compare it. */
  readonly version: string;
  readonly commit: string;
  readonly date: string;
}

/** What the health pages ask. */
export interface StatusProbes {
  bus(): { readonly connected: boolean; readonly reconnects: number };
  /** The store's clock; rejects when the store does not answer. */
  storeNow(signal: AbortSignal): Promise<EpochMs>;
}

export interface GatewayParts {
  readonly jobParts: JobParts;
  readonly auth: Auth;
  readonly keys: ManageParts;
  readonly log: Log;
  readonly meter: ReadableMeter;
  readonly settings: GatewaySettings;
  readonly build: Build;
  readonly probes: StatusProbes;
}
