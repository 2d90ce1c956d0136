// One process of a control plane: a gateway, a scheduler, or both, on the store and the bus that the configuration names.
// Owns:          building the parts from general to specific, and ending them in the opposite order.
// Must not know: how any part works.

import { AjvJudge } from "../adapters/ajv/ajv-judge.ts";
import { otelTracing } from "../adapters/otel/tracing.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { createGateway, createMetricsServer } from "../gateway/gateway.ts";
import { createKeyAccess } from "../gateway/key-access.ts";
import type { OriginRules } from "../gateway/origins.ts";
import { DEFAULT_GATEWAY_SETTINGS, type GatewayParts, type GatewaySettings } from "../gateway/parts.ts";
import { DEFAULT_JOB_SETTINGS, type SchedulingConfig } from "../jobs/job-parts.ts";
import { PolicySource } from "../policy/policy-source.ts";
import type { Clock } from "../ports/clock.ts";
import { assert, messageOf } from "../ports/fault.ts";
import type { Log } from "../ports/telemetry.ts";
import { Processes } from "../records/processes.ts";
import { NO_TIMEOUTS, OPEN_ROUTING, parsePools, parseTimeouts } from "../scheduling/routing.ts";
import { createMeter } from "../telemetry/meter.ts";
import { BUILD } from "./build.ts";
import type { Config } from "./configuration.ts";
import {
  type Core,
  type CoreConfig,
  composeCore,
  DEFAULT_RETENTION,
  type Retention,
  SHAPES_READ,
  stateLayout,
} from "./core.ts";
import { DrainDeadline } from "./drain-deadline.ts";
import { followFile } from "./followed-file.ts";
import { openOrigins, readKeys, refuseWithoutKeys } from "./gateway-settings.ts";
import { type InProcessConnection, inProcessConnection } from "./in-process-connection.ts";
import { type OpenedBus, openBus } from "./open-bus.ts";
import { openSigning } from "./open-signing.ts";
import { openStores, type Stores } from "./open-stores.ts";
import { ALL_ROLES, type Role } from "./roles.ts";

export interface NodeOptions {
  readonly config: Config;
  readonly log: Log;
  /** A scheduler judges and places jobs; a gateway without one beside it stores them and rings for one. */
  readonly roles: ReadonlySet<Role>;
}

export interface Running {
  /** http://host:port of the API; undefined without a gateway. */
  readonly url: string | undefined;
  /** For workers in this process. */
  connection(): InProcessConnection;
  /** Puts another policy in force; rejects with POLICY_INVALID and leaves the old one. An empty text takes the policy away. */
  replacePolicy(text: string): Promise<void>;
  /** No new work, finish what is in hand, close. A second call waits for the first. */
  drain(): Promise<void>;
}
export type RunningAllInOne = Running & { readonly url: string };

/** Gateway and scheduler in one process. Rejects as startNode does. */
export async function startAllInOne(options: Omit<NodeOptions, "roles">): Promise<RunningAllInOne> {
  const running = await startNode({ ...options, roles: ALL_ROLES });
  const { url } = running;
  assert(url !== undefined, "a gateway has a URL");
  return { ...running, url };
}

