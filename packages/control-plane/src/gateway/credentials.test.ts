import { describe, expect, it } from "vitest";
import { presentedKeys } from "./credentials.ts";

const socket = (protocols: string, more = {}) =>
  presentedKeys({ upgrade: "websocket", "sec-websocket-protocol": protocols, ...more });
const base64url = (text: string) => Buffer.from(text).toString("base64url");

describe("what a request presents", () => {
  it.each([
    ["nothing", {}, [undefined]],
    ["an empty header", { "x-api-key": " " }, [undefined]],
    ["the header", { "x-api-key": "k" }, ["k"]],
    ["no bearer token", { authorization: "Bearer k" }, [undefined]],
    ["no subprotocol without an upgrade", { "sec-websocket-protocol": "cordum-api-key, k" }, [undefined]],
  ])("is read from %s", (_, headers, keys) => expect(presentedKeys(headers)).toEqual(keys));

  it.each([
    [`cordum-api-key, ${base64url("s3cret key!")}`, "s3cret key!"],
    [`CORDUM-API-KEY,${base64url("s3cret key!")}`, "s3cret key!"],
    [`other, cordum-api-key.${base64url("s3cret key!")}`, "s3cret key!"],
    [`cordum-api-key, ${Buffer.from("s3cret key!?").toString("base64")}`, "s3cret key!?"],
  ])("%s is decoded", (protocols, key) => expect(socket(protocols)[0]).toBe(key));

  it("may be the key itself, though it looks like base64", () => {
    expect(socket("cordum-api-key, c2VjcmV0")).toEqual(["secret", "c2VjcmV0"]);
    expect(socket("cordum-api-key, not_base64!")).toEqual(["not_base64!"]);
    expect(socket("cordum-api-key, ////")).toEqual(["////"]);
  });

  it("is the header, where both are given; and nothing, where the token is missing or without bounds", () => {
    expect(socket("cordum-api-key, abcd", { "x-api-key": "k" })).toEqual(["k"]);
    for (const protocols of [
      "",
      "cordum-api-key",
      "cordum-api-key,",
      "cordum-api-key.",
      `cordum-api-key, ${"a".repeat(3_000)}`,
    ])
      expect(socket(protocols)).toEqual([undefined]);
  });
});
