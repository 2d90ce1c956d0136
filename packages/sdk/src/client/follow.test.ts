import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { startServer } from "../testing/http-server.ts";
import { quickRuntime } from "../testing/quick-runtime.ts";
import { Client } from "./client.ts";
import { EventReader } from "./event-reader.ts";

const JUMP_MS = 20_000;
/** Sleeps of that length end only by their signal. */
const attemptTimeoutMs = 100_000;
const data = (id: string, state: string): string =>
  JSON.stringify({ jobResult: {}, job: { id, state, updated_at: 1 } });
const event = (at: string, id: string, state: string): string =>
  `id: ${at}\nevent: job.status_changed\ndata: ${data(id, state)}\n\n`;
function begin(response: ServerResponse): ServerResponse {
  response.writeHead(200, { "content-type": "text/event-stream" });
  return response;
}
const states = (events: readonly { readonly job: { readonly id: string; readonly state: string } }[]) =>
  events.map(({ job }) => `${job.id} ${job.state}`);

describe("a stream of jobs", () => {
  it("goes on from the last id over connections that break and servers that are away", async () => {
    await using server = await startServer((_, response, n) => {
      if (n === 1) begin(response).end(`retry: 4000\n\n${event("1-a", "a", "RUNNING")}${event("2-b", "b", "RUNNING")}`);
      else if (n === 2) response.destroy();
      else if (n === 3) response.writeHead(503, { "retry-after": "7" }).end();
      else if (n === 4) {
        begin(response).write(`: hello\nid: 3-\n\n${event("4-a", "a", "SUCCEEDED").slice(0, 40)}`);
        setImmediate(() => response.destroy());
      } else begin(response).write(event("4-a", "a", "SUCCEEDED"));
    });
    const runtime = quickRuntime(JUMP_MS);
    const seen = [];
    for await (const change of new Client({ url: server.url, apiKey: "k", runtime, attemptTimeoutMs }).jobs.stream({
      lastEventId: "0-",
    })) {
      seen.push(change);
      if (seen.length === 3) break;
    }
    expect(states(seen)).toEqual(["a RUNNING", "b RUNNING", "a SUCCEEDED"]);
    expect(server.asked.map(({ headers }) => headers["last-event-id"])).toEqual(["0-", "2-b", "2-b", "2-b", "3-"]);
    expect(server.asked[0]).toMatchObject({
      url: "/api/v1/jobs/stream",
      headers: { accept: "text/event-stream, application/problem+json", "x-api-key": "k" },
    });
    expect(runtime.sleeps.slice(0, 3)).toEqual([3_000, 750, 7_000]);
    expect(seen.at(-1)?.lastEventId).toBe("4-a");
  });

  it("ends by what will not go away, and when patience does", async () => {
    await using server = await startServer((_, response, n) => {
      response.writeHead(n === 1 ? 403 : 503).end(JSON.stringify({ code: n === 1 ? "FORBIDDEN" : "SHUTTING_DOWN" }));
    });
    const client = new Client({ url: server.url, runtime: quickRuntime(JUMP_MS), attemptTimeoutMs });
    const next = (patienceMs: number) => client.jobs.stream({ patienceMs })[Symbol.asyncIterator]().next();
    await expect(next(1_000)).rejects.toMatchObject({ code: "FORBIDDEN" });
    await expect(next(60_000)).rejects.toMatchObject({ code: "SHUTTING_DOWN", retryable: true });
    expect(server.asked.length).toBeGreaterThan(4);
  });

  it("that is silent for too long is begun anew", async () => {
    await using server = await startServer((_, response, n) => {
      begin(response).write(n === 1 ? ": hello\n\n" : event("1-a", "a", "RUNNING"));
    });
    const quick = quickRuntime(JUMP_MS);
    let silences = 0;
    const sleep: typeof quick.sleep = async (ms, signal) =>
      (ms === 50_000 && server.asked.length === 1 && silences++ === 1) || quick.sleep(ms, signal);
    const client = new Client({ url: server.url, runtime: { ...quick, sleep }, attemptTimeoutMs });
    for await (const { job } of client.jobs.stream()) {
      expect(job.state).toBe("RUNNING");
      break;
    }
    expect(server.asked.length).toBeGreaterThan(1);
  });

  it("ends with its signal, and closes its connection when nobody reads any more", async () => {
    const closed: Promise<unknown>[] = [];
    await using server = await startServer((_, response) => {
      closed.push(new Promise((resolve) => response.on("close", resolve)));
      begin(response).write(event("1-a", "a", "RUNNING"));
    });
    const client = new Client({ url: server.url });
    for await (const _ of client.jobs.stream()) break;
    await closed[0];
    const stop = new AbortController();
    const events = client.jobs.stream({ signal: stop.signal })[Symbol.asyncIterator]();
    await events.next();
    const waiting = events.next();
    stop.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    await closed[1];
  });

  it("leaves out events of kinds that it does not know, and refuses what is no job", async () => {
    await using server = await startServer((_, response, n) => {
      const bad = n === 1 ? "" : "event: job.status_changed\ndata: {}\n\n";
      begin(response).write(`event: audit.entry_created\ndata: {}\n\n${bad}${event("1-a", "a", "RUNNING")}`);
    });
    const client = new Client({ url: server.url });
    const first = async () => {
      for await (const { job } of client.jobs.stream()) return job.id;
      return undefined;
    };
    expect(await first()).toBe("a");
    await expect(first()).rejects.toMatchObject({ code: "RESPONSE_INVALID" });
  });
});

