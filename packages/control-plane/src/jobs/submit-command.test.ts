import { decodeJobRequest, encodeJobRequest } from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import { Fault } from "../ports/fault.ts";
import { COMMAND } from "../testing/job-scene.ts";
import { type SubmitCommand, toRequest, validateCommand } from "./submit-command.ts";

const NOW = Date.UTC(2026, 0, 18, 10, 20, 30, 456);
const complaintsOf = (over: Partial<SubmitCommand>): readonly (readonly [string, string])[] => {
  try {
    validateCommand({ ...COMMAND, ...over });
    return [];
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    expect(error.code).toBe("INVALID_REQUEST");
    expect(error.message).toBe(error.fields[0]?.reason);
    return error.fields.map(({ field, reason }) => [field, reason] as const);
  }
};
const request = (over: Partial<SubmitCommand> = {}) =>
  toRequest({ ...COMMAND, ...over }, "job-1", "redis://ctx:job-1", NOW);
const labels = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`l${n}`, "v"]));
const hostileLabels = (): Record<string, string> =>
  JSON.parse('{"__proto__":"p","constructor":"c","toString":"t","hasOwnProperty":"h"}');

describe("validateCommand", () => {
  it.each<[string, Partial<SubmitCommand>, string, string]>([
    ["no prompt", { prompt: "" }, "prompt", "prompt is required"],
    ["a long prompt", { prompt: "x".repeat(100_001) }, "prompt", "prompt too long (>100000 chars)"],
    ["a prompt that is long in bytes", { prompt: "é".repeat(50_001) }, "prompt", "prompt too long (>100000 chars)"],
    ["another prefix", { topic: "task.x" }, "topic", "topic must start with job."],
    ["51 tags", { tags: Array(51).fill("t") }, "tags", "too many tags (max 50)"],
    ["51 labels", { labels: labels(51) }, "labels", "too many labels (max 50)"],
    ["10,000 labels", { labels: labels(10_000) }, "labels", "too many labels (max 50)"],
    ["negative tokens", { maxInputTokens: -1 }, "max_input_tokens", "token limits must be non-negative"],
    ["negative output", { maxOutputTokens: -1 }, "max_output_tokens", "token limits must be non-negative"],
    ["negative total", { maxTotalTokens: -1 }, "max_total_tokens", "token limits must be non-negative"],
    ["a negative deadline", { deadlineMs: -1 }, "deadline_ms", "deadline_ms must be non-negative"],
  ])("says as the original does: %s", (_, over, field, reason) => {
    expect(complaintsOf(over)).toEqual([[field, reason]]);
  });

  it.each<[string, Partial<SubmitCommand>]>([
    ["blanks as prompt", { prompt: "  " }],
    ["a prompt of exactly the limit", { prompt: "x".repeat(100_000) }],
    ["50 labels and tags", { labels: labels(50), tags: Array(50).fill("t") }],
    ["labels with the names of object members", { labels: hostileLabels() }],
    ["a tenant of one letter", { tenant: "a" }],
    ["a tenant with dots and dashes", { tenant: "acme-eu.prod_1" }],
    ["control characters in a prompt", { prompt: "a\u0000b\n" }],
    ["the largest numbers", { maxInputTokens: 2_147_483_647, maxOutputTokens: Number.MAX_SAFE_INTEGER }],
    ["a deadline of ten years", { deadlineMs: 315_360_000_000 }],
  ])("takes %s", (_, over) => {
    expect(complaintsOf(over)).toEqual([]);
  });

  it.each<[string, Partial<SubmitCommand>, string]>([
    ["a topic with a wildcard", { topic: "job.>" }, "topic"],
    ["a topic with a blank", { topic: "job.a b" }, "topic"],
    ["a bare prefix", { topic: "job." }, "topic"],
    ["a topic of 257 characters", { topic: `job.${"x".repeat(253)}` }, "topic"],
    ["a tenant with a colon", { tenant: "a:b" }, "tenant_id"],
    ["an empty tenant", { tenant: "" }, "tenant_id"],
    ["a tenant of 129 letters", { tenant: "a".repeat(129) }, "tenant_id"],
    ["a tenant that begins with a dash", { tenant: "-a" }, "tenant_id"],
    ["a line break in a principal", { principal: "ada\nroot" }, "principal_id"],
    ["half a character in a capability", { capability: "\ud800" }, "capability"],
    ["a delete character in a team", { team: "a\u007f" }, "team_id"],
    ["a long idempotency key", { idempotencyKey: "k".repeat(513) }, "idempotency_key"],
    ["an empty label name", { labels: { "": "v" } }, "labels"],
    ["a label name of 257 bytes", { labels: { ["é".repeat(129)]: "v" } }, "labels"],
    ["half a character in a label name", { labels: { "\udc00": "v" } }, "labels"],
    ["a label value of 4,097 bytes", { labels: { l: "x".repeat(4_097) } }, "labels.l"],
    ["half a character in a label value", { labels: { l: "\ud800x" } }, "labels.l"],
    ["101 risk tags", { riskTags: Array(101).fill("t") }, "risk_tags"],
    ["a long entry of requires", { requires: ["x".repeat(513)] }, "requires"],
    ["half a character in a tag", { tags: ["\ud800"] }, "tags"],
    ["tokens beyond int32", { maxInputTokens: 2_147_483_648 }, "max_input_tokens"],
    ["tokens beyond 2^53", { maxTotalTokens: 2 ** 53 }, "max_total_tokens"],
    ["tokens that are no number", { maxOutputTokens: Number.NaN }, "max_output_tokens"],
    ["half a token", { maxOutputTokens: 0.5 }, "max_output_tokens"],
    ["an endless deadline", { deadlineMs: Number.POSITIVE_INFINITY }, "deadline_ms"],
    ["a deadline of eleven years", { deadlineMs: 346_896_000_000 }, "deadline_ms"],
    ["half a millisecond", { deadlineMs: 0.5 }, "deadline_ms"],
  ])("refuses %s", (_, over, field) => {
    expect(complaintsOf(over).map(([name]) => name)).toEqual([field]);
  });

  it("names every field that is wrong", () => {
    const all = complaintsOf({
      prompt: "",
      topic: "x",
      tenant: "",
      team: "\n",
      deadlineMs: -1,
      tags: Array(60).fill(""),
    });
    expect(all.map(([field]) => field)).toEqual(["prompt", "topic", "tenant_id", "team_id", "tags", "deadline_ms"]);
  });
});

