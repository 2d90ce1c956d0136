import { describe, expect, it } from "vitest";
import { meaningOf } from "./reply-fault.ts";

describe("error answers of Redis", () => {
  it("say where to ask next", () => {
    expect(meaningOf("MOVED 3999 127.0.0.1:6381")).toEqual({ kind: "moved", address: "127.0.0.1:6381" });
    expect(meaningOf("ASK 3999 fe80::1:6381")).toEqual({ kind: "ask", address: "fe80::1:6381" });
    expect(meaningOf("READONLY You can't write against a read only replica.").kind).toBe("elsewhere");
    expect(meaningOf("CLUSTERDOWN The cluster is down").kind).toBe("elsewhere");
  });

  it("say whether anything was done", () => {
    expect(meaningOf("LOADING Redis is loading the dataset in memory").kind).toBe("again");
    expect(meaningOf("NOSCRIPT No matching script. Please use EVAL.").kind).toBe("no_script");
    expect(meaningOf("OOM command not allowed when used memory > 'maxmemory'.").kind).toBe("refused");
    for (const message of ["ERR something", "", "WRONGTYPE Operation", "__proto__ x", "constructor"]) {
      expect(meaningOf(message)).toEqual({ kind: "unknown" });
    }
  });
});