describe("watching a job", () => {
  it("ends with its end, and when the server says that there is nothing more", async () => {
    await using server = await startServer((_, response, n) => {
      if (n === 1) begin(response).end(event("1-v", "a/b", "RUNNING"));
      else if (n === 2) begin(response).end(`${event("2-v", "a/b", "SUCCEEDED")}${event("3-v", "a/b", "SUCCEEDED")}`);
      else response.writeHead(204).end();
    });
    const client = new Client({ url: server.url, runtime: quickRuntime(JUMP_MS), attemptTimeoutMs });
    const seen = [];
    for await (const change of client.jobs.watch("a/b")) seen.push(change);
    expect(states(seen)).toEqual(["a/b RUNNING", "a/b SUCCEEDED"]);
    expect(server.asked.map(({ url }) => url)).toEqual(["/api/v1/jobs/a%2Fb/stream", "/api/v1/jobs/a%2Fb/stream"]);
    for await (const change of client.jobs.watch("a/b")) seen.push(change);
    expect(seen).toHaveLength(2);
    expect(() => client.jobs.watch("..")).toThrow(TypeError);
  });
});

describe("events in text", () => {
  it.each(["\n", "\r\n", "\r"])("may end their lines with %j and come in any pieces", (end) => {
    const text = [
      "\uFEFFretry: 5",
      ": note",
      "id: 1",
      "data: a",
      "data:b",
      "",
      "id",
      "event: e",
      "data",
      "data: c",
      "",
      "",
    ]
      .join(end)
      .concat("id: 9\0");
    for (const size of [1, 2, 3, 1_000]) {
      const reader = new EventReader("0");
      const events = [];
      for (let at = 0; at < text.length; at += size) events.push(...reader.push(text.slice(at, at + size)));
      expect(events).toEqual([
        { event: "message", data: "a\nb", lastEventId: "1" },
        { event: "e", data: "\nc", lastEventId: "" },
      ]);
      expect(reader.retryMs).toBe(5);
    }
  });

  it("are not kept without an end", () => {
    const push = (text: string) => () => {
      const reader = new EventReader("");
      for (let n = 0; n < 100; n++) reader.push(text);
    };
    expect(push("x".repeat(100_000))).toThrow("RESPONSE_TOO_LARGE");
    expect(push(`data: ${"x".repeat(100_000)}\n`)).toThrow("RESPONSE_TOO_LARGE");
    expect(push(`: ${"x".repeat(100_000)}\n`)).not.toThrow();
  });
});