/** Rejects with a sentence for the operator when something that is configured cannot be used; nothing is left open then. */
export async function startNode({ config, log, roles }: NodeOptions): Promise<Running> {
  await using opened = new AsyncDisposableStack();
  const clock = systemClock();
  const stopping = new AbortController();
  opened.defer(() => stopping.abort());
  const ending = new DrainDeadline(config.scheduling.drainTimeoutMs, { clock, log });
  const servesApi = roles.has("gateway");
  const nobody = { configured: [], openTenant: config.auth.tenant, isOpen: false };
  const configuredKeys = servesApi ? await readKeys(config) : nobody;
  const origins = openOrigins(config);
  const policy = new PolicySource();
  const drives = roles.has("scheduler");
  if (drives) await followPolicy(config, policy, { clock, log }, stopping.signal);
  const stores = await openStores(config.state, {
    layout: stateLayout(retentionOf(config)),
    payloadBytesMax: config.artifacts.bytesMax,
    clock,
    log,
  });
  opened.defer(() => ending.wait("stores", stores.close()));
  if (stores.state.traits.shared) await joinProcesses({ stores, clock, log, opened, ending }, roles, stopping.signal);
  const { bus: wire, onGap } = await openBus(config.bus, { clock, log });
  opened.defer(() => ending.wait("bus", wire.drain(ending.begin())));
  const meter = createMeter();
  const signingParts = { bus: wire, clock, log, meter, jobKeepMs: config.retention.jobMs };
  const bus = await openSigning(config.signing, signingParts, stopping.signal);
  const own = { judge: openJudge(opened, { clock, log }), tracing: otelTracing(BUILD.version) };
  const core = composeCore({ ...stores, ...own, bus, clock, log, meter, policy }, { ...coreConfigOf(config), drives });
  const access = createKeyAccess({ state: stores.state, bus, clock, log }, configuredKeys);
  if (servesApi) {
    await refuseWithoutKeys(configuredKeys, { state: stores.state, clock });
    await access.start();
    opened.defer(() => access.settle(ending.begin()));
  }
  onGap(() => {
    core.catchUp();
    access.doubt();
  });
  await followScheduling(config, core, { clock, log }, stopping.signal);
  opened.defer(() => core.settle(ending.begin()));
  await core.start();
  const gatewayParts: GatewayParts = {
    jobParts: core.parts,
    auth: access.auth,
    keys: access.keys,
    log,
    meter,
    settings: gatewaySettingsOf(config, origins),
    build: BUILD,
    probes: { bus: () => bus.status(), storeNow: (signal) => stores.state.now(signal) },
  };
  await listenForMetrics(config, gatewayParts, opened, ending);
  const url = servesApi ? await openGateway(config, gatewayParts, opened, { ending, onGap }) : undefined;
  const parts = opened.move();
  let ended: Promise<void> | undefined;
  return {
    url,
    // A worker is a stranger on the bus, in this process too: it signs for itself.
    connection: () => inProcessConnection({ bus: wire, payloads: stores.payloads, clock }),
    async replacePolicy(text) {
      const replaced = policy.replace(text);
      if (replaced.kind === "refused") throw replaced.fault;
    },
    drain() {
      ending.begin();
      ended ??= parts.disposeAsync();
      return ended;
    },
  };
}

/** Goes by the store's clock, and says to the others that this process lives and what it can read, so that none writes a shape that it cannot. */
async function joinProcesses(
  parts: {
    readonly stores: Stores;
    readonly clock: ReturnType<typeof systemClock>;
    readonly log: Log;
    readonly opened: AsyncDisposableStack;
    readonly ending: DrainDeadline;
  },
  roles: ReadonlySet<Role>,
  signal: AbortSignal,
): Promise<void> {
  const { stores, clock, log, opened, ending } = parts;
  await clock.followStore(stores.state, log, signal);
  const self = { id: clock.id(), roles: [...roles], version: BUILD.version, reads: SHAPES_READ };
  const processes = new Processes(stores.state, clock, self);
  await processes.meet(signal);
  void processes.run(log, signal);
  opened.defer(async () => {
    try {
      await processes.leave(clock.deadline(ending.begin(), LEAVE_MS));
    } catch (error) {
      log.warn("process.not_left", { reason: messageOf(error) });
    }
  });
}

async function openGateway(
  config: Config,
  parts: GatewayParts,
  opened: AsyncDisposableStack,
  { ending, onGap }: Pick<OpenedBus, "onGap"> & { readonly ending: DrainDeadline },
): Promise<string> {
  const gateway = await createGateway(parts);
  onGap(() => gateway.catchUp());
  opened.defer(async () => {
    await gateway.stopAccepting(ending.begin());
    await ending.wait("gateway", gateway.close());
  });
  return gateway.listen(config.http.address);
}

/** Metrics have a listener of their own, which only operators reach, or none: then they are on the API's. */
async function listenForMetrics(
  config: Config,
  parts: GatewayParts,
  opened: AsyncDisposableStack,
  ending: DrainDeadline,
): Promise<void> {
  const { metricsAddress } = config.http;
  if (metricsAddress === "off") return;
  const server = await createMetricsServer(parts);
  opened.defer(() => ending.wait("metrics", server.close()));
  parts.log.info("metrics.listening", { url: await server.listen(metricsAddress) });
}

function retentionOf(config: Config): Retention {
  const { jobMs, deadLetterMs, auditMs } = config.retention;
  const artifactKeep = config.artifacts.keep;
  return { ...DEFAULT_RETENTION, jobKeepMs: jobMs, deadLetterKeepMs: deadLetterMs, auditKeepMs: auditMs, artifactKeep };
}

