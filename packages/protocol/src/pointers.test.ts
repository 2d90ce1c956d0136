// Pointers: every entry of pointers.json.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  artifactKey,
  artifactMetadataKey,
  contextKey,
  judgeStrictly,
  memoryKey,
  parsePointer,
  pointerTo,
  resultKey,
  type StrictVerdict,
} from "./pointers.ts";

interface Entry {
  readonly pointer: string;
  readonly key: string | null;
  readonly python_agent: string;
  readonly cap_2_17_strict: string;
}
const file = JSON.parse(readFileSync(new URL("../../../test/vectors/pointers.json", import.meta.url), "utf8")) as {
  readonly pointers: readonly Entry[];
};
const REFUSALS: Record<string, string> = {
  "empty pointer": "empty",
  "unsupported pointer scheme": "unsupported_scheme",
  "missing pointer key": "missing_key",
};
const STRICT: Record<string, StrictVerdict> = {
  ok: "ok",
  "legacy Redis key is empty or ambiguous": "ambiguous_key",
  "legacy Redis pointer has the wrong scheme": "wrong_scheme",
  "legacy Redis pointer is untrimmed or too long": "untrimmed_or_too_long",
};

describe("pointer vectors", () => {
  it("has the whole set", () => expect(file.pointers.length).toBe(35));

  it.each(file.pointers.map((entry) => [entry.pointer, entry] as const))("reads %j", (pointer, entry) => {
    const parsed = parsePointer(pointer);
    if (entry.key === null) expect(parsed).toEqual({ kind: "refused", reason: REFUSALS[entry.python_agent] });
    else expect(parsed).toMatchObject({ kind: "key", key: entry.key });
    if (entry.key !== null) expect(pointerTo(entry.key)).toBe(pointer);
  });

  it.each(file.pointers.map((entry) => [entry.pointer, entry] as const))("judges %j strictly", (pointer, entry) => {
    expect(judgeStrictly(pointer)).toBe(STRICT[entry.cap_2_17_strict]);
  });
});

describe("pointers", () => {
  it.each([
    ["redis://ctx/my/job", "ctx/my/job", "ctx:my/job", "context"],
    ["redis://res/j", "res/j", "res:j", "result"],
    ["redis://ctx:j", "ctx:j", undefined, "context"],
    ["redis://art:x", "art:x", undefined, "artifact"],
    ["redis://mem:m:events", "mem:m:events", undefined, "memory"],
    ["redis://art/x", "art/x", undefined, "other"],
    ["redis:///ctx:1", "/ctx:1", undefined, "other"],
    ["redis://__proto__", "__proto__", undefined, "other"],
  ])("reads %s with its fallback", (pointer, key, fallbackKey, family) => {
    expect(parsePointer(pointer)).toEqual({ kind: "key", key, fallbackKey, family });
  });

  it("makes the colon form", () => {
    expect(pointerTo(contextKey("j"))).toBe("redis://ctx:j");
    expect(pointerTo(resultKey("r:s@1"))).toBe("redis://res:r:s@1");
    expect(artifactKey("a")).toBe("art:a");
    expect(artifactMetadataKey("a")).toBe("art:meta:a");
    expect(memoryKey("m", "chunk:1")).toBe("mem:m:chunk:1");
  });

  it("judges length and user names", () => {
    expect(judgeStrictly(`redis://${"k".repeat(1024)}`)).toBe("ok");
    expect(judgeStrictly(`redis://${"k".repeat(1025)}`)).toBe("untrimmed_or_too_long");
    expect(judgeStrictly("redis://user@host:1")).toBe("ambiguous_key");
    expect(judgeStrictly("redis://user@host")).toBe("ambiguous_key");
    expect(judgeStrictly("redis://ctx:a@1\n")).toBe("untrimmed_or_too_long");
  });
});
