import { describe, expect, it } from "vitest";
import { type Config, describeProblems, parseConfiguration } from "./configuration.ts";
import { describeUnknownName } from "./configuration-names.ts";
import { configurationPage } from "./configuration-page.ts";
import { ALL_SETTINGS } from "./configuration-settings.ts";

const KEY = { CORDUM_API_KEY: "k" };

function valid(env: Record<string, string | undefined>): Config {
  const parsed = parseConfiguration({ ...KEY, ...env });
  if (parsed.kind === "invalid") throw new Error(describeProblems(parsed.problems));
  return parsed.config;
}

function problemsOf(env: Record<string, string | undefined>): string {
  const parsed = parseConfiguration({ ...KEY, ...env });
  return parsed.kind === "invalid" ? describeProblems(parsed.problems) : "";
}

describe("configuration", () => {
  it("reads NATS from its URL on, and wants one for JetStream", () => {
    const key = { CORDUM_API_KEY: "k-0000000000" };
    const parsed = parseConfiguration({
      ...key,
      NATS_URL: "nats://a:4222, nats://b",
      NATS_USE_JETSTREAM: "y",
      NATS_JS_REPLICAS: "3",
    });
    expect(parsed).toMatchObject({
      kind: "valid",
      config: {
        bus: {
          kind: "nats",
          url: "nats://a:4222,nats://b",
          usesJetStream: true,
          adoptsStreams: false,
          stream: { replicas: 3 },
        },
      },
    });
    expect(parseConfiguration({ ...key, NATS_USE_JETSTREAM: "1" })).toMatchObject({
      problems: [{ name: "NATS_URL", got: "none" }],
    });
    expect(parseConfiguration({ ...key, NATS_URL: "http://a", NATS_TLS_CERT: "c" })).toMatchObject({
      problems: [{ name: "NATS_URL" }, { name: "NATS_TLS_KEY" }],
    });
  });

  it("has the documented defaults", () => {
    expect(valid({})).toEqual({
      http: { address: { host: "", port: 8081 }, metricsAddress: { host: "", port: 9092 }, allowedOrigins: undefined },
      auth: {
        tenant: "default",
        apiKeys: undefined,
        apiKeysPath: undefined,
        apiKey: "k",
        allowsNoAuth: false,
        managedKeysOnly: false,
        allowsSelfApproval: false,
      },
      policy: { path: undefined, reloadIntervalMs: 30_000, schemaEnforcement: "enforce" },
      scheduling: {
        poolsPath: undefined,
        timeoutsPath: undefined,
        reloadIntervalMs: 30_000,
        isRoutingOpen: true,
        approvalTtlMs: 30 * 86_400_000,
        backlogMaxMs: 86_400_000,
        stopGraceMs: 30_000,
        workersSnapshotMs: 5_000,
        drainTimeoutMs: 15_000,
      },
      state: { kind: "sqlite", partitions: 1, folder: ".cordum" },
      bus: { kind: "in_process" },
      signing: { keyPath: undefined, verify: "off", trustedPath: undefined, reloadIntervalMs: 30_000 },
      retention: {
        jobMs: 7 * 86_400_000,
        payloadMs: 86_400_000,
        deadLetterMs: 30 * 86_400_000,
        auditMs: 365 * 86_400_000,
      },
      artifacts: {
        bytesMax: 10_485_760,
        keep: { short: 86_400_000, standard: 7 * 86_400_000, audit: 30 * 86_400_000 },
      },
      log: { format: "json", level: "info" },
      streams: { max: 2_000, ofKeyMax: 100, waitingMax: 256, pingMs: 30_000, pongMs: 10_000 },
      limits: {
        ratePerSecond: 50,
        rateBurst: 100,
        tenantRate: undefined,
        submitRates: { preset: { perSecond: 0, burst: 0 }, ofTenant: new Map() },
        publicRatePerSecond: 20,
        publicRateBurst: 40,
        trustedProxies: [],
        bodyBytesMax: 2_097_152,
      },
    });
  });

  it("needs a key, unless it is told that those in State are enough, or that nobody needs one", () => {
    const bare = (env: Record<string, string>) => parseConfiguration({ GATEWAY_HTTP_ADDR: ":0", ...env }).kind;
    expect([
      bare({}),
      bare({ CORDUM_MANAGED_KEYS_ONLY: "true" }),
      bare({ CORDUM_ALLOW_INSECURE_NO_AUTH: "1" }),
    ]).toEqual(["invalid", "valid", "valid"]);
  });

  it("reads limits per tenant and per address, trusted proxies, and how long the audit is kept", () => {
    const { limits, retention } = valid({
      API_TENANT_RATE_LIMIT_RPS: "500",
      API_TENANT_SUBMIT_RATE: "20",
      API_TENANT_SUBMIT_RATES: "acme=200/1000, beta=5,free=0",
      API_PUBLIC_RATE_LIMIT_RPS: "5",
      CORDUM_TRUSTED_PROXIES: "10.0.0.0/8",
      CORDUM_AUDIT_RETENTION: "720h",
    });
    expect(limits).toMatchObject({
      tenantRate: { perSecond: 500, burst: 1_000 },
      submitRates: {
        preset: { perSecond: 20, burst: 40 },
        ofTenant: new Map([
          ["acme", { perSecond: 200, burst: 1_000 }],
          ["beta", { perSecond: 5, burst: 10 }],
          ["free", { perSecond: 0, burst: 1 }],
        ]),
      },
      publicRatePerSecond: 5,
      trustedProxies: ["10.0.0.0/8"],
    });
    expect(retention.auditMs).toBe(30 * 86_400_000);
  });

  it("reports all faults at once, each with what was expected and what was found", () => {
    const text = problemsOf({
      GATEWAY_HTTP_ADDR: "8081",
      API_RATE_LIMIT_RPS: "fast",
      CORDUM_ALLOW_SELF_APPROVAL: "maybe",
    });
    expect(text).toBe(
      [
        "invalid configuration, 3 problems:",
        '  GATEWAY_HTTP_ADDR           expected host:port or :port with a port from 0 to 65535, e.g. :8081 or 127.0.0.1:8081, got "8081"',
        '  CORDUM_ALLOW_SELF_APPROVAL  expected 1, true, yes, y or on; or 0, false, no, n or off, got "maybe"',
        '  API_RATE_LIMIT_RPS          expected an integer from 1 to 1000000, got "fast"',
      ].join("\n"),
    );
  });

  it("takes no more partitions than every store can have", () => {
    expect(problemsOf({ CORDUM_PARTITIONS: "1025" })).toContain(
      "CORDUM_PARTITIONS  expected an integer from 1 to 1024",
    );
    expect(parseConfiguration({ CORDUM_PARTITIONS: "1024", CORDUM_API_KEY: "k" }).kind).toBe("valid");
  });

  it("refuses to start without any key, unless told to be open", () => {
    const parsed = parseConfiguration({});
    expect(parsed.kind === "invalid" && parsed.problems.map((problem) => problem.name)).toEqual(["CORDUM_API_KEY"]);
    expect(parseConfiguration({ CORDUM_ALLOW_INSECURE_NO_AUTH: "yes" }).kind).toBe("valid");
    expect(parseConfiguration({ CORDUM_API_KEY: "''" }).kind).toBe("invalid");
  });

  it("wants no key for a process without an API, which has an address of its own for metrics", () => {
    const parsed = parseConfiguration({ GATEWAY_METRICS_ADDR: "off" }, new Set(["scheduler"]));
    expect(parsed).toMatchObject({ kind: "valid", config: { http: { metricsAddress: { host: "", port: 9090 } } } });
    expect(parseConfiguration({ CORDUM_API_KEY: "a\nb" }, new Set(["scheduler"])).kind).toBe("invalid");
    expect(parseConfiguration({}, new Set(["gateway"])).kind).toBe("invalid");
  });

  it("never shows a secret, not even a wrong one", () => {
    const text = problemsOf({ REDIS_URL: "http://user:hunter2@host", CORDUM_API_KEY: "sesame\nopen" });
    expect(text).toContain("2 problems");
    expect(text).not.toMatch(/hunter2|sesame/);
  });

  it("takes an empty value for an unset one", () => {
    expect(valid({ GATEWAY_HTTP_ADDR: "", SAFETY_POLICY_PATH: "  ", CORDUM_STATE: "" })).toEqual(valid({}));
  });

  it("is not fooled by names of Object", () => {
    const poisoned = Object.create({ API_RATE_LIMIT_RPS: "7" }) as Record<string, string>;
    expect(valid({ ...poisoned, ["__proto__"]: "x", constructor: "y" }).limits.ratePerSecond).toBe(50);
    const parsed = parseConfiguration(Object.assign(poisoned, KEY));
    expect(parsed.kind === "valid" && parsed.config.limits.ratePerSecond).toBe(50);
  });

  it("cuts a long wrong value", () => {
    expect(problemsOf({ CORDUM_STATE: "x".repeat(10_000) }).length).toBeLessThan(300);
  });

  it("strips quotes that a shell left around the one key, and takes the first of its three names", () => {
    expect(valid({ CORDUM_SUPER_SECRET_API_TOKEN: `"first"`, API_KEY: "third" }).auth.apiKey).toBe("first");
    expect(valid({ CORDUM_API_KEY: "", API_KEY: "'third'" }).auth.apiKey).toBe("third");
  });

  it("lets the duration win over the seconds", () => {
    expect(valid({ JOB_META_TTL: "2h", JOB_META_TTL_SECONDS: "60" }).retention.jobMs).toBe(7_200_000);
    expect(valid({ JOB_META_TTL_SECONDS: "60" }).retention.jobMs).toBe(60_000);
    expect(valid({ REDIS_DATA_TTL_SECONDS: "60" }).retention.payloadMs).toBe(60_000);
    expect(problemsOf({ JOB_META_TTL: "2h", JOB_META_TTL_SECONDS: "soon" })).toContain("JOB_META_TTL_SECONDS");
  });

  it("takes the first of the three origin lists", () => {
    const env = { CORDUM_CORS_ALLOW_ORIGINS: "https://b.example", CORS_ALLOW_ORIGINS: "https://c.example" };
    expect(valid(env).http.allowedOrigins).toEqual(["https://b.example"]);
    expect(valid({ ...env, CORDUM_ALLOWED_ORIGINS: "*" }).http.allowedOrigins).toEqual(["*"]);
    expect(problemsOf({ CORDUM_ALLOWED_ORIGINS: "https://*.example" })).toContain("CORDUM_ALLOWED_ORIGINS");
  });
});