describe("toRequest", () => {
  it("says to the second when each was made, in whatever order they come", () => {
    const madeAt = (now: number): unknown =>
      JSON.parse(toRequest(COMMAND, "job-1", "redis://x", now).context).created_at;
    expect([NOW, NOW + 543, NOW + 544, NOW - 456, NOW - 457].map(madeAt)).toEqual([
      "2026-01-18T10:20:30Z",
      "2026-01-18T10:20:30Z",
      "2026-01-18T10:20:31Z",
      "2026-01-18T10:20:30Z",
      "2026-01-18T10:20:29Z",
    ]);
  });

  it("makes the request that workers of the original know", () => {
    const { message, context } = request({
      priority: "critical",
      priorityText: "Critical",
      team: "t",
      projectId: "p",
      contextMode: "rag",
      adapterId: "a",
      actorType: "human",
      packId: "pack",
      capability: "cap",
      riskTags: ["write"],
      requires: ["gpu"],
      labels: { x: "1" },
      tags: ["tag"],
      allowRetrieval: true,
      maxTotalTokens: 5,
      deadlineMs: 1_000,
      idempotencyKey: "k",
    });
    expect(message).toMatchObject({
      jobId: "job-1",
      topic: "job.echo",
      priority: 3,
      adapterId: "a",
      contextPtr: "redis://ctx:job-1",
      memoryId: "mem:job-1",
      tenantId: "acme",
      principalId: "ada",
      contextHints: { maxInputTokens: 8_000, allowSummarization: false, allowRetrieval: true, tags: ["tag"] },
      budget: { maxInputTokens: 8_000, maxOutputTokens: 1_024, maxTotalTokens: 5, deadlineMs: 1_000 },
      meta: {
        tenantId: "acme",
        actorId: "ada",
        actorType: 1,
        idempotencyKey: "k",
        capability: "cap",
        riskTags: ["write"],
        requires: ["gpu"],
        packId: "pack",
      },
    });
    expect({ ...message.labels }).toEqual({ x: "1" });
    expect({ ...message.meta?.labels }).toEqual({ x: "1" });
    expect({ ...message.env }).toEqual({
      tenant_id: "acme",
      max_input_tokens: "8000",
      max_output_tokens: "1024",
      memory_id: "mem:job-1",
      team_id: "t",
      project_id: "p",
      context_mode: "rag",
    });
    expect(JSON.parse(Buffer.from(context).toString())).toEqual({
      prompt: "hello",
      adapter_id: "a",
      priority: "Critical",
      topic: "job.echo",
      created_at: "2026-01-18T10:20:30Z",
      tenant_id: "acme",
      context: { n: 1 },
    });
  });

  it("drops labels that only the control plane sets", () => {
    const { message } = request({
      labels: {
        approval_granted: "true",
        approval_reason: "r",
        approval_note: "n",
        approval_snapshot: "s",
        "cordum.bus_msg_id": "m",
        keep: "1",
      },
    });
    expect({ ...message.labels }).toEqual({ keep: "1" });
    expect({ ...message.meta?.labels }).toEqual({ keep: "1" });
  });

  it.each<[string, Partial<SubmitCommand>]>([
    ["a prompt", { prompt: "use secret://vault/a" }],
    ["a context", { context: { deep: [{ er: "secret://x" }] } }],
    ["a key of a context", { context: { "secret://x": 1 } }],
  ])("marks secrets in %s, whatever the caller says", (_, over) => {
    for (const says of [undefined, "false", "0", "no", "true"]) {
      const { message } = request({ ...over, labels: says === undefined ? {} : { secrets_present: says } });
      expect(message.labels.secrets_present).toBe("true");
      expect(message.meta?.riskTags).toEqual(["secrets"]);
    }
    expect(request({ ...over, riskTags: ["Secrets", "x"] }).message.meta?.riskTags).toEqual(["Secrets", "x"]);
  });

  it("believes a caller who says that there are secrets, and nobody who says that there are none", () => {
    expect(request({ labels: { secrets_present: " Yes " } }).message.labels.secrets_present).toBe("true");
    expect(request({ labels: { secrets_present: "false" } }).message.labels).not.toHaveProperty("secrets_present");
    expect(request({}).message.meta?.riskTags).toEqual([]);
  });

  it("carries names of object members as data, there and back", () => {
    const context: unknown = JSON.parse('{"__proto__":{"polluted":true},"constructor":1}');
    const made = request({ labels: hostileLabels(), context });
    const read = decodeJobRequest(encodeJobRequest(made.message));
    expect(Object.entries(read.labels).sort()).toEqual(Object.entries(hostileLabels()).sort());
    expect(Buffer.from(made.context).toString()).toContain('"context":{"__proto__":{"polluted":true},"constructor":1}');
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
  });

  it("leaves out a context of null, and keeps one of false", () => {
    const blob = (context: unknown) => JSON.parse(Buffer.from(request({ context }).context).toString());
    expect(blob(null)).not.toHaveProperty("context");
    expect(blob(undefined)).not.toHaveProperty("context");
    expect(blob(false)).toHaveProperty("context", false);
  });
});
