// The recorded gRPC calls of the January kernel: same question, same answer, except where ours is safer.

import { readFileSync } from "node:fs";
import { type PolicyCheckRequest, type PolicyCheckResponse, SafetyKernel } from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import { checkAnswer, inputOfCheck } from "./kernel-messages.ts";
import { PolicySource } from "./policy-source.ts";

interface RecordedCall {
  readonly name: string;
  readonly method: string;
  readonly code: string;
  readonly request_hex: string;
  readonly response_hex?: string;
}

const file = JSON.parse(readFileSync(new URL("../../../../test/vectors/recorded.json", import.meta.url), "utf8")) as {
  readonly grpc: { readonly calls: readonly RecordedCall[] };
};

/** Rebuilt from the description of the recording and from its answers. */
const RECORDED_POLICY = `version: "1"
default_tenant: default
rules:
  - id: deny-secret-scan
    match: {topics: [job.deny]}
    decision: deny
    reason: not allowed here
    remediations:
      - id: use-echo
        title: Use echo
        summary: Run the harmless topic
        replacement_topic: job.echo
        replacement_capability: echo
        add_labels: {safe: "true"}
        remove_labels: [danger]
  - id: need-human
    match: {topics: [job.approve]}
    decision: require_approval
    reason: a person must agree
  - id: limit-it
    match: {topics: [job.limited]}
    decision: allow_with_constraints
    constraints:
      budgets: {max_runtime_ms: 60000, max_retries: 2, max_artifact_bytes: 1048576, max_concurrent_jobs: 3}
      sandbox:
        isolated: true
        network_allowlist: [api.example.org]
        fs_read_only: [/usr]
        fs_read_write: [/scratch]
      toolchain: {allowed_tools: [git], allowed_commands: [git status]}
      diff: {max_files: 5, max_lines: 100, deny_path_globs: ["**/.env"]}
      redaction_level: strict
  - id: slow-down
    match: {topics: [job.throttled]}
    decision: throttle
    reason: too many
`;

/** An effective config that is no JSON is ignored by the original; what it forbids would pass. */
const SAFER: ReadonlyMap<string, { readonly decision: number; readonly reason: string }> = new Map([
  ["check-effective-config-broken", { decision: 2, reason: "effective config is malformed" }],
]);

const source = new PolicySource();
source.replace(RECORDED_POLICY);
const bytesOf = (hex: string): Buffer => Buffer.from(hex, "hex");
const requestOf = (call: RecordedCall): PolicyCheckRequest =>
  SafetyKernel.check.requestDeserialize(bytesOf(call.request_hex));

/** Through the bytes of the wire and back, so that what is compared is what a caller would read. */
function answer(call: RecordedCall): PolicyCheckResponse {
  const request = requestOf(call);
  const decision = source.decide(inputOfCheck(request));
  if (decision === "unavailable") throw new Error("no policy");
  return SafetyKernel.check.responseDeserialize(
    SafetyKernel.check.responseSerialize(checkAnswer(decision, request.jobId)),
  );
}

const checks = file.grpc.calls.filter(
  ({ method, code }) => /SafetyKernel\/(Check|Evaluate|Explain|Simulate)$/.test(method) && code === "OK",
);

describe("recorded policy calls", () => {
  it("has the whole set", () => {
    expect(checks).toHaveLength(26);
    expect([...SAFER.keys()].every((name) => checks.some((call) => call.name === name))).toBe(true);
  });

  it.each(checks.map((call) => [call.name, call] as const))("%s", (name, call) => {
    const recorded = SafetyKernel.check.responseDeserialize(bytesOf(call.response_hex ?? ""));
    const ours = answer(call);
    expect(ours.policySnapshot === "").toBe(recorded.policySnapshot === "");
    expect({ ...ours, policySnapshot: "" }).toEqual({ ...recorded, policySnapshot: "", ...SAFER.get(name) });
  });

  it("names the policy in the same form", () => {
    expect(source.snapshot()).toMatch(/^1:[0-9a-f]{64}$/);
  });
});
