import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ALLOWS_NOTHING,
  constraintsEnv,
  constraintsToProtoJson,
  constraintsToRest,
  isUnconstrained,
  mergeConstraints,
} from "./constraints.ts";
import type { Constraints, Decision } from "./decision.ts";
import { constraintsOf, decisionToRest, PROTO_DECISIONS, REST_DECISIONS } from "./decision-forms.ts";

const EXAMPLE: Constraints = {
  budgets: { maxRuntimeMs: 60_000, maxRetries: 2 },
  sandbox: { isolated: true, networkAllowlist: ["*.acme.test"] },
};
const FULL: Constraints = {
  budgets: { maxRuntimeMs: 60_000, maxRetries: 2, maxArtifactBytes: 1_048_576, maxConcurrentJobs: 3 },
  sandbox: { isolated: true, networkAllowlist: ["a"], fsReadOnly: ["/usr"], fsReadWrite: ["/scratch"] },
  toolchain: { allowedTools: ["git"], allowedCommands: ["git status"] },
  diff: { maxFiles: 5, maxLines: 100, denyPathGlobs: ["**/.env"] },
  redactionLevel: "strict",
};

describe("forms", () => {
  it("writes the env of a job", () => {
    expect(constraintsEnv(EXAMPLE)).toEqual({
      CORDUM_POLICY_CONSTRAINTS:
        '{"budgets":{"maxRuntimeMs":"60000","maxRetries":2},"sandbox":{"isolated":true,"networkAllowlist":["*.acme.test"]},"toolchain":{},"diff":{}}',
      CORDUM_MAX_RETRIES: "2",
    });
    const { CORDUM_POLICY_CONSTRAINTS, ...rest } = constraintsEnv(FULL);
    expect(JSON.parse(CORDUM_POLICY_CONSTRAINTS ?? "")).toMatchObject({
      budgets: { maxArtifactBytes: "1048576", maxConcurrentJobs: 3 },
      redactionLevel: "strict",
    });
    expect(rest).toEqual({
      CORDUM_REDACTION_LEVEL: "strict",
      CORDUM_MAX_ARTIFACT_BYTES: "1048576",
      CORDUM_MAX_CONCURRENT_JOBS: "3",
      CORDUM_MAX_RETRIES: "2",
    });
  });

  it.each<Constraints>([
    {},
    { budgets: {} },
    { budgets: { maxRetries: 0 }, sandbox: { isolated: false, fsReadOnly: [] }, redactionLevel: "" },
  ])("has no form for %j", (nothing) => {
    expect(isUnconstrained(nothing)).toBe(true);
    expect(constraintsToProtoJson(nothing)).toBeNull();
    expect(constraintsToRest(nothing)).toEqual({});
    expect(constraintsEnv(nothing)).toEqual({});
  });

  it("writes 64-bit integers without loss", () => {
    expect(constraintsToProtoJson({ budgets: { maxArtifactBytes: Number.MAX_SAFE_INTEGER } })).toMatchObject({
      budgets: { maxArtifactBytes: "9007199254740991" },
    });
  });

  it("writes the form of job details", () => {
    expect(constraintsToRest(FULL)).toEqual({
      budgets: { max_runtime_ms: 60_000, max_retries: 2, max_artifact_bytes: 1_048_576, max_concurrent_jobs: 3 },
      sandbox: { isolated: true, network_allowlist: ["a"], fs_read_only: ["/usr"], fs_read_write: ["/scratch"] },
      toolchain: { allowed_tools: ["git"], allowed_commands: ["git status"] },
      diff: { max_files: 5, max_lines: 100, deny_path_globs: ["**/.env"] },
      redaction_level: "strict",
    });
    expect(constraintsToRest(EXAMPLE)).toEqual({
      budgets: { max_runtime_ms: 60_000, max_retries: 2 },
      sandbox: { isolated: true, network_allowlist: ["*.acme.test"] },
    });
  });
});

