// The contract: what clients of the original know of the API, against real processes, on both engines. Each row of the tables is one call over
// HTTP; each answer is compared with the table and with the description of the API that the same server gives out.

import { type IncomingMessage, request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { type Description, loadDescription } from "./contract/described.ts";
import { type Answer, compare, type Kept, perform, type Row } from "./contract/row.ts";
import { isLater, SPEC_ROUTES } from "./contract/spec-routes.ts";
import { SETTINGS } from "./contract/table-config.ts";
import { JOB_CHANGES } from "./contract/table-job-changes.ts";
import { JOBS } from "./contract/table-jobs.ts";
import { PEOPLE_TABLE } from "./contract/table-people.ts";
import { REQUESTS } from "./contract/table-requests.ts";
import { SESSIONS } from "./contract/table-sessions.ts";
import { SUBMISSIONS } from "./contract/table-submit.ts";
import { SYSTEM } from "./contract/table-system.ts";
import { THINGS } from "./contract/table-things.ts";
import { keyOf, openBusyTown, TOWNS, type Town, WORKER_ID } from "./contract/town.ts";

const TABLES: { readonly [name: string]: readonly Row[] } = {
  requests: REQUESTS,
  "submitting jobs": SUBMISSIONS,
  "reading jobs": JOBS,
  "changing jobs": JOB_CHANGES,
  "approvals and dead letters": PEOPLE_TABLE,
  "locks, artifacts, memory": THINGS,
  "workers, status, health, keys": SYSTEM,
  "configuration and schemas": SETTINGS,
  "sessions of workers": SESSIONS,
};

describe.each(Object.entries(TOWNS))("%s", (_, openTown) => {
  let town: Town;
  let described: Description;
  const kept: Kept = new Map();
  /** Operations that a row has seen succeed. */
  const seen = new Set<string>();
  beforeAll(async () => {
    town = await openTown();
    described = await loadDescription(town.url);
  });
  afterAll(() => town?.[Symbol.asyncDispose]());

  describe.each(Object.entries(TABLES))("%s", (_name, rows) => {
    it.each(rows.map((row) => [row.says, row] as const))("%s", async (_says, row) => {
      const answer = await perform(row, town, kept);
      compare(row, answer, kept);
      expect(described.faultsOf(answer)).toEqual([]);
      if (answer.status < 300) seen.add(described.operationOf(answer) ?? "");
    });
  });

  describe("streams", () => {
    it("10: what asks for no socket is told so, and which version there is", async () => {
      for (const headers of [{}, { connection: "Upgrade", upgrade: "websocket" }, { connection: "Upgrade" }]) {
        const { status, version } = await knock(headers);
        expect([headers, status, version]).toEqual([headers, 400, "13"]);
      }
      const answer = await fetch(`${town.url}/api/v1/stream`, { method: "POST", headers: key("admin") });
      expect(answer.status).toBe(405);
      expect((await get("/api/v1/stream", {}, "viewer")).status).toBe(403);
    });

    it("10: frames are packets in protobuf JSON, for either way to present a key", async () => {
      const secret = keyOf("admin");
      const packed = Buffer.from(secret).toString("base64url");
      for (const [protocols, headers] of [
        [["cordum-api-key", packed], {}],
        [["cordum-api-key", secret], {}],
        [[], { "x-api-key": secret }],
      ] satisfies [string[], object][]) {
        const socket = new WebSocket(`${town.url.replace("http", "ws")}/api/v1/stream`, protocols, { headers });
        const frames: Record<string, Record<string, unknown>>[] = [];
        const done = Promise.withResolvers<void>();
        socket.on("message", (data) => {
          frames.push(JSON.parse(String(data)));
          if (frames.some((frame) => frame.jobResult !== undefined)) done.resolve();
        });
        await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
        expect(socket.protocol).toBe(protocols.length === 0 ? "" : "cordum-api-key");
        const { job_id } = await town.client("submitter").submit({ prompt: "x", topic: "job.echo" });
        await done.promise;
        socket.terminate();
        const request = frames.find((frame) => frame.jobRequest?.jobId === job_id);
        expect(request).toMatchObject({
          senderId: "api-gateway-http",
          protocolVersion: 1,
          traceId: expect.any(String),
          createdAt: expect.stringMatching(/Z$/),
          jobRequest: {
            topic: "job.echo",
            tenantId: "acme",
            contextPtr: expect.stringContaining(`redis://ctx:${job_id}`),
          },
        });
        expect(frames.find((frame) => frame.jobResult !== undefined)?.jobResult).toMatchObject({
          jobId: job_id,
          status: "JOB_STATUS_SUCCEEDED",
          workerId: WORKER_ID,
          resultPtr: `redis://res:${job_id}`,
        });
      }
      seen.add("streamPackets");
    });

    // Libraries refuse a protocol that they have not offered, so this is said by hand.
    it("12.7: a key in the dotted form opens a socket, too, and the protocol without the key is selected", async () => {
      const { status, protocol } = await knock({
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol": `cordum-api-key.${Buffer.from(keyOf("admin")).toString("base64url")}`,
        "x-api-key": "",
      });
      expect([status, protocol]).toEqual([101, "cordum-api-key"]);
    });

    it("10: a socket without a key, or from a strange page, is none", async () => {
      const refused = (headers: Record<string, string>) =>
        new Promise<number>((resolve) => {
          const socket = new WebSocket(`${town.url.replace("http", "ws")}/api/v1/stream`, { headers });
          socket.on("unexpected-response", (_request, answer) => {
            resolve(answer.statusCode ?? 0);
            socket.terminate();
          });
          socket.on("error", () => undefined);
        });
      expect(await refused({})).toBe(401);
      expect(await refused({ ...key("admin"), origin: "https://evil.example" })).toBe(403);
    });

    it("12.7: events of a job, ending with its end; of all jobs; for whoever takes anything", async () => {
      const { job_id } = await town.client("submitter").submit({ prompt: "x", topic: "job.echo" });
      const answer = await get(`/api/v1/jobs/${job_id}/stream`, { accept: "*/*" }, "viewer");
      expect([answer.status, answer.type]).toEqual([200, "text/event-stream"]);
      expect(described.faultsOf(answer)).toEqual([]);
      const last = answer.text
        .trimEnd()
        .split("\n\n")
        .findLast((block) => block.includes("data: "));
      expect(last).toMatch(/^id: \S+\nevent: job\.status_changed\ndata: \{.*"status":"JOB_STATUS_SUCCEEDED".*\}/);
      seen.add("streamJob");
      for (const path of ["/api/v1/jobs/stream", "/api/v1/stream"]) {
        const stop = new AbortController();
        const headers = { ...key("admin"), accept: "text/event-stream" };
        const stream = await fetch(town.url + path, { headers, signal: stop.signal });
        expect([stream.status, stream.headers.get("content-type")]).toEqual([200, "text/event-stream; charset=utf-8"]);
        const first = await stream.body?.getReader().read();
        expect(Buffer.from(first?.value ?? "").toString()).toMatch(/^retry: \d+\n/);
        stop.abort();
      }
      seen.add("streamJobs");
      expect((await get("/api/v1/jobs/none/stream", {}, "viewer")).status).toBe(404);
    });
  });

  it("every route of the specification that is served has rows, and every operation that is described too", () => {
    const served = SPEC_ROUTES.filter((route) => !isLater(route));
    const missing = served.filter((route) => {
      const [method = "", path = ""] = route.split(" ");
      const operation = described.operationOf({ method, path: path.replace(/\{\w+\}/g, "x") });
      return operation === undefined || !seen.has(operation);
    });
    expect(missing).toEqual([]);
    const unseen = described.operations.filter(({ name, path }) => !seen.has(name) && !isLater(path));
    expect(unseen.map(({ name }) => name)).toEqual(["connectWorker"]);
  });

  /** What fetch does not send. */
  const knock = (headers: Record<string, string>) =>
    new Promise<{ readonly status: number; readonly version: unknown; readonly protocol: unknown }>(
      (resolve, reject) => {
        const asked = request(`${town.url}/api/v1/stream`, { headers: { ...key("admin"), ...headers } });
        const tell = ({ statusCode = 0, headers: said }: IncomingMessage) =>
          resolve({
            status: statusCode,
            version: said["sec-websocket-version"],
            protocol: said["sec-websocket-protocol"],
          });
        asked.on("response", (answer) => tell(answer.resume()));
        asked.on("upgrade", (answer, socket) => {
          tell(answer);
          socket.destroy();
        });
        asked.on("error", reject).end();
      },
    );
  const key = (person: Parameters<typeof keyOf>[0]) => ({ "x-api-key": keyOf(person) });
  async function get(
    path: string,
    headers: Record<string, string>,
    person: Parameters<typeof keyOf>[0] = "admin",
  ): Promise<Answer> {
    const response = await fetch(town.url + path, { headers: { ...key(person), ...headers } });
    const text = await response.text();
    const type = (response.headers.get("content-type") ?? "").split(";", 1)[0] ?? "";
    const json = type.endsWith("json") ? JSON.parse(text) : undefined;
    return { method: "GET", path, status: response.status, type, text, headers: response.headers, json };
  }
});

describe("a key that asks too often", () => {
  it("4, 13 (14): is told when to come again, alone, and never by a probe", async () => {
    await using town = await openBusyTown();
    const described = await loadDescription(town.url);
    const ask = async (key: string, path = "/api/v1/jobs") => {
      const response = await fetch(town.url + path, { headers: { "x-api-key": key } });
      const text = await response.text();
      const type = (response.headers.get("content-type") ?? "").split(";", 1)[0] ?? "";
      return { method: "GET", path, status: response.status, type, text, headers: response.headers, json: text };
    };
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask(keyOf("viewer"))));
    const refused = answers.find(({ status }) => status === 429);
    if (refused === undefined) throw new Error("six requests at once were all answered");
    expect(JSON.parse(refused.text)).toMatchObject({ error: "rate limited", code: "RATE_LIMITED", retryable: true });
    expect(refused.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
    expect(described.faultsOf({ ...refused, json: JSON.parse(refused.text) })).toEqual([]);
    expect((await ask(keyOf("admin"))).status).toBe(200);
    for (let n = 0; n < 5; n++) expect((await ask("", "/health")).status).toBe(200);
  });
});
