import { describe, expect, it } from "vitest";
import { POLICY_INPUT } from "../testing/blanks.ts";
import { PolicySource, SNAPSHOTS_KEPT } from "./policy-source.ts";

const numbered = (id: number): string => `rules: [{id: "${id}", decision: deny}]`;
const kindOf = (source: PolicySource): string => {
  const decision = source.decide(POLICY_INPUT);
  return decision === "unavailable" ? decision : decision.kind;
};

describe("the policy in force", () => {
  it("passes nothing before a policy is loaded", () => {
    const source = new PolicySource();
    expect([source.decide(POLICY_INPUT), source.explain(POLICY_INPUT), source.snapshot(), source.snapshots()]).toEqual([
      "unavailable",
      "unavailable",
      "",
      [],
    ]);
  });

  it("denies without a policy what no policy can allow", () => {
    expect(new PolicySource().decide({ ...POLICY_INPUT, topic: "sys.a" })).toMatchObject({
      kind: "deny",
      reason: "unsupported topic",
      snapshot: "",
    });
  });

  it("decides by the newest policy, and names it", () => {
    const source = new PolicySource();
    const replaced = source.replace("rules: [{id: a}]");
    expect(replaced).toMatchObject({
      kind: "loaded",
      snapshot: source.snapshot(),
      warnings: [{ code: "decision_missing" }],
    });
    expect(kindOf(source)).toBe("allow");
    source.replace(numbered(1));
    expect(source.decide(POLICY_INPUT)).toMatchObject({ kind: "deny", ruleId: "1", snapshot: source.snapshot() });
    expect(source.explain(POLICY_INPUT)).toMatchObject({ by: "rule", decision: { ruleId: "1" } });
  });

  it("keeps the old policy when the new one is invalid, and says why", () => {
    const source = new PolicySource();
    source.replace(numbered(1));
    const before = source.snapshot();
    expect(source.replace("rules: [{decision: maybe}]")).toMatchObject({
      kind: "refused",
      fault: { code: "POLICY_INVALID" },
    });
    expect([source.snapshot(), kindOf(source)]).toEqual([before, "deny"]);
  });

  it("stays without a policy when the first one is invalid", () => {
    const source = new PolicySource();
    expect(source.replace("[").kind).toBe("refused");
    expect(kindOf(source)).toBe("unavailable");
  });

  it("waits again when the policy is taken away, and comes back", () => {
    const source = new PolicySource();
    source.replace(numbered(1));
    expect(source.replace("")).toEqual({ kind: "unloaded" });
    expect([kindOf(source), source.snapshot(), source.snapshots()]).toEqual(["unavailable", "", []]);
    expect(source.replace(numbered(1)).kind).toBe("loaded");
    expect(kindOf(source)).toBe("deny");
  });

  it("does not take another layout for another policy", () => {
    const source = new PolicySource();
    source.replace(numbered(1));
    expect(source.replace(`# comment\n${numbered(1)}\n`).kind).toBe("unchanged");
    expect(source.snapshots()).toHaveLength(1);
  });

  it("remembers the last snapshots, newest first", () => {
    const source = new PolicySource();
    const seen = Array.from({ length: SNAPSHOTS_KEPT + 2 }, (_, id) => {
      source.replace(numbered(id));
      return source.snapshot();
    });
    expect(source.snapshots()).toEqual(seen.toReversed().slice(0, SNAPSHOTS_KEPT));
  });
});
