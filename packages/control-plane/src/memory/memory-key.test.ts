import { describe, expect, it } from "vitest";
import { Fault } from "../ports/fault.ts";
import { parseMemoryKey } from "./memory-key.ts";

const said = (given: { readonly ptr?: string; readonly key?: string }) => {
  try {
    return parseMemoryKey({ ptr: "", key: "", ...given });
  } catch (error) {
    return error instanceof Fault ? `${error.code}: ${error.message}` : error;
  }
};

describe("a pointer to memory", () => {
  it.each([
    [{ ptr: "redis://ctx:j1" }, "context", "ctx:j1", ["j1"]],
    [{ ptr: ` "redis://res:j1" ` }, "result", "res:j1", ["j1"]],
    [{ key: "res:j1", ptr: "redis://ctx:j2" }, "result", "res:j1", ["j1"]],
    [{ key: "'redis://ctx/j1'" }, "context", "ctx:j1", ["j1"]],
    [{ key: "ctx:j1.0123456789ab" }, "context", "ctx:j1.0123456789ab", ["j1.0123456789ab", "j1"]],
    [{ key: "mem:j1" }, "memory", "mem:j1", ["j1"]],
    [{ key: "mem:j1:events" }, "memory", "mem:j1:events", ["j1:events", "j1"]],
    [{ key: "mem:mem:j1:chunk:7" }, "memory", "mem:mem:j1:chunk:7", ["mem:j1:chunk:7", "j1:chunk:7", "mem:j1", "j1"]],
  ])("%j is %s", (given, kind, key, candidates) => {
    expect(said(given)).toEqual({ kind, key, candidates });
  });

  const UNSUPPORTED = "INVALID_REQUEST: unsupported pointer key (only ctx:*, res:*, or mem:*)";
  it.each([
    [{}, "INVALID_REQUEST: missing ptr or key"],
    [{ ptr: `""` }, "INVALID_REQUEST: missing ptr or key"],
    [{ ptr: "ctx:j1" }, "INVALID_REQUEST: invalid pointer"],
    [{ ptr: "http://ctx:j1" }, "INVALID_REQUEST: invalid pointer"],
    [{ ptr: "redis://" }, "INVALID_REQUEST: invalid pointer"],
    [{ ptr: "redis://ctx:" }, "INVALID_REQUEST: invalid pointer"],
    [{ key: "redis://" }, "INVALID_REQUEST: invalid key pointer"],
    [{ key: "ctx:a b" }, "INVALID_REQUEST: invalid key pointer"],
    [{ key: "cordum:0:job:j1" }, UNSUPPORTED],
    [{ key: "art:j1" }, UNSUPPORTED],
    [{ ptr: "redis://CTX:j1" }, UNSUPPORTED],
    [{ key: "job:state:j1" }, UNSUPPORTED],
  ])("%j is refused: %s", (given, says) => {
    expect(said(given)).toBe(says);
  });
});