describe("merging", () => {
  it.each<[string, Constraints, Constraints, Constraints]>([
    [
      "the smaller number",
      { budgets: { maxRetries: 2, maxRuntimeMs: 5 } },
      { budgets: { maxRetries: 1 } },
      { budgets: { maxRuntimeMs: 5, maxRetries: 1 } },
    ],
    [
      "isolated when either is",
      { sandbox: { isolated: false } },
      { sandbox: { isolated: true } },
      { sandbox: { isolated: true } },
    ],
    [
      "what both allow",
      { toolchain: { allowedTools: ["a", "b"] } },
      { toolchain: { allowedTools: ["b", "c"] } },
      { toolchain: { allowedTools: ["b"] } },
    ],
    [
      "the only list",
      { toolchain: { allowedTools: ["a"] } },
      { toolchain: { allowedTools: [] } },
      { toolchain: { allowedTools: ["a"] } },
    ],
    [
      "nothing, not anything",
      { sandbox: { fsReadOnly: ["/a"] } },
      { sandbox: { fsReadOnly: ["/b"] } },
      { sandbox: { fsReadOnly: [ALLOWS_NOTHING] } },
    ],
    [
      "hosts under wildcards",
      { sandbox: { networkAllowlist: ["*.a.test", "x.test"] } },
      { sandbox: { networkAllowlist: ["b.a.test", "*", "a.test"] } },
      { sandbox: { networkAllowlist: ["*.a.test", "x.test", "b.a.test"] } },
    ],
    [
      "what either denies",
      { diff: { denyPathGlobs: ["a"] } },
      { diff: { denyPathGlobs: ["b", "a"] } },
      { diff: { denyPathGlobs: ["a", "b"] } },
    ],
    ["the first redaction level", { redactionLevel: "a" }, { redactionLevel: "b" }, { redactionLevel: "a" }],
    ["the only redaction level", {}, { redactionLevel: "b" }, { redactionLevel: "b" }],
    ["nothing of nothing", {}, { budgets: { maxRetries: 0 } }, {}],
  ])("gives %s", (_, a, b, expected) => {
    expect(mergeConstraints(a, b)).toEqual(expected);
  });

  it("only tightens, and changes nothing when nothing is added", () => {
    const list = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 3 });
    const constraints: fc.Arbitrary<Constraints> = fc.record({
      budgets: fc.record({ maxRetries: fc.nat(3), maxRuntimeMs: fc.nat(3) }),
      sandbox: fc.record({ isolated: fc.boolean(), networkAllowlist: list }),
      toolchain: fc.record({ allowedTools: list }),
    });
    const allows = ({ toolchain }: Constraints, tool: string): boolean => {
      const tools = toolchain?.allowedTools ?? [];
      return tools.length === 0 || tools.includes(tool);
    };
    fc.assert(
      fc.property(constraints, constraints, fc.constantFrom("a", "b", "c", "d"), (a, b, tool) => {
        const both = mergeConstraints(a, b);
        expect(allows(both, tool)).toBe(allows(a, tool) && allows(b, tool));
        expect(both.sandbox?.isolated === true).toBe(a.sandbox?.isolated === true || b.sandbox?.isolated === true);
        expect(constraintsToRest(mergeConstraints(both, {}))).toEqual(constraintsToRest(both));
      }),
    );
  });
});

describe("decisions", () => {
  const verdict = { ruleId: "r", ruleHash: "h", reason: "because", snapshot: "s", remediations: [] };
  const record = (decision: Decision): ReturnType<typeof decisionToRest> =>
    decisionToRest({ at: 1_700_000_000_123, jobHash: "jh", decision }, "job-1");

  it("have a name in each interface", () => {
    expect(REST_DECISIONS.require_approval).toBe("REQUIRE_APPROVAL");
    expect(PROTO_DECISIONS.require_approval).toEqual({ name: "DECISION_TYPE_REQUIRE_HUMAN", number: 3 });
  });

  it("are listed with everything that is set", () => {
    const remediation = {
      id: "x",
      title: "",
      summary: "",
      replacementTopic: "job.b",
      replacementCapability: "",
      addLabels: { a: "b" },
      removeLabels: [],
    };
    expect(record({ ...verdict, kind: "require_approval", constraints: EXAMPLE, remediations: [remediation] })).toEqual(
      {
        decision: "REQUIRE_APPROVAL",
        reason: "because",
        rule_id: "r",
        policy_snapshot: "s",
        constraints: constraintsToRest(EXAMPLE),
        remediations: [{ id: "x", replacement_topic: "job.b", add_labels: { a: "b" } }],
        approval_required: true,
        approval_ref: "job-1",
        job_hash: "jh",
        checked_at: 1_700_000_000_123_000,
      },
    );
  });

  it("are listed without what is empty", () => {
    const bare: Decision = {
      kind: "deny",
      ruleId: "",
      ruleHash: "",
      reason: "missing topic",
      snapshot: "",
      remediations: [],
    };
    expect(decisionToRest({ at: 1, jobHash: "", decision: bare }, "job-1")).toEqual({
      decision: "DENY",
      reason: "missing topic",
      checked_at: 1000,
    });
  });

  it("have constraints only when one is set", () => {
    expect(constraintsOf({ ...verdict, kind: "allow_with_constraints", constraints: {} })).toBeUndefined();
    expect(constraintsOf({ ...verdict, kind: "deny" })).toBeUndefined();
    expect(constraintsOf({ ...verdict, kind: "allow_with_constraints", constraints: EXAMPLE })).toBe(EXAMPLE);
  });
});
