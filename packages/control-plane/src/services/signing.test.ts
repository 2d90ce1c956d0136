// Signed packets from end to end: a control plane in its production composition and workers of the SDK, each of which asks the other for
// signatures, in one process; keys change while both run.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type BusPacket,
  decodePacket,
  encodePacket,
  type Init,
  SENDERS,
  SUBJECTS,
  timestampOf,
} from "@cordum/protocol";
import { Client, type Serving, serve, worker } from "@cordum/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { notebook } from "../testing/scene-ports.ts";
import { newKeys, type TestKeys } from "../testing/signing-keys.ts";
import { parseConfiguration } from "./configuration.ts";
import { type RunningAllInOne, startAllInOne } from "./node.ts";

const API_KEY = "key-of-a-test-000";
const nothing = (): void => undefined;
const QUIET = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const [plane, planeNext, ann, annNext, ben] = [newKeys(), newKeys(), newKeys(), newKeys(), newKeys()];
type Payload = NonNullable<Init<BusPacket>["payload"]>;

const { log, said } = notebook();
const opened = new AsyncDisposableStack();
let folder: string;
let running: RunningAllInOne;
let client: Client;
const alerts: string[] = [];

const place = (name: string): string => join(folder, name);
const trust = (senders: Readonly<Record<string, readonly TestKeys[]>>): Promise<void> => {
  const file = Object.entries(senders).map(([id, keys]) => [id, keys.map(({ publicPem }) => publicPem)]);
  return writeFile(place("senders.json"), JSON.stringify(Object.fromEntries(file)));
};

async function start(over: Readonly<Record<string, string>> = {}): Promise<RunningAllInOne> {
  const parsed = parseConfiguration({
    GATEWAY_HTTP_ADDR: "127.0.0.1:0",
    GATEWAY_METRICS_ADDR: "off",
    CORDUM_API_KEY: API_KEY,
    CORDUM_STATE: "memory",
    SAFETY_POLICY_PATH: place("policy.yaml"),
    CORDUM_SIGNING_KEY_PATH: place("plane.pem"),
    CORDUM_VERIFY_KEYS_PATH: place("senders.json"),
    CORDUM_VERIFY_SIGNATURES: "require",
    CORDUM_SIGNING_RELOAD_INTERVAL: "100ms",
    ...over,
  });
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  return startAllInOne({ config: parsed.config, log });
}

/** Serves `job.<worker id>`, and holds each job until the answer is there. */
function serveAs(
  workerId: string,
  keys: TestKeys,
  answer: Promise<unknown> = Promise.resolve("done"),
): Promise<Serving> {
  return serve([worker({ topic: `job.${workerId}`, run: () => answer })], {
    connection: running.connection(),
    workerId,
    log: QUIET,
    signing: {
      privateKey: keys.pem,
      publicKeys: { [SENDERS.scheduler]: [plane.publicPem, planeNext.publicPem] },
      verify: "require",
    },
  });
}

const submit = async (topic: string): Promise<string> => (await client.submit({ topic, prompt: "p" })).job_id;
const ending = async (id: string) => {
  const { state, result } = await client.wait(id, { timeoutMs: 10_000 });
  return { state, result };
};
const SUCCEEDED = { state: "SUCCEEDED", result: "done" };

/** Writes a file that is followed, and waits until it was looked at. */
async function rewrite(
  setting: string,
  event: "file.used" | "file.refused",
  write: () => Promise<void>,
): Promise<void> {
  const count = (): number => said.filter((one) => one.event === event && one.fields.setting === setting).length;
  const before = count();
  await write();
  await expect.poll(count).toBeGreaterThan(before); // once more where it was looked at half written
}

/** As anybody may who reaches the bus. */
async function shout(subject: string, senderId: string, payload: Payload, keys?: TestKeys): Promise<void> {
  const packet = { senderId, protocolVersion: 1, createdAt: timestampOf(Date.now()), payload };
  const bytes = keys === undefined ? encodePacket(packet) : keys.sign(packet);
  await running.connection().publish(subject, bytes);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cordum-signing-"));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  await writeFile(place("policy.yaml"), "version: v1\nrules: []\n");
  await writeFile(place("plane.pem"), plane.pem);
  await trust({ ann: [ann], ben: [ben] });
  running = await start();
  opened.defer(() => running.drain());
  client = new Client({ url: running.url, apiKey: API_KEY });
  await running.connection().subscribe(SUBJECTS.alert, undefined, (bytes) => {
    const { payload } = decodePacket(bytes);
    if (payload?.kind === "alert") alerts.push(`${payload.value.details.offending_sender} ${payload.value.message}`);
  });
});
afterAll(() => opened.disposeAsync());

