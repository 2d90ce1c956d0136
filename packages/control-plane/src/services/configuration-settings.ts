// The table of all settings.
// Owns:          names, defaults, one sentence about each. The reference page is printed from here.
// Must not know: where the values come from, how they are grouped for the program (configuration.ts).
// T1. Names and defaults are an interface to operators: a name is added, never given another meaning.
// T2. A default is written as an operator would write it and read by the same kind as a given value.

import { assert } from "../ports/fault.ts";
import { PARTITIONS_MAX } from "../ports/partition.ts";
import {
  address,
  addresses,
  addressOrOff,
  duration,
  flag,
  integer,
  keyList,
  name,
  natsUrl,
  networks,
  oneOf,
  origins,
  path,
  redisUrl,
  tenantRates,
  text,
  type ValueKind,
  wholeUnits,
} from "./configuration-values.ts";

export interface Setting<T> {
  readonly name: string;
  readonly expected: string;
  /** As an operator would write it; undefined: not set. */
  readonly byDefault: string | undefined;
  /** The value when nothing is given. */
  readonly otherwise: T;
  readonly says: string;
  /** Never shown, not even when it is wrong. */
  readonly isSecret: boolean;
  parse(text: string): T | undefined;
}

const DAY_MS = 86_400_000;
const interval = duration({ min: "100ms", max: "24h" });
const retention = duration({ min: "1s", max: "87600h" });
const retentionSeconds = wholeUnits({ called: "seconds", ms: 1_000, max: 315_360_000 });
const perSecond = integer({ min: 1, max: 1_000_000 });
const bodyBytes = integer({ min: 1_024, max: 67_108_864 });
const corsSays = "Origins that browsers may call from. The first of the three CORS names that is set counts.";
const keySays = "One key with role admin. The first of the three names that is set counts, in the order of this table.";

