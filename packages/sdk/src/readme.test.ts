// The examples of README.md: type-checked and run as they stand there.
// Each fenced block with a name becomes a module; the compiler judges them all at once.

import { execFile } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { decodePacket, encodePacket, JobStatus } from "@cordum/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Client, type Serving, type SigningOptions, type WorkerConnection } from "./index.ts";
import { startFleet } from "./testing/fleet.ts";
import { json, startServer } from "./testing/http-server.ts";
import { MemoryConnection } from "./testing/memory-connection.ts";
import { packet, putContext } from "./testing/worker-town.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = join(HERE, "../../..");
const NAMES = ["worker-short", "worker-full", "worker-fleet", "signing", "worker-parts", "client"];
let folder = "";

beforeAll(async () => {
  // Inside the workspace, so that the examples find the package by its name; outside src, so that nobody takes them for sources.
  folder = await mkdtemp(join(HERE, "../.readme-"));
  const readme = await readFile(join(HERE, "../README.md"), "utf8");
  const blocks = [...readme.matchAll(/^```ts ([\w-]+)\n(.*?)^```$/gms)];
  expect(blocks.map(([, name]) => name)).toEqual(NAMES);
  for (const [, name = "", code = ""] of blocks) await writeFile(join(folder, `${name}.ts`), code);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function load<T>(name: string): Promise<T> {
  return import(pathToFileURL(join(folder, `${name}.ts`)).href);
}

async function send(bus: MemoryConnection, jobId: string, topic: string, context: unknown) {
  putContext(bus, jobId, context);
  bus.deliver(topic, packet({ kind: "jobRequest", value: { jobId, topic, contextPtr: `redis://ctx:${jobId}` } }));
  return bus.first("jobResult", (result) => result.jobId === jobId);
}

describe("README", () => {
  it("compiles", async () => {
    const config = {
      extends: join(ROOT, "tsconfig.json"),
      compilerOptions: { rootDir: ROOT },
      include: [`${folder}/*.ts`],
    };
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const run = promisify(execFile)(process.execPath, [tsc, "-p", folder], { cwd: ROOT });
    await expect(
      run.catch((error: { readonly stdout?: string }) => ({ stdout: error.stdout ?? "no output" })),
    ).resolves.toMatchObject({ stdout: "" });
  }, 60_000);

  it("runs the short worker", async () => {
    const { start } = await load<{ start(connection: WorkerConnection): Promise<Serving> }>("worker-short");
    const bus = new MemoryConnection();
    await using _serving = await start(bus);
    expect(await send(bus, "j1", "job.mail.send", { to: "ada" })).toMatchObject({ status: JobStatus.SUCCEEDED });
    expect(JSON.parse(Buffer.from(bus.payloads.get("res:j1")?.bytes ?? []).toString())).toEqual({ sentTo: "ada" });
  });

  it("runs the full worker", async () => {
    const { main } = await load<{ main(connection: WorkerConnection, stop: AbortSignal): Promise<Serving> }>(
      "worker-full",
    );
    const bus = new MemoryConnection();
    const stop = new AbortController();
    const serving = await main(bus, stop.signal);
    expect(serving.topics).toEqual(["job.mail.send", "job.mail.count"]);
    expect(await send(bus, "ok", "job.mail.send", { to: "ada@example.org" })).toMatchObject({
      status: JobStatus.SUCCEEDED,
    });
    expect(await send(bus, "bad", "job.mail.send", { to: "nobody" })).toMatchObject({ errorCode: "INVALID_INPUT" });
    expect(await send(bus, "no", "job.mail.send", { to: "x@blocked.example" })).toMatchObject({
      errorCode: "RECIPIENT_BLOCKED",
    });
    expect(await send(bus, "busy", "job.mail.send", { to: "busy@example.org" })).toMatchObject({
      status: JobStatus.FAILED_RETRYABLE,
    });
    expect(await send(bus, "n", "job.mail.count", {})).toMatchObject({ status: JobStatus.SUCCEEDED });
    stop.abort();
    await serving.drain();
    expect(bus.subscribers.size).toBe(0);
  });

  it("runs against a fleet, by URL and in parts, with signatures", async () => {
    type Main = (
      nats: string,
      redis: string,
      signing: SigningOptions,
      stop: AbortSignal,
    ) => Promise<{ serving: Serving; close(): Promise<void> }>;
    const { start, main } = await load<{ start(url: string): Promise<Serving>; main: Main }>("worker-fleet");
    const { signing } = await load<{ signing(folder: string): Promise<SigningOptions> }>("signing");
    for (const name of ["worker", "scheduler-2025", "scheduler-2026"]) {
      const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const key =
        name === "worker"
          ? privateKey.export({ type: "pkcs8", format: "pem" })
          : publicKey.export({ type: "spki", format: "pem" });
      await writeFile(join(folder, `${name}.pem`), key);
    }
    await using fleet = await startFleet();
    const { control, nats, redis, url } = fleet;
    const byUrl = await start(url);
    await control.dispatch({ jobId: "f1", topic: "job.mail.send" });
    await control.heard("jobResult", 1);
    expect(await control.stored("f1")).toEqual({ sent: true });
    await byUrl.drain();
    const stop = new AbortController();
    const { serving, close } = await main(nats.url, redis.url, await signing(folder), stop.signal);
    await control.heard(
      "handshake",
      1,
      ({ componentId, capabilities }) => componentId === "mail-1" && capabilities.signatures === true,
    );
    stop.abort();
    await serving.drain();
    await close();
  });

  it("runs on the connection in thirty lines", async () => {
    const { start } = await load<{ start(): Promise<{ connection: WorkerConnection; serving: Serving }> }>(
      "worker-parts",
    );
    const { connection, serving } = await start();
    await connection.storePayload("ctx:j1", Buffer.from('{"a":1}'), 1_000);
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    await connection.subscribe("sys.job.result", undefined, resolve);
    const request = { jobId: "j1", topic: "job.test.echo", contextPtr: "redis://ctx:j1" };
    await connection.publish(
      "worker.echo-1.jobs",
      encodePacket({ protocolVersion: 1, payload: { kind: "jobRequest", value: request } }),
    );
    expect(decodePacket(await promise).payload).toMatchObject({
      kind: "jobResult",
      value: { status: JobStatus.SUCCEEDED, resultPtr: "redis://res:j1" },
    });
    await serving.drain();
  });

  it("runs the client", async () => {
    type Example = {
      sendMail(url: string, apiKey: string, signal: AbortSignal): Promise<unknown>;
      waiting(client: Client): Promise<readonly string[]>;
      follow(client: Client, jobId: string, signal: AbortSignal): Promise<readonly string[]>;
    };
    const { sendMail, waiting, follow } = await load<Example>("client");
    await using server = await startServer((asked, response) => {
      if (asked.method === "POST") return json(response, 200, { job_id: "j1", trace_id: "t1" });
      if (asked.url.startsWith("/api/v1/approvals"))
        return json(response, 200, { items: [{ job: { id: "j2", state: "APPROVAL_REQUIRED" } }] });
      if (asked.url.endsWith("/stream")) {
        const events = ["RUNNING", "SUCCEEDED"].map(
          (state) => `event: job.status_changed\ndata: {"job":{"id":"j1","state":"${state}"}}\n\n`,
        );
        response.writeHead(200, { "content-type": "text/event-stream" });
        return response.end(events.join(""));
      }
      json(response, 200, { id: "j1", state: "SUCCEEDED", result: { sentTo: "ada" } });
    });
    expect(await sendMail(server.url, "key", new AbortController().signal)).toEqual({ sentTo: "ada" });
    expect(await waiting(new Client({ url: server.url }))).toEqual(["j2"]);
    const never = new AbortController().signal;
    expect(await follow(new Client({ url: server.url }), "j1", never)).toEqual(["RUNNING", "SUCCEEDED"]);
  });
});
