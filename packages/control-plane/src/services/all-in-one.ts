// Everything in one process: gateway, scheduler and policy on one store and the bus of the process.
// Owns:          building the parts from general to specific, and ending them in the opposite order.
// Must not know: how any part works.

import { inProcessBus } from "../adapters/inprocess/bus.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { createGateway, createMetricsServer, type Gateway } from "../gateway/gateway.ts";
import type { OriginRules } from "../gateway/origins.ts";
import { DEFAULT_GATEWAY_SETTINGS, type GatewayParts, type GatewaySettings } from "../gateway/parts.ts";
import { DEFAULT_JOB_SETTINGS, type SchedulingConfig } from "../jobs/job-parts.ts";
import type { JobRetention } from "../jobs/job-store.ts";
import { PolicySource } from "../policy/policy-source.ts";
import type { Bus } from "../ports/bus.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/telemetry.ts";
import { NO_TIMEOUTS, OPEN_ROUTING, parsePools, parseTimeouts } from "../scheduling/routing.ts";
import { createMeter } from "../telemetry/meter.ts";
import { BUILD } from "./build.ts";
import type { Config } from "./configuration.ts";
import { type Core, type CoreConfig, composeCore, stateLayout } from "./core.ts";
import { followFile } from "./followed-file.ts";
import { openAuth, openOrigins } from "./gateway-settings.ts";
import { type InProcessConnection, inProcessConnection } from "./in-process-connection.ts";
import { openStores, type Stores } from "./open-stores.ts";

export interface AllInOneOptions {
  readonly config: Config;
  readonly log: Log;
}

export interface Running {
  /** http://host:port of the API. */
  readonly url: string;
  /** For workers in this process. */
  connection(): InProcessConnection;
  /** Puts another policy in force; rejects with POLICY_INVALID and leaves the old one. An empty text takes the policy away. */
  replacePolicy(text: string): Promise<void>;
  /** No new work, finish what is in hand, close. A second call waits for the first. */
  drain(): Promise<void>;
}

/** Rejects with a sentence for the operator when something that is configured cannot be used; nothing is left open then. */
export async function startAllInOne(options: AllInOneOptions): Promise<Running> {
  const { config, log } = options;
  const clock = systemClock();
  const stopping = new AbortController();
  const policy = new PolicySource();
  const auth = await openAuth(config);
  const origins = openOrigins(config);
  await followPolicy(config, policy, { clock, log }, stopping.signal);
  const stores = await openStores(config.state, { layout: stateLayout(retentionOf(config)), clock, log });
  try {
    if (stores.state.traits.shared) await clock.followStore(stores.state, log, stopping.signal);
    const meter = createMeter();
    const bus = inProcessBus({ clock, log });
    const core = composeCore({ ...stores, bus, clock, log, meter, policy }, coreConfigOf(config));
    await followScheduling(config, core, { clock, log }, stopping.signal);
    const gatewayParts: GatewayParts = {
      jobParts: core.parts,
      auth,
      log,
      meter,
      settings: gatewaySettingsOf(config, origins),
      build: BUILD,
      probes: { bus: () => bus.status(), storeNow: (signal) => stores.state.now(signal) },
    };
    const gateway = await createGateway(gatewayParts);
    await core.start();
    const url = await gateway.listen(config.http.address);
    const metrics = await listenForMetrics(config, gatewayParts);
    const parts: Started = { config, clock, stopping, stores, bus, core, gateways: [gateway, ...metrics] };
    let ending: Promise<void> | undefined;
    return {
      url,
      connection: () => inProcessConnection({ bus, payloads: stores.payloads, clock }),
      async replacePolicy(text) {
        const replaced = policy.replace(text);
        if (replaced.kind === "refused") throw replaced.fault;
      },
      drain() {
        ending ??= end(parts);
        return ending;
      },
    };
  } catch (error) {
    stopping.abort();
    await closeQuietly(stores, log);
    throw error;
  }
}

interface Started {
  readonly config: Config;
  readonly clock: Clock;
  readonly stopping: AbortController;
  readonly stores: Stores;
  readonly bus: Bus;
  readonly core: Core;
  readonly gateways: readonly [Gateway, ...Gateway[]];
}

/** No new work; finish what is in hand; flush; close the store last, because all of the above write. */
async function end({ config, clock, stopping, stores, bus, core, gateways }: Started): Promise<void> {
  const deadline = clock.deadline(NEVER, config.scheduling.drainTimeoutMs);
  await gateways[0].stopAccepting(deadline);
  await core.settle(deadline);
  await bus.drain(deadline);
  for (const gateway of gateways) await gateway.close();
  stopping.abort();
  await stores.close();
}

/** Metrics have a listener of their own, which only operators reach, or none: then they are on the API's. */
async function listenForMetrics(config: Config, parts: GatewayParts): Promise<readonly Gateway[]> {
  const { metricsAddress } = config.http;
  if (metricsAddress === "off") return [];
  const server = await createMetricsServer(parts);
  parts.log.info("metrics.listening", { url: await server.listen(metricsAddress) });
  return [server];
}

function retentionOf(config: Config): JobRetention {
  return { jobKeepMs: config.retention.jobMs, deadLetterKeepMs: config.retention.deadLetterMs };
}

function coreConfigOf(config: Config): CoreConfig {
  const { scheduling, retention } = config;
  const defaults = DEFAULT_JOB_SETTINGS;
  return {
    scheduling: { routing: { ...OPEN_ROUTING, isOpen: scheduling.isRoutingOpen }, timeouts: NO_TIMEOUTS },
    retention: retentionOf(config),
    settings: {
      ...defaults,
      approvalTtlMs: scheduling.approvalTtlMs,
      backlogMaxMs: scheduling.backlogMaxMs,
      contextKeepMs: retention.payloadMs,
      resultKeepMs: retention.payloadMs,
      upkeepMs: Math.min(defaults.upkeepMs, retention.payloadMs / 2),
      relistMs: Math.min(defaults.relistMs, retention.jobMs / 2),
      allowsSelfApproval: config.auth.allowsSelfApproval,
    },
  };
}

function gatewaySettingsOf(config: Config, origins: OriginRules): GatewaySettings {
  return {
    ...DEFAULT_GATEWAY_SETTINGS,
    origins,
    bodyBytesMax: config.limits.bodyBytesMax,
    rateLimit: { rps: config.limits.ratePerSecond, burst: config.limits.rateBurst },
    exposesMetrics: config.http.metricsAddress === "off",
  };
}

const NEVER = new AbortController().signal;

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

async function closeQuietly(stores: Stores, log: Log): Promise<void> {
  try {
    await stores.close();
  } catch (error) {
    log.error("stores.not_closed", error);
  }
}