function coreConfigOf(config: Config): Omit<CoreConfig, "drives"> {
  const { scheduling, retention } = config;
  const defaults = DEFAULT_JOB_SETTINGS;
  return {
    scheduling: { routing: { ...OPEN_ROUTING, isOpen: scheduling.isRoutingOpen }, timeouts: NO_TIMEOUTS },
    retention: retentionOf(config),
    settings: {
      ...defaults,
      approvalTtlMs: scheduling.approvalTtlMs,
      backlogMaxMs: scheduling.backlogMaxMs,
      stopGraceMs: scheduling.stopGraceMs,
      workersSnapshotMs: scheduling.workersSnapshotMs,
      contextKeepMs: retention.payloadMs,
      resultKeepMs: retention.payloadMs,
      upkeepMs: Math.min(defaults.upkeepMs, retention.payloadMs / 2),
      relistMs: Math.min(defaults.relistMs, retention.jobMs / 2),
      allowsSelfApproval: config.auth.allowsSelfApproval,
      schemaEnforcement: config.policy.schemaEnforcement,
      submitRates: config.limits.submitRates,
    },
  };
}

function gatewaySettingsOf(config: Config, origins: OriginRules): GatewaySettings {
  const { limits, streams } = config;
  const { tenantRate } = limits;
  const { max, ofKeyMax, waitingMax, pingMs, pongMs } = streams;
  const { held } = DEFAULT_GATEWAY_SETTINGS;
  return {
    ...DEFAULT_GATEWAY_SETTINGS,
    origins,
    operatorTenant: config.auth.tenant,
    bodyBytesMax: limits.bodyBytesMax,
    artifacts: config.artifacts,
    rateLimit: { rps: limits.ratePerSecond, burst: limits.rateBurst },
    tenantRateLimit: { rps: tenantRate?.perSecond ?? 0, burst: tenantRate?.burst ?? 0 },
    publicRateLimit: { rps: limits.publicRatePerSecond, burst: limits.publicRateBurst },
    trustedProxies: limits.trustedProxies,
    exposesMetrics: config.http.metricsAddress === "off",
    held: { ...held, limits: { ...held.limits, stream: { max, ofKeyMax } } },
    streams: { waitingMax },
    sockets: { pingMs, pongMs },
  };
}

function openJudge(opened: AsyncDisposableStack, parts: { readonly clock: Clock; readonly log: Log }): AjvJudge {
  const judge = new AjvJudge(parts);
  opened.defer(() => judge.close());
  return judge;
}

const LEAVE_MS = 2_000;

async function followPolicy(
  config: Config,
  policy: PolicySource,
  parts: { readonly clock: Clock; readonly log: Log },
  signal: AbortSignal,
): Promise<void> {
  const { path, reloadIntervalMs } = config.policy;
  if (path === undefined)
    return parts.log.warn("policy.none", {
      effect: "jobs wait until a policy is loaded",
      setting: "SAFETY_POLICY_PATH",
    });
  const use = (text: string): readonly string[] => {
    const replaced = policy.replace(text);
    if (replaced.kind === "refused") return replaced.fault.fields.map(({ field, reason }) => `${field}: ${reason}`);
    if (replaced.kind === "unloaded") return [];
    for (const warning of replaced.warnings)
      parts.log.warn("policy.warning", { path, warning: JSON.stringify(warning) });
    parts.log.info("policy.loaded", { path, snapshot: replaced.snapshot });
    return [];
  };
  await followFile({ setting: "SAFETY_POLICY_PATH", path, intervalMs: reloadIntervalMs, use }, parts, signal);
}

async function followScheduling(
  config: Config,
  core: Core,
  parts: { readonly clock: Clock; readonly log: Log },
  signal: AbortSignal,
): Promise<void> {
  const { poolsPath, timeoutsPath, reloadIntervalMs, isRoutingOpen } = config.scheduling;
  const change = (next: Partial<SchedulingConfig>): readonly string[] => {
    core.useScheduling({ ...core.parts.scheduling.current, ...next });
    return [];
  };
  if (poolsPath !== undefined) {
    const use = (text: string): readonly string[] => {
      const parsed = parsePools(text, isRoutingOpen);
      return parsed.kind === "invalid" ? parsed.faults : change({ routing: parsed.value });
    };
    await followFile(
      { setting: "POOL_CONFIG_PATH", path: poolsPath, intervalMs: reloadIntervalMs, use },
      parts,
      signal,
    );
  }
  if (timeoutsPath !== undefined) {
    const use = (text: string): readonly string[] => {
      const parsed = parseTimeouts(text);
      return parsed.kind === "invalid" ? parsed.faults : change({ timeouts: parsed.value });
    };
    await followFile(
      { setting: "TIMEOUT_CONFIG_PATH", path: timeoutsPath, intervalMs: reloadIntervalMs, use },
      parts,
      signal,
    );
  }
}
