import { describe, expect, it } from "vitest";
import { targetFromEnvironment } from "./environment.ts";
import { type ConnectionTarget, parseTarget } from "./target.ts";

const REDIS = "redis://r:6379";

describe("where a worker connects to", () => {
  it("reads both from one text", () => {
    expect(parseTarget("nats://n:4333,redis://r")).toMatchObject({
      nats: { servers: ["n:4333"], login: { kind: "none" }, tls: undefined },
      redis: { seeds: [{ host: "r", port: 6379 }], isCluster: false, database: 0, tls: undefined },
    });
    expect(parseTarget(" rediss://r/3\n nats://a tls://b:1 ")).toMatchObject({
      nats: { servers: ["a:4222", "b:1"], tls: {} },
      redis: { database: 3, tls: {} },
    });
  });

  it.each<[ConnectionTarget["nats"], readonly string[]]>([
    ["nats://a:1,b:2", ["a:1", "b:2"]],
    ["nats://a:1, nats://[::1]:2", ["a:1", "[::1]:2"]],
    [
      ["nats://a", "nats://b/"],
      ["a:4222", "b:4222"],
    ],
    [{ servers: ["NATS://a"] }, ["a:4222"]],
  ])("reads several servers: %j", (nats, servers) => {
    expect(parseTarget({ nats, redis: REDIS }).nats.servers).toEqual(servers);
  });

  it("reads who we are, from the URL or beside it", () => {
    const login = (nats: ConnectionTarget["nats"]) => parseTarget({ nats, redis: REDIS }).nats.login;
    expect(login("nats://ada:p%40ss,word@a:1,b:2")).toEqual({
      kind: "password",
      username: "ada",
      password: "p@ss,word",
    });
    expect(login("nats://s3cr3t@a")).toEqual({ kind: "token", token: "s3cr3t" });
    expect(login({ servers: "nats://t@a", username: "u", password: "" })).toEqual({
      kind: "password",
      username: "u",
      password: "",
    });
    expect(login({ servers: "nats://a", token: "t", nkeySeed: "SU" })).toEqual({ kind: "token", token: "t" });
    expect(login({ servers: "nats://a", nkeySeed: "SU" })).toEqual({ kind: "nkey", seed: "SU" });
    expect(parseTarget({ nats: "nats://a", redis: "redis://u:p%40@r" }).redis).toMatchObject({
      username: "u",
      password: "p@",
    });
  });

  it("reads a cluster, with user, password and TLS of the URL", () => {
    const redis = { url: "rediss://u:p@ignored:1", clusterAddresses: ["a:1", "b", "[::1]:3"] };
    expect(parseTarget({ nats: "nats://a", redis }).redis).toMatchObject({
      seeds: [
        { host: "a", port: 1 },
        { host: "b", port: 6379 },
        { host: "::1", port: 3 },
      ],
      isCluster: true,
      username: "u",
      tls: {},
    });
  });

  it.each<[string | ConnectionTarget, RegExp]>([
    ["ws://gateway:8081", /"ws:\/\/" is no way .* nats:\/\/ and tls:\/\/ for packets, redis:\/\/ and rediss:\/\//],
    ["https://secret@gateway", /"https:\/\/" is no way/],
    ["localhost:4222", /a URL is expected/],
    ["", /a URL is expected/],
    ["redis://r", /no nats:\/\/ URL/],
    ["nats://a", /no redis:\/\/ URL .* expected "nats:\/\/host:4222,redis:\/\/host:6379"/],
    ["nats://a,redis://r,redis://s", /several redis:\/\/ URLs/],
    [{ nats: "redis://a", redis: REDIS }, /nats: nats:\/\/host:port or tls/],
    [{ nats: [], redis: REDIS }, /no server/],
    [{ nats: "nats://secret@a:99999", redis: REDIS }, /nats: host:port/],
    [{ nats: "nats://secret@@a b", redis: REDIS }, /nats: host:port/],
    [{ nats: "nats://", redis: REDIS }, /nats: host:port/],
    [{ nats: "nats://secret%zz@a", redis: REDIS }, /"%" that is not written "%25"/],
    [{ nats: { servers: "nats://a", username: "u" }, redis: REDIS }, /come together/],
    [{ nats: "nats://a", redis: "nats://secret@b" }, /redis: redis:\/\/host:port/],
    [{ nats: "nats://a", redis: "redis://r/db" }, /number of a database/],
    [{ nats: "nats://a", redis: {} }, /neither a URL nor addresses/],
    [{ nats: "nats://a", redis: { url: "redis://r/1", clusterAddresses: ["a"] } }, /only database 0/],
    [{ nats: "nats://a", redis: { clusterAddresses: ["secret@a"] } }, /redis: host:port/],
  ])("refuses %j, with a reason and without a password", (target, reason) => {
    const refusal = caught(() => parseTarget(target));
    expect(refusal).toBeInstanceOf(TypeError);
    expect(String(refusal)).toMatch(reason);
    expect(String(refusal)).not.toContain("secret");
  });
});

describe("the environment of a worker", () => {
  const read = (environment: { readonly [name: string]: string }) => targetFromEnvironment((name) => environment[name]);
  const least = { NATS_URL: "nats://a", REDIS_URL: "redis://r" };

  it("needs two names", () => {
    expect(read(least)).toEqual({ nats: { servers: "nats://a" }, redis: { url: "redis://r" } });
  });

  it("reads all of them", () => {
    expect(
      read({
        NATS_URL: "tls://a",
        NATS_USERNAME: "u",
        NATS_PASSWORD: "p",
        NATS_TOKEN: "t",
        NATS_NKEY: "SU",
        NATS_TLS_CA: "ca.pem",
        NATS_TLS_CERT: "c.pem",
        NATS_TLS_KEY: "k.pem",
        NATS_TLS_SERVER_NAME: "nats",
        REDIS_CLUSTER_ADDRESSES: "a:1, b:2\tc:3",
        REDIS_TLS_INSECURE: "Yes",
      }),
    ).toEqual({
      nats: {
        servers: "tls://a",
        username: "u",
        password: "p",
        token: "t",
        nkeySeed: "SU",
        tls: { caFile: "ca.pem", certFile: "c.pem", keyFile: "k.pem", serverName: "nats" },
      },
      redis: { clusterAddresses: ["a:1", "b:2", "c:3"], tls: { insecure: true } },
    });
  });

  it("tells all problems at once, and no values", () => {
    const refusal = caught(() =>
      read({ NATS_PASSWORD: "secret", NATS_TLS_CERT: "c.pem", REDIS_TLS_KEY: "k.pem", REDIS_TLS_INSECURE: "secret" }),
    );
    expect(refusal).toBeInstanceOf(TypeError);
    for (const name of [
      "NATS_URL",
      "REDIS_URL",
      "NATS_USERNAME",
      "NATS_TLS_KEY",
      "REDIS_TLS_CERT",
      "REDIS_TLS_INSECURE",
    ])
      expect(String(refusal)).toContain(name);
    expect(String(refusal)).not.toContain("secret");
  });
});

function caught(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}
