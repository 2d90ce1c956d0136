import { describe, expect, it } from "vitest";
import { parseAddress, parseEndpoint } from "./endpoint.ts";

describe("where Redis is", () => {
  it("reads what operators write", () => {
    expect(parseEndpoint({ url: "redis://localhost" })).toEqual({
      seeds: [{ host: "localhost", port: 6379 }],
      isCluster: false,
      login: {},
    });
    expect(parseEndpoint({ url: "rediss://us%40er:p%3Aw@[::1]:7000/3" })).toEqual({
      seeds: [{ host: "::1", port: 7000 }],
      isCluster: false,
      login: {
        username: "us@er",
        password: "p:w",
        database: 3,
        tls: { minVersion: "TLSv1.2", rejectUnauthorized: true },
      },
    });
    expect(parseEndpoint({ url: "redis://:pw@ignored", clusterAddresses: ["a:1", "[fe80::1]:2", "c"] })).toEqual({
      seeds: [
        { host: "a", port: 1 },
        { host: "fe80::1", port: 2 },
        { host: "c", port: 6379 },
      ],
      isCluster: true,
      login: { password: "pw" },
    });
  });

  it("refuses everything else, and never repeats a password", () => {
    const wrong = [
      "",
      "localhost:6379",
      "http://localhost",
      "redis://",
      "redis://u:secret@host/x",
      "redis://u:secret@ho st",
      "nats://u:secret@h",
      "redis://u:secret%zz@h",
    ];
    for (const url of wrong) {
      expect(() => parseEndpoint({ url })).toThrow(/REDIS_URL/);
      expect(() => parseEndpoint({ url })).not.toThrow(/secret/);
    }
    expect(() => parseEndpoint({})).toThrow(/neither/);
    expect(() => parseEndpoint({ url: "redis://a/1", clusterAddresses: ["a:1"] })).toThrow(/database 0/);
    for (const address of ["", "a:0", "a:65536", "a:b", ":1", "a b:1", "u:p@a:1"])
      expect(() => parseAddress(address)).toThrow(/host:port/);
  });
});
