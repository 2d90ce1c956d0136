import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_ARTIFACT_SETTINGS } from "../../artifacts/use-artifacts.ts";
import { openScene, type Scene } from "../testing/gateway-scene.ts";

let scene: Scene;
let url: string;
beforeAll(async () => {
  scene = await openScene({ artifacts: { ...DEFAULT_ARTIFACT_SETTINGS, bytesMax: 100_000 } });
  url = await scene.gateway.listen({ host: "127.0.0.1", port: 0 });
});
afterAll(() => scene[Symbol.asyncDispose]());

const ROUTE = "/api/v1/artifacts";
async function uploaded(body: object = { content: "hello" }, key = "submitter-key"): Promise<string> {
  const answer = await scene.post(key, ROUTE, body);
  expect(answer.statusCode).toBe(200);
  return answer.json().artifact_ptr;
}
const read = (pointer: string, key = "viewer-key") => scene.call(key, "GET", `${ROUTE}/${encodeURIComponent(pointer)}`);

describe("artifacts over HTTP", () => {
  it("come back as they went, from text and from base64, which wins", async () => {
    const body = { content: "no", content_base64: "aGVs\r\nbG8=", content_type: " text/plain ", retention: "Audit" };
    const answer = await scene.post("worker-key", ROUTE, body);
    expect(answer.json()).toMatchObject({ artifact_ptr: expect.stringMatching(/^redis:\/\/art:/), size_bytes: 5 });
    expect((await read(answer.json().artifact_ptr)).json()).toMatchObject({
      artifact_ptr: answer.json().artifact_ptr,
      content_base64: "aGVsbG8=",
      metadata: { content_type: "text/plain", size_bytes: 5, retention: "audit", labels: { tenant_id: "acme" } },
    });
    const text = await uploaded({ content: "grün ✓" });
    expect(Buffer.from((await read(text)).json().content_base64, "base64").toString()).toBe("grün ✓");
  });

  it("are found under every spelling of their pointer, over a real socket", async () => {
    const pointer = await uploaded();
    const headers = { "x-api-key": "viewer-key" };
    const id = pointer.slice("redis://art:".length);
    for (const rest of [pointer, encodeURIComponent(pointer), `redis:/art:${id}`, `art:${id}`, `art%3A${id}`, id]) {
      const answer = await fetch(`${url}${ROUTE}/${rest}`, { headers });
      expect([rest, answer.status]).toEqual([rest, 200]);
    }
  });

  it("are bytes for those who ask for bytes, and nothing that a browser would run", async () => {
    const pointer = await uploaded({ content: "<script>", content_type: "text/html" });
    const answer = await scene.call("viewer-key", "GET", `${ROUTE}/${pointer}`, {
      headers: { accept: "application/octet-stream" },
    });
    expect(answer.body).toBe("<script>");
    expect(answer.headers).toMatchObject({
      "content-type": "application/octet-stream",
      "content-disposition": "attachment",
      "x-content-type-options": "nosniff",
    });
  });

  it("may be larger than other bodies, up to their own limit, of the server and of the caller", async () => {
    const fits = { content_base64: Buffer.alloc(100_000).toString("base64") };
    expect((await scene.post("submitter-key", ROUTE, fits)).json().size_bytes).toBe(100_000);
    const tooLarge = { content_base64: Buffer.alloc(100_001).toString("base64") };
    for (const [body, query, header] of [
      [tooLarge, "", ""],
      [fits, "?max_bytes=99999", ""],
      [fits, "", "99999"],
      [fits, "?max_bytes=0", "99999"],
    ] as const) {
      const headers = { "content-type": "application/json", ...(header && { "x-max-artifact-bytes": header }) };
      const answer = await scene.call("submitter-key", "POST", `${ROUTE}${query}`, { payload: body, headers });
      expect([answer.statusCode, answer.json().error]).toEqual([413, expect.stringContaining("artifact too large")]);
    }
    const pointer = await uploaded(fits);
    expect((await scene.call("viewer-key", "GET", `${ROUTE}/${pointer}?max_bytes=5`)).statusCode).toBe(413);
  });

  it.each<[string, object | string, string]>([
    ["no content", {}, "content"],
    ["empty content", { content: "" }, "content"],
    ["half of base64", { content_base64: "aGVsbG8" }, "content_base64"],
    ["base64 of URLs", { content_base64: "-_-_" }, "content_base64"],
    ["half a character", '{"content":"\\ud800"}', "content"],
    ["labels that are no text", { content: "x", labels: { a: 1 } }, "labels.a"],
    ["no body", "", "body"],
  ])("with %s are refused", async (_, body, field) => {
    const answer = await scene.call("submitter-key", "POST", ROUTE, {
      payload: typeof body === "string" ? body : JSON.stringify(body),
      headers: { "content-type": "application/json" },
    });
    expect([answer.statusCode, answer.json().errors[0]?.field]).toEqual([400, field]);
  });

  it("are the only keys that are read, whatever the pointer says", async () => {
    const { job_id } = (await scene.post("submitter-key", "/api/v1/jobs", { prompt: "secret-prompt" })).json();
    for (const pointer of [
      `redis://ctx:${job_id}`,
      "redis://art:../ctx",
      "redis://",
      "%00",
      "a/b",
      "redis://art:meta:x",
    ]) {
      const answer = await read(pointer, "admin-key");
      expect([pointer, answer.statusCode]).toEqual([pointer, 400]);
      expect(answer.body).not.toContain("secret-prompt");
    }
    expect((await read("redis://art:00000000-0000-4000-8000-000000000000")).json()).toMatchObject({
      status: 404,
      error: "artifact not found",
    });
  });

  it("of another tenant are not there, and no label claims otherwise", async () => {
    const pointer = await uploaded();
    expect((await read(pointer, "other-admin-key")).json()).toMatchObject({ status: 404, error: "artifact not found" });
    expect((await scene.call("other-admin-key", "DELETE", `${ROUTE}/${pointer}`)).statusCode).toBe(204);
    expect((await read(pointer)).statusCode).toBe(200);
    const claim = { content: "x", labels: { tenant_id: "other" } };
    expect((await scene.post("submitter-key", ROUTE, claim)).statusCode).toBe(403);
    const list = (await scene.call("other-admin-key", "GET", ROUTE)).json();
    expect(list).toEqual({ items: [], next_cursor: null });
  });

  it("are listed page by page and removed", async () => {
    const pointer = await uploaded();
    const page = await scene.call("viewer-key", "GET", `${ROUTE}?limit=1`);
    expect(page.json().items).toHaveLength(1);
    expect(page.headers.link).toContain('rel="next"');
    expect((await scene.call("operator-key", "DELETE", `${ROUTE}/${encodeURIComponent(pointer)}`)).statusCode).toBe(
      204,
    );
    expect((await read(pointer)).statusCode).toBe(404);
  });
});
