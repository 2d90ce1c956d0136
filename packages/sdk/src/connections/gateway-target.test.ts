import { describe, expect, it } from "vitest";
import { connect } from "./connect.ts";
import { targetFromEnvironment } from "./environment.ts";
import { isGatewayUrl, parseGateway } from "./gateway-target.ts";

const PATH = "/api/v1/workers/connect";

describe("a gateway as a target", () => {
  it.each([
    ["https://cordum.example", `wss://cordum.example${PATH}`, `https://cordum.example${PATH}`],
    ["wss://cordum.example/", `wss://cordum.example${PATH}`, `https://cordum.example${PATH}`],
    ["http://127.0.0.1:8081", `ws://127.0.0.1:8081${PATH}`, `http://127.0.0.1:8081${PATH}`],
    ["WS://[::1]:8081", `ws://[::1]:8081${PATH}`, `http://[::1]:8081${PATH}`],
    ["https://proxy.example/cordum/", `wss://proxy.example/cordum${PATH}`, `https://proxy.example/cordum${PATH}`],
    [`https://a.example${PATH}`, `wss://a.example${PATH}`, `https://a.example${PATH}`],
  ])("%s", (gateway, url, httpUrl) => {
    expect(isGatewayUrl(gateway)).toBe(true);
    expect(parseGateway({ gateway, apiKey: " k " }, undefined)).toEqual({ url, httpUrl, apiKey: "k" });
  });

  it.each([
    "nats://a",
    "redis://a",
    "a",
    "",
    "httpsx://a",
    "https://",
    "https://u:p4ss@a",
    "https://a?x=1",
    "https://a#b",
  ])("is not %j", (gateway) => {
    expect(() => parseGateway({ gateway, apiKey: "s3cr3t" }, undefined)).toThrow(TypeError);
    expect(() => parseGateway({ gateway, apiKey: "s3cr3t" }, undefined)).not.toThrow(/s3cr3t|p4ss/);
  });

  it("needs a key, said or in the environment", () => {
    const gateway = "https://a";
    expect(() => parseGateway({ gateway }, undefined)).toThrow("CORDUM_API_KEY");
    expect(parseGateway({ gateway }, "of-the-environment").apiKey).toBe("of-the-environment");
    expect(parseGateway({ gateway, apiKey: "said" }, "of-the-environment").apiKey).toBe("said");
    expect(() => parseGateway({ gateway, apiKey: "a b" }, undefined)).toThrow("no header can carry");
  });

  it("is one worker's: its id is the name", async () => {
    const target = { gateway: "http://127.0.0.1:1", apiKey: "k" };
    await expect(connect(target)).rejects.toThrow("name is its id");
    await expect(connect(target, { name: "host.with.dots" })).rejects.toThrow("1 to 64 letters");
    await expect(connect(target, { name: "w1" })).rejects.toThrow("the gateway cannot be used at 127.0.0.1:1");
  });

  it("is what the environment names, unless it names NATS", () => {
    const from = (values: Record<string, string>) => targetFromEnvironment((name) => values[name]);
    expect(from({ CORDUM_API_URL: "https://a" })).toEqual({ gateway: "https://a" });
    expect(from({ CORDUM_GATEWAY: "https://b" })).toEqual({ gateway: "https://b" });
    const both = { CORDUM_API_URL: "https://a", NATS_URL: "nats://n", REDIS_URL: "redis://r" };
    expect(from(both)).toMatchObject({ nats: { servers: "nats://n" } });
  });
});
