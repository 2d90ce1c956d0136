import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  address,
  duration,
  flag,
  integer,
  networks,
  origins,
  parseDuration,
  path,
  redisUrl,
  tenantRates,
} from "./configuration-values.ts";

describe("durations", () => {
  it.each([
    ["30s", 30_000],
    ["500ms", 500],
    ["1m30s", 90_000],
    ["168h", 604_800_000],
    ["1.5s", 1_500],
    [".5h", 1_800_000],
    ["1h0m0.25s", 3_600_250],
    ["1500us", 2],
    ["1500µs", 2],
    ["0", 0],
  ])("reads %s", (text, ms) => expect(parseDuration(text)).toBe(ms));

  it.each(["", "30", "s", "-5s", "1 s", "5d", "1h 30m", "1e3s", "..5s", "5sx", "Infinitys", "1".repeat(60)])(
    "refuses %j",
    (text) => expect(parseDuration(text)).toBeUndefined(),
  );

  it("adds up whatever parts there are", () => {
    fc.assert(
      fc.property(fc.nat(999), fc.nat(999), fc.nat(999), (h, m, s) => {
        expect(parseDuration(`${h}h${m}m${s}s`)).toBe(h * 3_600_000 + m * 60_000 + s * 1_000);
      }),
    );
  });

  it("keeps to the range", () => {
    const kind = duration({ min: "1s", max: "1h" });
    expect(["999ms", "1s", "1h", "1h1ms"].map((text) => kind.parse(text))).toEqual([
      undefined,
      1_000,
      3_600_000,
      undefined,
    ]);
  });
});

describe("other values", () => {
  it("addresses", () => {
    expect(address.parse(":8081")).toEqual({ host: "", port: 8081 });
    expect(address.parse("127.0.0.1:0")).toEqual({ host: "127.0.0.1", port: 0 });
    expect(address.parse("[::1]:80")).toEqual({ host: "::1", port: 80 });
    for (const wrong of ["8081", "host", "host:", ":65536", "http://host:1", "a b:1", "::1:80", "host:8o"])
      expect(address.parse(wrong)).toBeUndefined();
  });

  it("flags: every spelling of yes and no, nothing else", () => {
    expect(["1", "true", "YES", "y", "On"].map((text) => flag.parse(text))).toEqual([true, true, true, true, true]);
    expect(["0", "false", "No", "n", "off"].map((text) => flag.parse(text))).toEqual([
      false,
      false,
      false,
      false,
      false,
    ]);
    for (const wrong of ["2", "ja", "tru", "enabled"]) expect(flag.parse(wrong)).toBeUndefined();
  });

  it("integers: plain digits in range", () => {
    const kind = integer({ min: 1, max: 50 });
    expect(["1", "50", "0", "51", "1.0", "0x10", "+1", "1e1", "9".repeat(40)].map((text) => kind.parse(text))).toEqual([
      1,
      50,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("origins: whole origins or a lone star", () => {
    expect(origins.parse("https://a.example, http://localhost:3000")).toEqual([
      "https://a.example",
      "http://localhost:3000",
    ]);
    for (const wrong of [
      "a.example",
      "https://a.example/",
      "*,https://a.example",
      "https://a*.example",
      "https://*",
      ",",
    ])
      expect(origins.parse(wrong)).toBeUndefined();
  });

  it("origins of every host below one", () => {
    expect(origins.parse("https://*.example.com,https://a.example")).toEqual([
      "https://*.example.com",
      "https://a.example",
    ]);
  });

  it("rates of tenants", () => {
    expect(tenantRates.parse("a=1/2, b.c-d=0")).toEqual(
      new Map([
        ["a", { perSecond: 1, burst: 2 }],
        ["b.c-d", { perSecond: 0, burst: 1 }],
      ]),
    );
    for (const wrong of [
      "",
      "a",
      "a=",
      "a=x",
      "a=1/0",
      "a=1/2/3",
      "a=1,a=2",
      "=1",
      "a b=1",
      "a=1000001",
      "a=-1",
      "a=1,",
    ])
      expect(tenantRates.parse(wrong), wrong).toBeUndefined();
  });

  it("networks", () => {
    expect(networks.parse("10.0.0.1, 10.0.0.0/8,::1,fd00::/8")).toEqual(["10.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"]);
    for (const wrong of ["10.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/8/8", "10.0.0.0/", "localhost", ","])
      expect(networks.parse(wrong)).toBeUndefined();
  });

  it("Redis URLs", () => {
    expect(redisUrl.parse("redis://u:p@host:1/3")).toBe("redis://u:p@host:1/3");
    for (const wrong of ["host:6379", "http://host", "redis://", "redis:"])
      expect(redisUrl.parse(wrong)).toBeUndefined();
  });

  it("paths: no NUL", () => expect(path.parse("a\0b")).toBeUndefined());
});