describe("configuration of signatures", () => {
  it("wants keys to judge by, and one of its own where everything must be signed", () => {
    const names = (env: Record<string, string>): readonly string[] => {
      const parsed = parseConfiguration({ ...KEY, ...env });
      return parsed.kind === "invalid" ? parsed.problems.map(({ name }) => name) : [];
    };
    const keys = { CORDUM_VERIFY_KEYS_PATH: "keys.json" };
    expect(names({ CORDUM_VERIFY_SIGNATURES: "require" })).toEqual([
      "CORDUM_VERIFY_KEYS_PATH",
      "CORDUM_SIGNING_KEY_PATH",
    ]);
    expect(names({ CORDUM_VERIFY_SIGNATURES: "warn" })).toEqual(["CORDUM_VERIFY_KEYS_PATH"]);
    expect(names({ CORDUM_VERIFY_SIGNATURES: "if_present", ...keys })).toEqual([]);
    expect(names({ CORDUM_VERIFY_SIGNATURES: "required" })).toEqual(["CORDUM_VERIFY_SIGNATURES"]);
    expect(valid({ CORDUM_SIGNING_KEY_PATH: "key.pem" }).signing).toMatchObject({ keyPath: "key.pem", verify: "off" });
  });
});

describe("configuration of Redis", () => {
  it("leaves the partitions to the store and has no TLS by default", () => {
    expect(valid({ CORDUM_STATE: "redis" }).state).toEqual({
      kind: "redis",
      partitions: undefined,
      url: "redis://localhost:6379",
      clusterAddresses: [],
      tls: undefined,
    });
  });

  it("turns TLS on by any of its settings, and by rediss:", () => {
    expect(valid({ CORDUM_STATE: "redis", REDIS_TLS_CA: "ca.pem" }).state).toMatchObject({ tls: { caPath: "ca.pem" } });
    const url = { CORDUM_STATE: "redis", REDIS_URL: "rediss://cache:6380/2" };
    expect(valid(url).state).toMatchObject({ url: "rediss://cache:6380/2", tls: { acceptsAnyCertificate: false } });
  });

  it("wants certificate and key together", () => {
    expect(problemsOf({ REDIS_TLS_CERT: "c.pem" })).toContain(
      "REDIS_TLS_KEY  expected a path, because REDIS_TLS_CERT is set, got none",
    );
    expect(problemsOf({ REDIS_TLS_KEY: "k.pem" })).toContain(
      "REDIS_TLS_CERT  expected a path, because REDIS_TLS_KEY is set, got none",
    );
  });

  it("reads cluster addresses separated by commas, blanks and newlines", () => {
    const env = { CORDUM_STATE: "redis", REDIS_CLUSTER_ADDRESSES: "a:1, b:2\n[::1]:3" };
    expect(valid(env).state).toMatchObject({
      clusterAddresses: [
        { host: "a", port: 1 },
        { host: "b", port: 2 },
        { host: "::1", port: 3 },
      ],
    });
    expect(problemsOf({ REDIS_CLUSTER_ADDRESSES: "a:1, :2" })).toContain("REDIS_CLUSTER_ADDRESSES");
  });
});

