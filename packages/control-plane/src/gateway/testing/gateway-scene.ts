// A gateway over a whole control plane in memory, for tests.
// Owns:          the scene: tenants acme and other, a key for every role, a policy with every kind of decision.
// Must not know: single tests.

import type { InjectOptions, LightMyRequestResponse } from "fastify";
import { AjvJudge } from "../../adapters/ajv/ajv-judge.ts";
import { inProcessBus } from "../../adapters/inprocess/bus.ts";
import { memoryPayloads } from "../../adapters/memory/memory-payloads.ts";
import { memoryState } from "../../adapters/memory/memory-state.ts";
import { systemClock } from "../../adapters/system/clock.ts";
import { NO_SUBMIT_RATES, type SubmitRates } from "../../jobs/submit-rate.ts";
import { PolicySource } from "../../policy/policy-source.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Payloads } from "../../ports/payloads.ts";
import type { State } from "../../ports/state.ts";
import type { Log } from "../../ports/telemetry.ts";
import { NO_TRACING, type Tracing } from "../../ports/tracing.ts";
import { NO_TIMEOUTS, OPEN_ROUTING } from "../../scheduling/routing.ts";
import { type Core, composeCore, DEFAULT_JOB_SETTINGS, DEFAULT_RETENTION, stateLayout } from "../../services/core.ts";
import { silentLog } from "../../telemetry/log.ts";
import { createMeter, DEFAULT_METER_SETTINGS, type ReadableMeter } from "../../telemetry/meter.ts";
import { POLICY } from "../../testing/job-scene.ts";
import { parseApiKeys } from "../api-keys.ts";
import { createGateway, type Gateway } from "../gateway.ts";
import { createKeyAccess } from "../key-access.ts";
import { parseOrigins } from "../origins.ts";
import { DEFAULT_GATEWAY_SETTINGS, type GatewayParts } from "../parts.ts";
import { ROLES } from "../permissions.ts";

/** `admin-key` and its like for tenant acme; `other-admin-key` for tenant other; `root-key` may cross tenants. */
const KEYS = JSON.stringify([
  ...ROLES.map((role) => ({ key: `${role}-key`, tenant: "acme", role, principal_id: role })),
  { key: "other-admin-key", tenant: "other", role: "admin", principal_id: "other-admin" },
  { key: "root-key", tenant: "acme", role: "admin", principal_id: "root", allow_cross_tenant: true },
]);

export interface Scene extends AsyncDisposable {
  readonly gateway: Gateway;
  readonly parts: GatewayParts;
  readonly core: Core;
  readonly meter: ReadableMeter;
  readonly clock: Clock;
  /** Sends a request with a key ("" = none) through the real router. */
  call(
    key: string,
    method: "GET" | "POST" | "DELETE" | "PUT" | "HEAD",
    url: string,
    more?: Partial<InjectOptions>,
  ): Promise<LightMyRequestResponse>;
  post(key: string, url: string, body: unknown): Promise<LightMyRequestResponse>;
}

type SceneSettings = Partial<GatewayParts["settings"]> & { readonly submitRates?: SubmitRates };

export async function openScene(
  { submitRates = NO_SUBMIT_RATES, ...over }: SceneSettings = {},
  clock: Clock = systemClock(),
  probes?: GatewayParts["probes"],
  tracing: Tracing = NO_TRACING,
  /** Opened with stateLayout(DEFAULT_RETENTION); the scene does not close them. */
  stores?: { readonly state: State; readonly payloads: Payloads },
  log: Log = silentLog(),
): Promise<Scene> {
  const meter = createMeter({ ...DEFAULT_METER_SETTINGS, process: false });
  const policy = new PolicySource();
  policy.replace(POLICY);
  const { state, payloads } = stores ?? memoryStores(clock);
  const bus = inProcessBus({ clock, log });
  const judge = new AjvJudge({ clock, log });
  const core = composeCore(
    { state, payloads, bus, clock, log, meter, tracing, policy, judge },
    {
      scheduling: { routing: OPEN_ROUTING, timeouts: NO_TIMEOUTS },
      drives: true,
      retention: DEFAULT_RETENTION,
      settings: { ...DEFAULT_JOB_SETTINGS, submitRates },
    },
  );
  await core.start();
  const sources = { keys: KEYS, file: undefined, single: [], defaultTenant: "default", allowsNoKeys: false };
  const configured = parseApiKeys(sources).keys;
  const access = createKeyAccess({ state, bus, clock, log }, { configured, openTenant: "default", isOpen: false });
  await access.start();
  const parts: GatewayParts = {
    jobParts: core.parts,
    auth: access.auth,
    keys: access.keys,
    log,
    meter,
    settings: {
      ...DEFAULT_GATEWAY_SETTINGS,
      ...NO_LIMITS,
      exposesMetrics: true,
      origins: parseOrigins([]).rules,
      ...over,
    },
    build: { version: "1.2.3", commit: "abc", date: "2026-01-01" },
    probes: probes ?? { bus: () => bus.status(), storeNow: (signal) => state.now(signal) },
  };
  const gateway = await createGateway(parts);
  const call: Scene["call"] = (key, method, url, more = {}) =>
    gateway.inject({ method, url, ...more, headers: { ...(key === "" ? {} : { "x-api-key": key }), ...more.headers } });
  return {
    gateway,
    parts,
    core,
    meter,
    clock,
    call,
    post: (key, url, body) =>
      call(key, "POST", url, { payload: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    async [Symbol.asyncDispose]() {
      await gateway.close();
      await access.settle(clock.deadline(new AbortController().signal, 1_000));
      await core.settle(clock.deadline(new AbortController().signal, 1_000));
      await judge.close();
    },
  };
}

const NO_LIMITS = { rateLimit: { rps: 0, burst: 0 }, publicRateLimit: { rps: 0, burst: 0 } };

function memoryStores(clock: Clock): { readonly state: State; readonly payloads: Payloads } {
  const payloads = memoryPayloads({ clock, bytesMax: 4_194_304 });
  return { state: memoryState({ partitions: 3, layout: stateLayout(DEFAULT_RETENTION), clock, payloads }), payloads };
}
