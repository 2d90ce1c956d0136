// The configuration of a process: from environment variables to one typed value.
// Owns:          reading all settings at once, what they mean together, how faults are told.
// Must not know: where the variables come from (adapters/system/environment.ts); the contents of the files that are named.
// C1. All faults are reported together. C2. Nothing falls back: a value that does not fit stops the start, a security switch above all.
// C3. An empty value is an unset one. C4. Secrets are never shown, not even wrong ones.

import type { ArtifactSettings } from "../artifacts/use-artifacts.ts";
import type { SchemaEnforcement } from "../jobs/job-parts.ts";
import type { SubmitRates } from "../jobs/submit-rate.ts";
import type { Ms } from "../ports/time.ts";
import { type UnknownName, unknownNames } from "./configuration-names.ts";
import { type ConfigProblem, type Environment, Reader } from "./configuration-reader.ts";
import { SETTINGS, type Setting } from "./configuration-settings.ts";
import { readStreams, type StreamsConfig } from "./configuration-streams.ts";
import { readSubmitRates } from "./configuration-submit-rates.ts";
import type { Address } from "./configuration-values.ts";
import { ALL_ROLES, type Role } from "./roles.ts";

export type { ConfigProblem } from "./configuration-reader.ts";
export type { Address } from "./configuration-values.ts";

export interface Config {
  readonly http: {
    readonly address: Address;
    readonly metricsAddress: Address | "off";
    /** Undefined: origins on the same host. `*` alone: all. */
    readonly allowedOrigins: readonly string[] | undefined;
  };
  readonly auth: {
    readonly tenant: string;
    /** CORDUM_API_KEYS as it was written. */
    readonly apiKeys: string | undefined;
    readonly apiKeysPath: string | undefined;
    /** The first of the three names for one key, without quotes around it. */
    readonly apiKey: string | undefined;
    readonly allowsNoAuth: boolean;
    readonly managedKeysOnly: boolean;
    readonly allowsSelfApproval: boolean;
  };
  readonly policy: {
    readonly path: string | undefined;
    readonly reloadIntervalMs: Ms;
    readonly schemaEnforcement: SchemaEnforcement;
  };
  readonly scheduling: {
    readonly poolsPath: string | undefined;
    readonly timeoutsPath: string | undefined;
    readonly reloadIntervalMs: Ms;
    readonly isRoutingOpen: boolean;
    readonly approvalTtlMs: Ms;
    readonly backlogMaxMs: Ms;
    readonly stopGraceMs: Ms;
    readonly workersSnapshotMs: Ms;
    readonly drainTimeoutMs: Ms;
  };
  readonly state: StateConfig;
  readonly bus: BusConfig;
  readonly signing: SigningConfig;
  readonly retention: { readonly jobMs: Ms; readonly payloadMs: Ms; readonly deadLetterMs: Ms; readonly auditMs: Ms };
  readonly artifacts: ArtifactSettings;
  readonly log: { readonly format: "json" | "text"; readonly level: "debug" | "info" | "warn" | "error" };
  readonly limits: {
    readonly ratePerSecond: number;
    readonly rateBurst: number;
    /** Undefined: none. */
    readonly tenantRate: { readonly perSecond: number; readonly burst: number } | undefined;
    readonly submitRates: SubmitRates;
    readonly publicRatePerSecond: number;
    readonly publicRateBurst: number;
    readonly trustedProxies: readonly string[];
    readonly bodyBytesMax: number;
  };
  readonly streams: StreamsConfig;
}

export type StateConfig =
  | { readonly kind: "memory"; readonly partitions: number }
  | { readonly kind: "sqlite"; readonly partitions: number; readonly folder: string }
  | {
      readonly kind: "redis";
      /** undefined: as many as the store has, or as suit a new one. */
      readonly partitions: number | undefined;
      readonly url: string;
      /** Empty: no cluster. */
      readonly clusterAddresses: readonly Address[];
      readonly tls: FileTls | undefined;
    };
/** TLS towards a server, by files. */
export interface FileTls {
  readonly caPath: string | undefined;
  readonly certPath: string | undefined;
  readonly keyPath: string | undefined;
  readonly serverName: string | undefined;
  readonly acceptsAnyCertificate: boolean;
}