/** In the order of the reference page. The keys of the groups are its headings. */
export const SETTINGS = {
  "HTTP gateway": {
    httpAddress: preset("GATEWAY_HTTP_ADDR", address, ":8081", "Where the REST API listens."),
    metricsAddress: preset("GATEWAY_METRICS_ADDR", addressOrOff, ":9092", "Where `/metrics` listens, without a key."),
    schedulerMetricsAddress: preset(
      "SCHEDULER_METRICS_ADDR",
      addressOrOff,
      ":9090",
      "The same for a scheduler without a gateway; its health pages are there too.",
    ),
    allowedOrigins: optional("CORDUM_ALLOWED_ORIGINS", origins, corsSays),
    corsAllowOrigins: optional("CORDUM_CORS_ALLOW_ORIGINS", origins, "See `CORDUM_ALLOWED_ORIGINS`."),
    plainCorsAllowOrigins: optional("CORS_ALLOW_ORIGINS", origins, "See `CORDUM_ALLOWED_ORIGINS`."),
  },
  "Keys and tenants": {
    tenant: preset("TENANT_ID", name, "default", "Tenant of keys that name none."),
    apiKeys: optional("CORDUM_API_KEYS", secret(keyList), "Keys with tenant, role and principal."),
    apiKeysPath: optional("CORDUM_API_KEYS_PATH", path, "File with keys in the same forms."),
    superSecretApiToken: optional("CORDUM_SUPER_SECRET_API_TOKEN", secret(text), keySays),
    apiKey: optional("CORDUM_API_KEY", secret(text), "See `CORDUM_SUPER_SECRET_API_TOKEN`."),
    plainApiKey: optional("API_KEY", secret(text), "See `CORDUM_SUPER_SECRET_API_TOKEN`."),
    allowsNoAuth: preset(
      "CORDUM_ALLOW_INSECURE_NO_AUTH",
      flag,
      "false",
      "Start without any key: everybody who reaches the port is an admin.",
    ),
    managedKeysOnly: preset(
      "CORDUM_MANAGED_KEYS_ONLY",
      flag,
      "false",
      "Start without a configured key: the keys that were made through the API are enough.",
    ),
    allowsSelfApproval: preset("CORDUM_ALLOW_SELF_APPROVAL", flag, "false", "Let a principal approve its own jobs."),
  },
  Limits: {
    ratePerSecond: preset(
      "API_RATE_LIMIT_RPS",
      integer({ min: 1, max: 1_000_000 }),
      "50",
      "Requests per second and key in the long run.",
    ),
    rateBurst: preset(
      "API_RATE_LIMIT_BURST",
      integer({ min: 1, max: 1_000_000 }),
      "100",
      "Requests that a key may send at once.",
    ),
    tenantRatePerSecond: optional(
      "API_TENANT_RATE_LIMIT_RPS",
      perSecond,
      "The same for all keys of a tenant together.",
    ),
    tenantRateBurst: optional("API_TENANT_RATE_LIMIT_BURST", perSecond, "Requests at once; twice the rate if not set."),
    submitRatePerSecond: optional(
      "API_TENANT_SUBMIT_RATE",
      perSecond,
      "Jobs that a tenant may submit per second in the long run, through all gateways and over the bus together; each job of a batch counts.",
    ),
    submitRateBurst: optional("API_TENANT_SUBMIT_BURST", perSecond, "Jobs at once; twice the rate if not set."),
    submitRates: optional(
      "API_TENANT_SUBMIT_RATES",
      tenantRates,
      "Rates of single tenants instead. The second number is how many at once; twice the rate if not given. A rate of 0 is no limit.",
    ),
    publicRatePerSecond: preset(
      "API_PUBLIC_RATE_LIMIT_RPS",
      perSecond,
      "20",
      "The same for an address: requests that need no key, and keys that are refused.",
    ),
    publicRateBurst: preset(
      "API_PUBLIC_RATE_LIMIT_BURST",
      perSecond,
      "40",
      "Requests that an address may send at once.",
    ),
    trustedProxies: optional(
      "CORDUM_TRUSTED_PROXIES",
      networks,
      "Proxies before the gateway, whose `X-Forwarded-For` says where a request comes from. Otherwise all behind a proxy count as one address.",
    ),
    bodyBytesMax: preset("GATEWAY_MAX_JSON_BODY_BYTES", bodyBytes, "2097152", "Largest request body."),
    artifactBytesMax: preset(
      "ARTIFACT_MAX_BYTES",
      bodyBytes,
      "10485760",
      "Largest artifact, whatever form it is uploaded in.",
    ),
    streamsMax: preset(
      "GATEWAY_STREAMS_MAX",
      integer({ min: 1, max: 100_000 }),
      "2000",
      "Streams that a process holds at once: server-sent events, and WebSockets of packets.",
    ),
    streamsOfKeyMax: preset(
      "GATEWAY_STREAMS_PER_KEY_MAX",
      integer({ min: 1, max: 100_000 }),
      "100",
      "Of these, how many one key may hold.",
    ),
    streamWaitingMax: preset(
      "CORDUM_WS_CLIENT_BUFFER_SIZE",
      integer({ min: 1, max: 10_000 }),
      "256",
      "What may wait for one reader of a stream. Events are taken from the store instead when more would; a WebSocket is closed.",
    ),
    pingMs: preset("GATEWAY_WS_PING_INTERVAL", interval, "30s", "After how long a silent WebSocket is asked."),
    pongMs: preset("GATEWAY_WS_PONG_TIMEOUT", interval, "10s", "How long it has to answer."),
  },
  Policy: {
    policyPath: optional("SAFETY_POLICY_PATH", path, "Policy file. Without a policy every job waits."),
    policyReloadMs: preset("SAFETY_POLICY_RELOAD_INTERVAL", interval, "30s", "How often the policy file is looked at."),
    schemaEnforcement: preset(
      "SCHEMA_ENFORCEMENT",
      oneOf("enforce", "warn", "off"),
      "enforce",
      "What comes of a payload that does not keep to a schema which its topic names: refused, noted in the log, or not checked.",
    ),
  },
  Scheduling: {
    poolsPath: optional("POOL_CONFIG_PATH", path, "File that maps topics to pools."),
    timeoutsPath: optional("TIMEOUT_CONFIG_PATH", path, "File with timeouts and retries by topic."),
    schedulerReloadMs: preset(
      "SCHEDULER_CONFIG_RELOAD_INTERVAL",
      interval,
      "30s",
      "How often these two files are looked at.",
    ),
    isRoutingOpen: preset(
      "CORDUM_OPEN_ROUTING",
      flag,
      "true",
      "Topics that no file maps go to any worker that serves them; otherwise such jobs fail.",
    ),
    approvalTtlMs: preset(
      "CORDUM_APPROVAL_TTL",
      retention,
      "720h",
      "How long a job waits for a person before it ends as TIMEOUT.",
    ),
    backlogMaxMs: preset(
      "CORDUM_BACKLOG_MAX_WAIT",
      retention,
      "24h",
      "How long a job waits for a worker before it fails.",
    ),
    stopGraceMs: preset(
      "CORDUM_STOP_GRACE",
      duration({ min: "5s", max: "1h" }),
      "30s",
      "How long a worker has to say what became of a job that was cancelled or ended under its hands, before its outcome counts as unknown.",
    ),
    workersSnapshotMs: preset(
      "WORKER_SNAPSHOT_INTERVAL",
      duration({ min: "1s", max: "1h" }),
      "5s",
      "How often `sys:workers:snapshot` in Redis is written, for programs that watch workers there and for processes that start.",
    ),
    drainTimeoutMs: preset(
      "CORDUM_DRAIN_TIMEOUT",
      duration({ min: "0s", max: "1h" }),
      "15s",
      "How long a stopping process lets work in hand end.",
    ),
  },
  State: {
    stateKind: preset("CORDUM_STATE", oneOf("sqlite", "memory", "redis"), "sqlite", "Where jobs are kept."),
    folder: preset("CORDUM_DATA_DIR", path, ".cordum", "Folder of the SQLite files."),
    partitions: optional(
      "CORDUM_PARTITIONS",
      integer({ min: 1, max: PARTITIONS_MAX }),
      "Partitions of a new store; fixed from the first start on. A Redis Cluster 16, otherwise 1; give 16 to a single Redis that is to become a cluster.",
    ),
    redisUrl: preset("REDIS_URL", secret(redisUrl), "redis://localhost:6379", "Redis server."),
    redisClusterAddresses: optional(
      "REDIS_CLUSTER_ADDRESSES",
      addresses,
      "Nodes of a Redis Cluster; replaces the address of `REDIS_URL`.",
    ),
    redisTlsCa: optional("REDIS_TLS_CA", path, "CA file. Any `REDIS_TLS_…` setting turns TLS on."),
    redisTlsCert: optional("REDIS_TLS_CERT", path, "Client certificate; needs `REDIS_TLS_KEY`."),
    redisTlsKey: optional("REDIS_TLS_KEY", path, "Key file of the client certificate."),
    redisTlsServerName: optional("REDIS_TLS_SERVER_NAME", name, "Name that the server's certificate must carry."),
    redisTlsInsecure: preset("REDIS_TLS_INSECURE", flag, "false", "Accept any server certificate."),
  },
  Bus: {
    natsUrl: optional(
      "NATS_URL",
      secret(natsUrl),
      "NATS servers, several separated by commas. Without it messages stay in the process.",
    ),
    usesJetStream: preset("NATS_USE_JETSTREAM", flag, "false", "Let NATS keep submissions, results and dead letters."),
    adoptsStreams: preset(
      "CORDUM_NATS_ADOPT_STREAMS",
      flag,
      "false",
      "Narrow the original's wider streams in place; otherwise they stop the start.",
    ),
    natsAckWaitMs: optional(
      "NATS_JS_ACK_WAIT",
      duration({ min: "1s", max: "1h" }),
      "When a message of a dead process comes again.",
    ),
    natsAgeMaxMs: optional("NATS_JS_MAX_AGE", retention, "How long a stream keeps messages."),
    natsReplicas: optional("NATS_JS_REPLICAS", integer({ min: 1, max: 5 }), "Copies of a stream."),
    natsAckPendingMax: optional(
      "NATS_MAX_ACK_PENDING",
      integer({ min: 1, max: 50_000 }),
      "Messages under way per consumer.",
    ),
    natsUsername: optional("NATS_USERNAME", text, "User; needs `NATS_PASSWORD`."),
    natsPassword: optional("NATS_PASSWORD", secret(text), "Password of the user."),
    natsToken: optional("NATS_TOKEN", secret(text), "Token, where the servers want one."),
    natsNkey: optional("NATS_NKEY", secret(text), "Seed of a user nkey."),
    natsTlsCa: optional("NATS_TLS_CA", path, "CA file. Any `NATS_TLS_…` setting turns TLS on."),
    natsTlsCert: optional("NATS_TLS_CERT", path, "Client certificate; needs `NATS_TLS_KEY`."),
    natsTlsKey: optional("NATS_TLS_KEY", path, "Key file of the client certificate."),
    natsTlsServerName: optional("NATS_TLS_SERVER_NAME", name, "Name that the server's certificate must carry."),
    natsTlsInsecure: preset("NATS_TLS_INSECURE", flag, "false", "Accept any server certificate."),
  },
  Signatures: {
    signingKeyPath: optional(
      "CORDUM_SIGNING_KEY_PATH",
      path,
      "Private key (PEM, P-256) with which the control plane signs its packets. Without it they are not signed.",
    ),
    verifySignatures: preset(
      "CORDUM_VERIFY_SIGNATURES",
      oneOf("off", "warn", "if_present", "require"),
      "off",
      "What becomes of packets without a valid signature of a trusted sender: nothing; a warning; refused when signed; refused.",
    ),
    verifyKeysPath: optional("CORDUM_VERIFY_KEYS_PATH", path, "JSON file of trusted senders and their public keys."),
    keysReloadMs: preset("CORDUM_SIGNING_RELOAD_INTERVAL", interval, "30s", "How often these two files are looked at."),
  },
  Retention: {
    jobMetaMs: preset("JOB_META_TTL", retention, "168h", "How long finished jobs are kept."),
    jobMetaSeconds: optional("JOB_META_TTL_SECONDS", retentionSeconds, "The same in seconds; `JOB_META_TTL` wins."),
    payloadMs: preset(
      "REDIS_DATA_TTL",
      retention,
      "24h",
      "How long contexts and results are kept after their job has ended.",
    ),
    payloadSeconds: optional("REDIS_DATA_TTL_SECONDS", retentionSeconds, "The same in seconds; `REDIS_DATA_TTL` wins."),
    deadLetterMs: preset(
      "CORDUM_DLQ_ENTRY_TTL_DAYS",
      wholeUnits({ called: "days", ms: DAY_MS, max: 3_650 }),
      "30",
      "How long dead letters are kept.",
    ),
    artifactShortMs: preset("ARTIFACT_TTL_SHORT", retention, "24h", "How long artifacts of class `short` are kept."),
    artifactStandardMs: preset("ARTIFACT_TTL_STANDARD", retention, "168h", "The same for class `standard`."),
    artifactAuditMs: preset("ARTIFACT_TTL_AUDIT", retention, "720h", "The same for class `audit`."),
    auditMs: preset("CORDUM_AUDIT_RETENTION", retention, "8760h", "How long it is kept who did what."),
  },
  Logs: {
    logFormat: preset(
      "CORDUM_LOG_FORMAT",
      oneOf("json", "text"),
      "json",
      "One JSON object or one readable line per event.",
    ),
    logLevel: preset(
      "CORDUM_LOG_LEVEL",
      oneOf("debug", "info", "warn", "error"),
      "info",
      "The least important events that are written.",
    ),
  },
} as const;

