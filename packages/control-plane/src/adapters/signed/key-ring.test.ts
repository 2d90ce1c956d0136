import { generateKeyPairSync } from "node:crypto";
import { SENDERS } from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import { newKeys } from "../../testing/signing-keys.ts";
import { KeyRing } from "./key-ring.ts";
import { parseTrustedSenders } from "./trusted-senders.ts";

const { publicPem, pem } = newKeys();
const other = generateKeyPairSync("ec", { namedCurve: "secp384r1" });
const otherPem = other.publicKey.export({ type: "spki", format: "pem" }).toString();

describe("trusted senders", () => {
  it.each<[string, string | object, string]>([
    ["no JSON", "{", "expected a JSON object of sender ids"],
    ["a key instead of the file", pem, "expected a JSON object of sender ids"],
    ["a list", [], "expected a JSON object of sender ids"],
    ["nothing", "null", "expected a JSON object of sender ids"],
    ["nobody", {}, "names no sender"],
    ["a sender without name", { "": [publicPem] }, `"": a sender id has 1 to 256 characters`],
    ["no key", { a: [] }, `"a": expected a list of 1 to 8 public keys, or "unsigned"`],
    ["nine keys", { a: Array(9).fill(publicPem) }, `"a": expected a list of 1 to 8 public keys, or "unsigned"`],
    ["another word", { a: "trusted" }, `"a": expected a list of 1 to 8 public keys, or "unsigned"`],
    ["a private key", { a: [pem] }, `"a": key 1 is no public key in PEM`],
    ["another curve", { a: [publicPem, otherPem] }, `"a": key 2 is not on the curve P-256`],
    ["a number", { a: [7] }, `"a": key 1 is no public key in PEM`],
    [
      "the control plane unsigned",
      { "cordum-scheduler": "unsigned" },
      `"cordum-scheduler": a part of the control plane has to sign`,
    ],
  ])("refuses %s, without showing it", (_, given, fault) => {
    const text = typeof given === "string" ? given : JSON.stringify(given);
    expect(parseTrustedSenders(text)).toEqual({ kind: "invalid", faults: [fault] });
  });

  it("tells all faults, up to a number", () => {
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`w${n}`, []]));
    const parsed = parseTrustedSenders(JSON.stringify(many));
    expect(parsed.kind === "invalid" && parsed.faults.length).toBe(20);
  });

  it("is not fooled by names of Object", () => {
    const parsed = parseTrustedSenders(
      `{ "__proto__": "unsigned", "constructor": ["${publicPem.replaceAll("\n", "\\n")}"] }`,
    );
    expect(parsed.kind === "valid" && [...parsed.senders.keys()]).toEqual(["__proto__", "constructor"]);
    expect(new KeyRing().keysOf("toString")).toBeUndefined();
  });
});

describe("the key ring", () => {
  it("K1 keeps what it has when something is no good", () => {
    const keys = new KeyRing();
    expect(keys.useTrustedSenders(JSON.stringify({ w: [publicPem] }))).toEqual([]);
    expect(keys.useTrustedSenders("{")).toHaveLength(1);
    expect(keys.keysOf("w")).toHaveLength(1);
    expect(keys.useSigningKey(pem)).toEqual([]);
    const before = keys.signingKey;
    expect(keys.useSigningKey(publicPem)).toEqual(["expected a private key in PEM"]);
    expect(keys.useSigningKey(other.privateKey.export({ type: "pkcs8", format: "pem" }).toString())).toEqual([
      "the key is not on the curve P-256",
    ]);
    expect(keys.signingKey).toBe(before);
  });

  it("forgets a sender, and a key, that the file does not name any more", () => {
    const keys = new KeyRing();
    keys.useTrustedSenders(JSON.stringify({ w: [publicPem, newKeys().publicPem], v: [publicPem] }));
    keys.useTrustedSenders(JSON.stringify({ w: [publicPem] }));
    expect([keys.keysOf("w")?.length, keys.keysOf("v")]).toEqual([1, undefined]);
  });

  it("K2 K3 counts its own key and the one before, beside those of other processes, for the control plane alone", () => {
    const keys = new KeyRing();
    for (let n = 0; n < 3; n++) keys.useSigningKey(newKeys().pem);
    keys.useTrustedSenders(JSON.stringify({ [SENDERS.scheduler]: [publicPem], w: [publicPem] }));
    expect(Object.values(SENDERS).map((sender) => keys.keysOf(sender)?.length)).toEqual([2, 2, 3, 2]);
    expect(keys.keysOf("w")).toHaveLength(1);
  });
});