export type BusConfig =
  | { readonly kind: "in_process" }
  | {
      readonly kind: "nats";
      readonly url: string;
      readonly usesJetStream: boolean;
      readonly adoptsStreams: boolean;
      readonly stream: {
        readonly ackWaitMs: Ms | undefined;
        readonly ageMaxMs: Ms | undefined;
        readonly replicas: number | undefined;
        readonly ackPendingMax: number | undefined;
      };
      readonly credentials: {
        readonly username: string | undefined;
        readonly password: string | undefined;
        readonly token: string | undefined;
        readonly nkeySeed: string | undefined;
      };
      readonly tls: FileTls | undefined;
    };

export interface SigningConfig {
  readonly keyPath: string | undefined;
  readonly verify: "off" | "warn" | "if_present" | "require";
  /** Given unless `verify` is off. */
  readonly trustedPath: string | undefined;
  readonly reloadIntervalMs: Ms;
}

export type ParsedConfiguration =
  | { readonly kind: "valid"; readonly config: Config; readonly warnings: readonly UnknownName[] }
  | {
      readonly kind: "invalid";
      readonly problems: readonly ConfigProblem[];
      readonly warnings: readonly UnknownName[];
    };

/** Reads all settings; `roles` say which of them must be there. Names that begin with CORDUM_ and are no setting become warnings.
 *  Throws nothing. */
export function parseConfiguration(env: Environment, roles: ReadonlySet<Role> = ALL_ROLES): ParsedConfiguration {
  const reader = new Reader(env);
  const config = readConfig(reader, roles);
  const warnings = unknownNames(Object.keys(env));
  if (reader.problems.length > 0) return { kind: "invalid", problems: reader.problems, warnings };
  return { kind: "valid", config, warnings };
}

/** All problems as one text for a person, one line each. */
export function describeProblems(problems: readonly ConfigProblem[]): string {
  const width = Math.max(...problems.map((problem) => problem.name.length));
  const lines = problems.map(({ name, expected, got }) => `  ${name.padEnd(width)}  expected ${expected}, got ${got}`);
  return [
    `invalid configuration, ${problems.length} ${problems.length === 1 ? "problem" : "problems"}:`,
    ...lines,
  ].join("\n");
}

function readConfig(reader: Reader, roles: ReadonlySet<Role>): Config {
  const servesApi = roles.has("gateway");
  return {
    http: readHttp(reader, servesApi),
    auth: readAuth(reader, servesApi),
    policy: {
      path: reader.read(SETTINGS.Policy.policyPath),
      reloadIntervalMs: reader.read(SETTINGS.Policy.policyReloadMs),
      schemaEnforcement: reader.read(SETTINGS.Policy.schemaEnforcement),
    },
    scheduling: readScheduling(reader),
    state: readState(reader),
    bus: readBus(reader),
    signing: readSigning(reader),
    retention: readRetention(reader),
    artifacts: readArtifacts(reader),
    log: { format: reader.read(SETTINGS.Logs.logFormat), level: reader.read(SETTINGS.Logs.logLevel) },
    limits: readLimits(reader),
    streams: readStreams(reader),
  };
}

function readLimits(reader: Reader): Config["limits"] {
  const settings = SETTINGS.Limits;
  const perSecond = reader.read(settings.tenantRatePerSecond);
  const burst = reader.read(settings.tenantRateBurst);
  return {
    ratePerSecond: reader.read(settings.ratePerSecond),
    rateBurst: reader.read(settings.rateBurst),
    tenantRate: perSecond === undefined ? undefined : { perSecond, burst: burst ?? perSecond * 2 },
    submitRates: readSubmitRates(reader),
    publicRatePerSecond: reader.read(settings.publicRatePerSecond),
    publicRateBurst: reader.read(settings.publicRateBurst),
    trustedProxies: reader.read(settings.trustedProxies) ?? [],
    bodyBytesMax: reader.read(settings.bodyBytesMax),
  };
}

