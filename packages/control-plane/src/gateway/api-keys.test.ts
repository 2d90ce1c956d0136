import { describe, expect, it } from "vitest";
import { hashKey, type KeySources, parseApiKeys } from "./api-keys.ts";

const NONE: KeySources = {
  keys: undefined,
  file: undefined,
  single: [],
  defaultTenant: "default",
  allowsNoKeys: false,
};
const parse = (over: Partial<KeySources>) => parseApiKeys({ ...NONE, ...over });
const one = (keys: string) => {
  const parsed = parse({ keys });
  expect(parsed.faults).toEqual([]);
  expect(parsed.keys).toHaveLength(1);
  return parsed.keys[0];
};

describe("reading API keys", () => {
  it.each([
    ["k1", { tenant: "default", role: "admin" }],
    ["acme:k1", { tenant: "acme", role: "admin" }],
    ["acme:k1:viewer", { tenant: "acme", role: "viewer" }],
    ["acme:k1:viewer:alice", { tenant: "acme", role: "viewer", principal: "alice" }],
    [" acme : k1 : user : alice ", { tenant: "acme", role: "submitter", principal: "alice" }],
    ["acme:k1::alice", { role: "admin", principal: "alice" }],
    [":k1", { tenant: "default" }],
    ['[{"key":"k1"}]', { tenant: "default", role: "admin", expiresAt: "never", allowCrossTenant: false }],
    ['{"k1":{"tenant":"acme","role":"SecOps"}}', { tenant: "acme", role: "operator" }],
    ['{"k1":null}', { tenant: "default" }],
    ['{"keys":[{"key":"k1","role":"Approver"}]}', { role: "approver" }],
    ['[{"key":"k1","expires_at":"2026-02-01T00:00:00+01:00"}]', { expiresAt: Date.UTC(2026, 0, 31, 23) }],
    ['[{"key":"k1","allow_cross_tenant":true,"note":"ignored"}]', { allowCrossTenant: true, actsForOthers: false }],
    ['[{"key":"k1","acts_for_others":true}]', { actsForOthers: true }],
    [`[{"key":"'k1'"}]`, { tenant: "default" }],
    ["k1,k1", { tenant: "default" }],
    ['[{"key":"k1"},{"key":""},{}]', { tenant: "default" }],
  ])("reads %s", (keys, expected) => {
    expect(one(keys)).toMatchObject({ hash: hashKey("k1"), ...expected });
  });

  it("names the principal of a key without one by the key's hash", () => {
    expect(one("k1")?.principal).toBe(`key:${hashKey("k1").slice(0, 12)}`);
  });

  it("keeps keys with separators in the JSON forms", () => {
    const parsed = parse({ keys: JSON.stringify([{ key: "a:b,c d" }, { key: "__proto__" }]) });
    expect(parsed.keys.map((key) => key.hash)).toEqual([hashKey("a:b,c d"), hashKey("__proto__")]);
    expect(parse({ keys: '{"__proto__":{"role":"viewer"}}' }).keys[0]).toMatchObject({
      hash: hashKey("__proto__"),
      role: "viewer",
    });
  });

  it("takes the first single key that is not empty, and merges all sources", () => {
    const parsed = parse({ keys: "k1", file: '[{"key":"k2"}]', single: [undefined, " '' ", '"k3"', "k4"] });
    expect(parsed.keys.map((key) => key.hash)).toEqual(["k1", "k2", "k3"].map(hashKey));
  });

  it.each([
    ["[", "not valid JSON"],
    ["[]", "holds no key"],
    ["{}", "holds no key"],
    [" , ", "holds no key"],
    ['[{"key":"s3cret","role":"king"}]', "unknown role"],
    ['[{"key":"s3cret","tenant":"a b"}]', "tenant must be"],
    ['[{"key":"s3cret","tenant":5}]', "tenant must be"],
    ['[{"key":"s3cret","expires_at":"tomorrow"}]', "RFC 3339"],
    ['[{"key":"s3cret","expires_at":1}]', "RFC 3339"],
    ['[{"key":"s3cret","expires_at":"2026-13-45T00:00:00Z"}]', "RFC 3339"],
    ['[{"key":"s3cret","allow_cross_tenant":"yes"}]', "true or false"],
    ['[{"key":"s3cret","acts_for_others":1}]', "true or false"],
    ['[{"key":"s3cret","principal_id":"a\\nb"}]', "printable"],
    ['[{"key":"s3cret\\u0000"}]', "printable ASCII"],
    ['[{"key":"s3cretключ"}]', "printable ASCII"],
    ['[{"key":5}]', "printable ASCII"],
    ['["s3cret"]', "not an object"],
    ["a:s3cret:c:d:e", "more than four parts"],
    ["acme:s3cret:viewer,other:s3cret:viewer", "twice"],
  ])("refuses %s without telling the key", (keys, says) => {
    const { faults } = parse({ keys });
    expect(faults.join("\n")).toContain(says);
    expect(faults.join("\n")).not.toContain("s3cret");
  });

  it("tells all faults together", () => {
    expect(parse({ keys: "[", file: "{}", single: ["ä"] }).faults).toHaveLength(3);
  });

  it("refuses to go on without a key, unless the open mode is asked for", () => {
    expect(parse({}).faults.join()).toContain("CORDUM_ALLOW_INSECURE_NO_AUTH");
    expect(parse({ allowsNoKeys: true })).toEqual({ keys: [], faults: [] });
    expect(parse({ keys: "[]", allowsNoKeys: true }).faults).toHaveLength(1);
  });
});
