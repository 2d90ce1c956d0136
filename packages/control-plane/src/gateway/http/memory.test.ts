import { encodeJobRequest, JobRequest } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createJob } from "../../jobs/submit.ts";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

const never = new AbortController().signal;
let scene: Scene;
beforeEach(async () => {
  scene = await openScene();
});
afterEach(() => scene[Symbol.asyncDispose]());

const submit = async (key: string, body: object): Promise<string> =>
  (await scene.post(key, "/api/v1/jobs", { prompt: "x", ...body })).json().job_id;
const read = (query: string, key = "admin-key") => scene.call(key, "GET", `/api/v1/memory?${query}`);
const put = (key: string, text: string | Uint8Array) =>
  scene.core.parts.payloads.put(key, Buffer.from(text as string), 60_000, never);

describe("the reader of memory pointers", () => {
  it("shows a context as bytes, text and JSON", async () => {
    const id = await submit("submitter-key", { prompt: "hello" });
    const shown = (await read(`ptr=redis://ctx:${id}`)).json();
    expect(shown).toMatchObject({
      pointer: `redis://ctx:${id}`,
      key: `ctx:${id}`,
      kind: "context",
      json: { prompt: "hello", tenant_id: "acme" },
    });
    expect(Buffer.from(shown.base64, "base64").toString()).toBe(shown.text);
    expect(JSON.parse(shown.text)).toEqual(shown.json);
    expect(shown.size_bytes).toBe(Buffer.byteLength(shown.text));
    expect((await read(`key=ctx:${id}`)).json()).toEqual(shown);
    const keyed = await submit("submitter-key", { idempotency_key: "k" });
    const { context_ptr } = (await scene.call("admin-key", "GET", `/api/v1/jobs/${keyed}`)).json();
    expect((await read(`ptr=${context_ptr}`)).json()).toMatchObject({ kind: "context", pointer: context_ptr });
  });

  it("shows results that are no text or no JSON as what they are, and memory with its type", async () => {
    const id = await submit("submitter-key", {});
    await put(`res:${id}`, Uint8Array.of(255, 254, 0));
    expect((await read(`ptr=redis://res:${id}`)).json()).toEqual({
      pointer: `redis://res:${id}`,
      key: `res:${id}`,
      kind: "result",
      size_bytes: 3,
      base64: "//4A",
    });
    await put(`res:${id}`, "plain");
    const plain = (await read(`ptr=redis://res:${id}`)).json();
    expect([plain.text, "json" in plain]).toEqual(["plain", false]);
    await put(`mem:mem:${id}:summary`, "42");
    expect((await read(`key=mem:mem:${id}:summary`)).json()).toMatchObject({
      kind: "memory",
      json: { redis_type: "string", value: 42 },
    });
    await put(`mem:${id}:summary`, Uint8Array.of(255));
    expect((await read(`key=mem:${id}:summary`)).json()).toMatchObject({
      json: { redis_type: "string", base64: "/w==" },
    });
  });

  it("answers what is another's, what is nobody's and what is not there alike", async () => {
    const [own, foreign] = [await submit("submitter-key", {}), await submit("other-admin-key", {})];
    await put(`mem:${foreign}:events`, "theirs");
    await put("mem:customer-42:events", "somebody's");
    await put(`res:${foreign}`, "theirs");
    const nowhere = await read("ptr=redis://ctx:nobody");
    expect([nowhere.statusCode, nowhere.json().code, nowhere.json().error]).toEqual([
      404,
      "MEMORY_NOT_FOUND",
      "not found",
    ]);
    for (const key of [
      `ctx:${foreign}`,
      `res:${foreign}`,
      `mem:${foreign}:events`,
      "mem:customer-42:events",
      `res:${own}`,
    ]) {
      const answer = await read(`key=${key}`);
      expect([key, answer.statusCode, answer.json().error]).toEqual([key, 404, "not found"]);
    }
    expect((await read(`key=ctx:${own}`, "other-admin-key")).statusCode).toBe(404);
    expect(
      (
        await scene.call("root-key", "GET", `/api/v1/memory?key=ctx:${foreign}`, {
          headers: { "x-tenant-id": "other" },
        })
      ).statusCode,
    ).toBe(200);
  });

  it("hides a key that can be read as another tenant's, whoever else's it may be", async () => {
    const id = await submit("submitter-key", {});
    await put(`mem:${id}:events`, "mine");
    expect((await read(`key=mem:${id}:events`)).statusCode).toBe(200);
    const request: JobRequest = { ...JobRequest.make(), jobId: `${id}:events`, topic: "job.echo", tenantId: "other" };
    const draft = {
      jobId: `${id}:events`,
      tenant: "other",
      topic: "job.echo",
      traceId: "t",
      team: "",
      principal: "",
    } as const;
    const rest = {
      request,
      encoded: encodeJobRequest(request),
      bodyHash: "",
      deadlineMs: 0,
      priority: "interactive",
    } as const;
    await createJob({ ...draft, ...rest }, scene.core.parts, never);
    for (const key of ["admin-key", "other-admin-key"])
      expect((await read(`key=mem:${id}:events`, key)).statusCode).toBe(404);
  });

  it("says what is wrong with a pointer, and reads no other key of the store", async () => {
    for (const [query, says] of [
      ["", "missing ptr or key"],
      ["ptr=%22%22", "missing ptr or key"],
      ["ptr=ctx:x", "invalid pointer"],
      ["key=redis://", "invalid key pointer"],
      ["key=art:x", "unsupported pointer key (only ctx:*, res:*, or mem:*)"],
      ["ptr=redis://cordum:0:job:x", "unsupported pointer key (only ctx:*, res:*, or mem:*)"],
    ] as const) {
      const answer = await read(query);
      expect([query, answer.statusCode, answer.json().error]).toEqual([query, 400, says]);
    }
    expect((await read("key=ctx:x", "viewer-key")).statusCode).toBe(403);
  });

  it("blanks out references to secrets in every form", async () => {
    const id = await submit("submitter-key", {});
    for (const stored of [
      '{"a":"\\u0073ecret://vault/hidden","b":1}',
      '{"a":"secret://vault/hidden","a":"twice"}',
      "text with secret://vault/hidden in it",
      Buffer.concat([Buffer.from([255]), Buffer.from("secret://vault/hidden")]),
    ]) {
      await put(`res:${id}`, stored);
      const shown = (await read(`key=res:${id}`)).json();
      expect(shown.redacted).toBe(true);
      expect(`${JSON.stringify(shown)} ${Buffer.from(shown.base64, "base64")}`).not.toContain("hidden");
    }
  });
});