/** Names that only the `cordum` command reads; a process that meets them in its environment has nothing to warn about. */
export const CLIENT_NAMES: readonly string[] = ["CORDUM_API_URL", "CORDUM_GATEWAY"];

export const ALL_SETTINGS: readonly Setting<unknown>[] = Object.values(SETTINGS).flatMap((group) =>
  Object.values(group),
);

type SecretKind<T> = ValueKind<T> & { readonly isSecret: true };

function secret<T>(kind: ValueKind<T>): SecretKind<T> {
  return { ...kind, isSecret: true };
}

function preset<T>(name: string, kind: ValueKind<T> | SecretKind<T>, byDefault: string, says: string): Setting<T> {
  const otherwise = kind.parse(byDefault);
  assert(otherwise !== undefined, "a default fits its own kind", { name, byDefault });
  return setting(kind, { name, byDefault, otherwise, says });
}

function optional<T>(name: string, kind: ValueKind<T> | SecretKind<T>, says: string): Setting<T | undefined> {
  return setting<T | undefined>(kind, { name, byDefault: undefined, otherwise: undefined, says });
}

function setting<T>(
  kind: ValueKind<T> | SecretKind<T>,
  rest: Pick<Setting<T>, "name" | "byDefault" | "otherwise" | "says">,
): Setting<T> {
  return { ...rest, expected: kind.expected, isSecret: "isSecret" in kind, parse: (text) => kind.parse(text) };
}