describe("signatures required on both sides", () => {
  it("do not hinder a job", async () => {
    await using _serving = await serveAs("ann", ann);
    expect(await ending(await submit("job.ann"))).toEqual(SUCCEEDED);
    expect(alerts).toEqual([]);
  });

  it("ask nothing of a worker that is connected with a key: the gateway signs for it", async () => {
    const url = { gateway: running.url, apiKey: API_KEY };
    const held = worker(
      "job.key",
      (_, { signal }) => new Promise((_end, stop) => signal.addEventListener("abort", stop)),
    );
    const told = worker("job.told", () => "done");
    await using serving = await serve([held, told], { url, workerId: "kim", log: QUIET });
    expect(await ending(await submit("job.told"))).toEqual(SUCCEEDED);
    const jobId = await submit("job.key");
    await expect.poll(async () => (await client.get(jobId)).state).toBe("RUNNING");
    await client.cancel(jobId);
    await expect.poll(() => serving.activeJobs).toBe(0);
    expect(alerts).toEqual([]);
  });

  it("let nobody end another's job, cancel it, or pass for a worker", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    await using _serving = await serveAs("ann", ann, promise);
    const jobId = await submit("job.ann");
    await expect.poll(async () => (await client.get(jobId)).state).toMatch(/DISPATCHED|RUNNING/);
    alerts.length = 0;
    const forged = (workerId: string): Payload => ({
      kind: "jobResult",
      value: { jobId, status: 5, workerId, resultPtr: `redis://res:${jobId}` },
    });
    await shout(SUBJECTS.jobResult, "ann", forged("ann"));
    await shout(SUBJECTS.jobResult, "ann", forged("ann"), ben);
    await shout(SUBJECTS.jobResult, "ben", forged("ann"), ben);
    await shout(SUBJECTS.jobResult, "ben", forged(""), ben);
    await shout(SUBJECTS.jobResult, SENDERS.scheduler, forged("ann"), ben);
    await shout(SUBJECTS.jobCancel, "eve", { kind: "jobCancel", value: { jobId } }, newKeys());
    await shout(SUBJECTS.heartbeat, "eve", { kind: "heartbeat", value: { workerId: "eve", pool: "p" } });
    await expect.poll(() => alerts.length).toBe(7);
    expect(alerts.toSorted()).toEqual([
      "ann packet refused: PROTOCOL_SIGNATURE_INVALID (invalid)",
      "ann packet refused: PROTOCOL_SIGNATURE_MISSING (missing)",
      "ben packet refused: PROTOCOL_SIGNATURE_INVALID (sender_mismatch)",
      "ben packet refused: PROTOCOL_SIGNATURE_INVALID (sender_mismatch)",
      "cordum-scheduler packet refused: PROTOCOL_SIGNATURE_INVALID (invalid)",
      "eve packet refused: PROTOCOL_SIGNATURE_INVALID (unknown_sender)",
      "eve packet refused: PROTOCOL_SIGNATURE_MISSING (missing)",
    ]);
    expect((await client.workers()).map(({ worker_id }) => worker_id).filter((id) => id !== "default.kim")).toEqual([
      "ann",
    ]);
    resolve("done");
    expect(await ending(jobId)).toEqual(SUCCEEDED);
  });

  it("stay in force while a worker changes its key, and refuse the old key afterwards", async () => {
    const setting = "CORDUM_VERIFY_KEYS_PATH";
    await rewrite(setting, "file.used", () => trust({ ann: [ann, annNext] }));
    for (const keys of [ann, annNext]) {
      await using _serving = await serveAs("ann", keys);
      expect(await ending(await submit("job.ann"))).toEqual(SUCCEEDED);
    }
    await rewrite(setting, "file.used", () => trust({ ann: [annNext] }));
    await rewrite(setting, "file.refused", () => writeFile(place("senders.json"), "{}"));
    alerts.length = 0;
    await shout(SUBJECTS.heartbeat, "ann", { kind: "heartbeat", value: { workerId: "ann" } }, ann);
    await expect.poll(() => alerts).toEqual(["ann packet refused: PROTOCOL_SIGNATURE_INVALID (invalid)"]);
    await using _serving = await serveAs("ann", annNext);
    expect(await ending(await submit("job.ann"))).toEqual(SUCCEEDED);
  });

  it("stay in force while the control plane changes its own key", async () => {
    const setting = "CORDUM_SIGNING_KEY_PATH";
    await using _serving = await serveAs("ann", annNext);
    await rewrite(setting, "file.used", () => writeFile(place("plane.pem"), planeNext.pem));
    expect(await ending(await submit("job.ann"))).toEqual(SUCCEEDED);
    await rewrite(setting, "file.refused", () => writeFile(place("plane.pem"), "gone"));
    expect(await ending(await submit("job.ann"))).toEqual(SUCCEEDED);
  });
});

describe("a control plane whose keys cannot be used", () => {
  it("does not start without the files, or with something else in them, and shows nothing of that", async () => {
    const [good, wrong, senders] = [place("good.pem"), place("wrong.pem"), place("more.json")];
    await writeFile(good, plane.pem);
    await writeFile(wrong, plane.publicPem);
    const refused = (key: string, trusted: string) =>
      expect(start({ CORDUM_SIGNING_KEY_PATH: key, CORDUM_VERIFY_KEYS_PATH: trusted })).rejects;
    await refused("missing.pem", senders).toThrow(/^CORDUM_SIGNING_KEY_PATH: missing\.pem: ENOENT/);
    await refused(good, "missing.json").toThrow(/^CORDUM_VERIFY_KEYS_PATH: missing\.json: ENOENT/);
    await refused(wrong, senders).toThrow(/expected a private key in PEM$/);
    await refused(good, good).toThrow(/expected a JSON object of sender ids$/);
  });

  it("warns when senders are trusted and nothing is verified", async () => {
    const unverified = await start({ CORDUM_VERIFY_SIGNATURES: "off", CORDUM_SIGNING_KEY_PATH: "" });
    await unverified.drain();
    expect(said.filter(({ event }) => event === "signatures.not_verified")).toHaveLength(1);
  });
});
