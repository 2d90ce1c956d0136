import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Problem } from "./problem.ts";
import { openScene, type Scene } from "./testing/gateway-scene.ts";
import { raw as rawTo } from "./testing/raw-http.ts";

// Over real sockets: what a parser refuses never reaches an injected request.
let scene: Scene;
let url: string;
beforeAll(async () => {
  scene = await openScene({ headReadMs: 1_000, requestReadMs: 2_000 });
  url = await scene.gateway.listen({ host: "127.0.0.1", port: 0 });
});
afterAll(() => scene[Symbol.asyncDispose]());

const post = (
  body: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
  headers: Record<string, string> = {},
  path = "/api/v1/jobs",
) =>
  fetch(`${url}${path}`, { method: "POST", body, headers: { "x-api-key": "admin-key", ...headers }, duplex: "half" });
async function problemOf(answer: Response): Promise<Problem> {
  return JSON.parse(await answer.text());
}
const isAlive = async () => (await fetch(`${url}/health`)).status === 200;

/** Sends raw bytes to the scene and reads until it closes. */
const raw = (text: string) => rawTo(url, text);

describe("bodies", () => {
  it.each<[string, string]>([
    ["half an object", '{"prompt":"x"'],
    ["two values", '{"prompt":"x"}{"prompt":"y"}'],
    ["a bare word", "prompt"],
    ["a control character", '{"prompt":"a\nb"}'],
    ["a byte order mark inside", '{"prompt":\ufeff"x"}'],
    ["NaN", '{"prompt":"x","deadline_ms":NaN}'],
    ["__proto__", '{"prompt":"x","__proto__":{"tenant_id":"other"}}'],
    ["__proto__ deep inside", '{"prompt":"x","context":{"a":[{"__proto__":{"admin":true}}]}}'],
    ["an escaped __proto__", '{"prompt":"x","context":{"\\u005f_proto__":{"admin":true}}}'],
    ["constructor.prototype", '{"prompt":"x","labels":{"constructor":{"prototype":{"admin":true}}}}'],
  ])("with %s are refused", async (_, body) => {
    const answer = await post(body);
    expect([answer.status, (await problemOf(answer)).error]).toEqual([400, "invalid json"]);
    expect(Reflect.get({}, "admin")).toBeUndefined();
  });

  it("may be nested as deep as the limit and no deeper, and do not cost the stack", async () => {
    const nested = (levels: number) => `{"prompt":"x","context":${"[".repeat(levels)}${"]".repeat(levels)}}`;
    expect((await post(nested(128))).status).toBe(200);
    for (const levels of [129, 5_000, 900_000]) {
      const answer = await post(nested(levels));
      expect([answer.status, (await problemOf(answer)).errors[0]?.field]).toEqual([400, "context"]);
    }
  });

  it("are refused when they are too large, with and without a length", async () => {
    const large = `{"prompt":"${"x".repeat(5_000_000)}"}`;
    const told = await post(large);
    expect([told.status, (await problemOf(told)).code]).toEqual([413, "BODY_TOO_LARGE"]);
    const streamed = await post(new Blob([large]).stream()).catch((error: unknown) => error);
    // The server closes a stream that goes on and on; a client may see that before the answer.
    if (streamed instanceof Response) expect(streamed.status).toBe(413);
    expect(await isAlive()).toBe(true);
  });

  it("that are not UTF-8, empty or blank do no harm", async () => {
    expect((await post(Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d))).status).toBe(400);
    for (const empty of ["", "  \r\n"]) {
      const answer = await post(empty, { "content-type": "application/json" });
      expect([answer.status, (await problemOf(answer)).error]).toEqual([400, "invalid json"]);
      expect((await post(empty, { "content-type": "application/json" }, "/api/v1/approvals/x/approve")).status).toBe(
        404,
      );
    }
    const broken = await post("{", {}, "/api/v1/approvals/x/approve");
    expect(broken.status).toBe(400);
    const wrong = await post('{"reason":5}', {}, "/api/v1/approvals/x/approve");
    expect([wrong.status, (await problemOf(wrong)).error]).toEqual([400, "invalid body"]);
  });

  it("with thousands of wrong members get a short answer", async () => {
    const labels = Object.fromEntries(Array.from({ length: 50_000 }, (_, n) => [`l${n}`, n]));
    const answer = await post(JSON.stringify({ prompt: "x", labels }));
    expect(answer.status).toBe(400);
    expect((await answer.text()).length).toBeLessThan(20_000);
  });
});

describe("requests", () => {
  it.each([
    ["nonsense", "\x00\x01\x02\r\n\r\n", "400"],
    ["a huge header", `GET /health HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(40_000)}\r\n\r\n`, "431"],
    ["a huge query", `GET /api/v1/jobs?x=${"y".repeat(40_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, "431"],
    ["a header with a line break", "GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\rSet-Cookie: b\r\n\r\n", "400"],
    ["two lengths", "POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "400"],
    [
      "a length and chunks",
      "POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "400",
    ],
    ["no host", "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", "400"],
  ])("that are %s are refused and cut off", async (_, text, status) => {
    expect((await raw(text)).split(" ")[1]).toBe(status);
    expect(await isAlive()).toBe(true);
  });

  it("that come too slowly are cut off", async () => {
    expect((await raw("GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ")).split(" ")[1]).toBe("408");
    const head = "POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nX-Api-Key: admin-key\r\nContent-Length: 100\r\n\r\n";
    const answer = await raw(`${head}{"prompt":`);
    expect(answer.split(" ")[1]).toBe("408");
    // Nothing was done: whoever was cut off on the way may send it again at once.
    expect(JSON.parse(answer.split("\r\n\r\n")[1] ?? "")).toMatchObject({ code: "REQUEST_TIMEOUT", retryable: true });
  });

  it("carry their id through, when it is one that fits a header", async () => {
    const id = async (sent: string) =>
      (await fetch(`${url}/health`, { headers: { "x-request-id": sent } })).headers.get("x-request-id");
    expect(await id("req-1:a.b_c")).toBe("req-1:a.b_c");
    for (const odd of ["a b", "<script>", "x".repeat(200), "é", '"']) expect(await id(odd)).toMatch(/^[0-9a-f]{16}$/);
    const answer = await fetch(`${url}/api/v1/jobs`, { headers: { "x-request-id": "abc" } });
    expect((await problemOf(answer)).traceId).toBe("abc");
  });

  it("with odd keys are refused alike", async () => {
    for (const key of [
      "admin-key,admin-key",
      "admin-key admin-key",
      "%61dmin-key",
      "é",
      "\u00ff",
      "x".repeat(10_000),
      "Bearer admin-key",
    ]) {
      expect((await fetch(`${url}/api/v1/jobs`, { headers: { "x-api-key": key } })).status).toBe(401);
    }
    for (const header of ["authorization", "cookie", "x-api-token"]) {
      expect((await fetch(`${url}/api/v1/jobs`, { headers: { [header]: "admin-key" } })).status).toBe(401);
    }
    expect((await fetch(`${url}/api/v1/jobs?api_key=admin-key&x-api-key=admin-key`)).status).toBe(401);
    expect((await fetch(`${url}/api/v1/jobs`, { headers: { "x-api-key": ' "admin-key" ' } })).status).toBe(200);
  });

  it("with huge queries of small parts are answered", async () => {
    const query = Array.from({ length: 1_500 }, (_, n) => `p${n}=1`).join("&");
    expect(
      (await fetch(`${url}/api/v1/jobs?${query}&__proto__=x&limit=1`, { headers: { "x-api-key": "admin-key" } }))
        .status,
    ).toBe(200);
  });
});