describe("unknown names", () => {
  it("are warned about with the name that was probably meant", () => {
    const parsed = parseConfiguration({
      ...KEY,
      CORDUM_STAET: "memory",
      CORDUM_QUITE_ELSE: "1",
      PATH: "/bin",
      CORDUM_API_URL: "x",
    });
    expect(parsed.warnings.map(describeUnknownName)).toEqual([
      "CORDUM_STAET is no setting of Cordum and is ignored; did you mean CORDUM_STATE?",
      "CORDUM_QUITE_ELSE is no setting of Cordum and is ignored",
    ]);
  });

  it("come with the faults as well, since a misspelt name often is the fault", () => {
    const parsed = parseConfiguration({ CORDUM_APIKEY: "k" });
    expect(parsed).toMatchObject({ kind: "invalid", warnings: [{ name: "CORDUM_APIKEY", nearest: "CORDUM_API_KEY" }] });
  });

  it("cost little, however long they are", () => {
    const env = Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`CORDUM_${"X".repeat(2_000)}${i}`, "1"]));
    expect(parseConfiguration({ ...KEY, ...env }).warnings).toHaveLength(50);
  });
});

describe("the table of settings", () => {
  it("has every name once", () => {
    const names = ALL_SETTINGS.map((setting) => setting.name);
    expect(new Set(names).size).toBe(names.length);
  });

  it("is what docs/reference/configuration.md says (update with: npm test -- -u configuration)", async () => {
    await expect(configurationPage()).toMatchFileSnapshot("../../../../docs/reference/configuration.md");
  });
});