function readArtifacts(reader: Reader): ArtifactSettings {
  const { artifactShortMs, artifactStandardMs, artifactAuditMs } = SETTINGS.Retention;
  return {
    bytesMax: reader.read(SETTINGS.Limits.artifactBytesMax),
    keep: {
      short: reader.read(artifactShortMs),
      standard: reader.read(artifactStandardMs),
      audit: reader.read(artifactAuditMs),
    },
  };
}

function readHttp(reader: Reader, servesApi: boolean): Config["http"] {
  const settings = SETTINGS["HTTP gateway"];
  const origins = [settings.allowedOrigins, settings.corsAllowOrigins, settings.plainCorsAllowOrigins].map((setting) =>
    reader.read(setting),
  );
  const metrics = [settings.metricsAddress, settings.schedulerMetricsAddress].map((setting) => reader.read(setting));
  return {
    address: reader.read(settings.httpAddress),
    metricsAddress: (servesApi ? metrics[0] : metrics[1]) ?? "off",
    allowedOrigins: origins.find((list) => list !== undefined),
  };
}

function readAuth(reader: Reader, servesApi: boolean): Config["auth"] {
  const settings = SETTINGS["Keys and tenants"];
  const single = [settings.superSecretApiToken, settings.apiKey, settings.plainApiKey];
  const auth = {
    tenant: reader.read(settings.tenant),
    apiKeys: reader.read(settings.apiKeys),
    apiKeysPath: reader.read(settings.apiKeysPath),
    apiKey: single.map((setting) => unquoted(reader.read(setting) ?? "")).find((key) => key !== ""),
    allowsNoAuth: reader.read(settings.allowsNoAuth),
    managedKeysOnly: reader.read(settings.managedKeysOnly),
    allowsSelfApproval: reader.read(settings.allowsSelfApproval),
  };
  const isGiven = [settings.apiKeys, settings.apiKeysPath].some((setting) => reader.has(setting));
  const isWrong = reader.problems.some(({ name }) => single.some((setting) => setting.name === name));
  if (servesApi && !isGiven && !isWrong && auth.apiKey === undefined && !auth.allowsNoAuth && !auth.managedKeysOnly) {
    const expected = `a key (or ${settings.apiKeys.name}, or ${settings.apiKeysPath.name}; ${settings.allowsNoAuth.name}=true opens the API to everybody)`;
    reader.problems.push({ name: settings.apiKey.name, expected, got: "none" });
  }
  return auth;
}

/** Shells and env files leave quotes around keys. */
function unquoted(key: string): string {
  return key.replace(/^["']+|["']+$/g, "");
}

function readScheduling(reader: Reader): Config["scheduling"] {
  const settings = SETTINGS.Scheduling;
  return {
    poolsPath: reader.read(settings.poolsPath),
    timeoutsPath: reader.read(settings.timeoutsPath),
    reloadIntervalMs: reader.read(settings.schedulerReloadMs),
    isRoutingOpen: reader.read(settings.isRoutingOpen),
    approvalTtlMs: reader.read(settings.approvalTtlMs),
    backlogMaxMs: reader.read(settings.backlogMaxMs),
    stopGraceMs: reader.read(settings.stopGraceMs),
    workersSnapshotMs: reader.read(settings.workersSnapshotMs),
    drainTimeoutMs: reader.read(settings.drainTimeoutMs),
  };
}

/** Every setting is read, whichever engine is chosen: a wrong value does not wait for the day on which the engine changes. */
function readState(reader: Reader): StateConfig {
  const settings = SETTINGS.State;
  const kind = reader.read(settings.stateKind);
  const asked = reader.read(settings.partitions);
  const folder = reader.read(settings.folder);
  const url = reader.read(settings.redisUrl);
  const clusterAddresses = reader.read(settings.redisClusterAddresses) ?? [];
  const {
    redisTlsCa: ca,
    redisTlsCert: cert,
    redisTlsKey: key,
    redisTlsServerName: serverName,
    redisTlsInsecure: insecure,
  } = settings;
  const tls = readTls(reader, { ca, cert, key, serverName, insecure }, url.startsWith("rediss:"));
  if (kind === "redis") return { kind, partitions: asked, url, clusterAddresses, tls };
  const partitions = asked ?? 1;
  return kind === "sqlite" ? { kind, partitions, folder } : { kind, partitions };
}

interface TlsSettings {
  readonly ca: Setting<string | undefined>;
  readonly cert: Setting<string | undefined>;
  readonly key: Setting<string | undefined>;
  readonly serverName: Setting<string | undefined>;
  readonly insecure: Setting<boolean>;
}

function readTls(reader: Reader, settings: TlsSettings, isAskedFor: boolean): FileTls | undefined {
  const { cert, key } = settings;
  if (reader.has(cert) !== reader.has(key)) {
    const [missing, present] = reader.has(cert) ? [key, cert] : [cert, key];
    reader.problems.push({ name: missing.name, expected: `a path, because ${present.name} is set`, got: "none" });
  }
  const tls = {
    caPath: reader.read(settings.ca),
    certPath: reader.read(cert),
    keyPath: reader.read(key),
    serverName: reader.read(settings.serverName),
    acceptsAnyCertificate: reader.read(settings.insecure),
  };
  const isOn =
    tls.acceptsAnyCertificate || [tls.caPath, tls.certPath, tls.serverName].some((given) => given !== undefined);
  return isOn || isAskedFor ? tls : undefined;
}

function readBus(reader: Reader): BusConfig {
  const settings = SETTINGS.Bus;
  const url = reader.read(settings.natsUrl);
  const usesJetStream = reader.read(settings.usesJetStream);
  const tls = readTls(
    reader,
    {
      ca: settings.natsTlsCa,
      cert: settings.natsTlsCert,
      key: settings.natsTlsKey,
      serverName: settings.natsTlsServerName,
      insecure: settings.natsTlsInsecure,
    },
    false,
  );
  const nats = {
    kind: "nats",
    usesJetStream,
    adoptsStreams: reader.read(settings.adoptsStreams),
    stream: {
      ackWaitMs: reader.read(settings.natsAckWaitMs),
      ageMaxMs: reader.read(settings.natsAgeMaxMs),
      replicas: reader.read(settings.natsReplicas),
      ackPendingMax: reader.read(settings.natsAckPendingMax),
    },
    credentials: {
      username: reader.read(settings.natsUsername),
      password: reader.read(settings.natsPassword),
      token: reader.read(settings.natsToken),
      nkeySeed: reader.read(settings.natsNkey),
    },
    tls,
  } as const;
  if (url === undefined && usesJetStream) {
    reader.problems.push({
      name: settings.natsUrl.name,
      expected: `a URL, because ${settings.usesJetStream.name} is set`,
      got: "none",
    });
  }
  return url === undefined ? { kind: "in_process" } : { ...nats, url };
}

/** What is to be judged needs something to judge by; what comes back from the control plane itself has to be signed too. */
function readSigning(reader: Reader): SigningConfig {
  const settings = SETTINGS.Signatures;
  const verify = reader.read(settings.verifySignatures);
  const needed = [
    ...(verify === "off" ? [] : [settings.verifyKeysPath]),
    ...(verify === "require" ? [settings.signingKeyPath] : []),
  ];
  for (const { name } of needed.filter((setting) => !reader.has(setting)))
    reader.problems.push({
      name,
      expected: `a path, because ${settings.verifySignatures.name} is ${verify}`,
      got: "none",
    });
  return {
    keyPath: reader.read(settings.signingKeyPath),
    verify,
    trustedPath: reader.read(settings.verifyKeysPath),
    reloadIntervalMs: reader.read(settings.keysReloadMs),
  };
}

function readRetention(reader: Reader): Config["retention"] {
  const settings = SETTINGS.Retention;
  return {
    jobMs: longerForm(reader, settings.jobMetaMs, settings.jobMetaSeconds),
    payloadMs: longerForm(reader, settings.payloadMs, settings.payloadSeconds),
    deadLetterMs: reader.read(settings.deadLetterMs),
    auditMs: reader.read(settings.auditMs),
  };
}

/** The duration when it is given, else the seconds, else the default. */
function longerForm(reader: Reader, duration: Setting<Ms>, seconds: Setting<Ms | undefined>): Ms {
  const [durationMs, secondsMs] = [reader.read(duration), reader.read(seconds)];
  return reader.has(duration) ? durationMs : (secondsMs ?? durationMs);
}
