// Signatures required in a fleet: gateway, schedulers and workers are processes' worth of strangers to each other, and every packet between
// them is signed. Nothing that belongs there may be refused, and nothing else may pass.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newKeys } from "@cordum/control-plane/testing/signing-keys";
import { decodePacket, encodePacket, SENDERS, SUBJECTS } from "@cordum/protocol";
import { Client, connect, type Serving, serve, worker } from "@cordum/sdk";
import { connect as connectNats, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startNodes } from "./nodes.ts";
import { startServers } from "./servers.ts";

const nothing = (): void => undefined;
const QUIET = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const [plane, ann, ben] = [newKeys(), newKeys(), newKeys()];

describe.each(["NATS", "JetStream"] as const)("a fleet that requires signatures, over %s", (bus) => {
  const opened = new AsyncDisposableStack();
  const alerts: string[] = [];
  const answers = new Map<string, () => void>();
  let client: Client;
  let stranger: NatsConnection;

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), "cordum-signed-"));
    opened.defer(() => rm(folder, { recursive: true, force: true }));
    const [key, senders, policy] = [join(folder, "key.pem"), join(folder, "senders.json"), join(folder, "policy.yaml")];
    await writeFile(key, plane.pem);
    await writeFile(senders, JSON.stringify({ ann: [ann.publicPem], ben: [ben.publicPem] }));
    await writeFile(policy, "version: v1\nrules: []\n");
    const { env, target } = opened.use(await startServers({ state: "Redis", bus }, folder));
    if (target === undefined) throw new Error("a fleet has servers");
    stranger = await connectNats({ servers: env.NATS_URL ?? "" });
    opened.defer(() => stranger.close());
    stranger.subscribe(SUBJECTS.alert, {
      callback: (_error, { data }) => {
        const { payload, signature } = decodePacket(data);
        if (payload?.kind === "alert" && signature.length > 0) alerts.push(payload.value.message);
      },
    });
    const nodes = opened.use(
      await startNodes([["gateway"], ["scheduler"], ["scheduler"]], {
        ...env,
        SAFETY_POLICY_PATH: policy,
        CORDUM_SIGNING_KEY_PATH: key,
        CORDUM_VERIFY_KEYS_PATH: senders,
        CORDUM_VERIFY_SIGNATURES: "require",
      }),
    );
    client = new Client({ url: nodes.urls[0] ?? "", apiKey: "key-ops-0000000000" });
    const connection = await connect(target, { log: QUIET });
    opened.defer(() => connection.close());
    const serving: Serving = await serve(
      [
        worker({ topic: "job.echo", concurrency: 10, run: (input: unknown) => ({ echo: input }) }),
        worker({
          topic: "job.held",
          run: (_, { jobId, signal }) =>
            new Promise((resolve, reject) => {
              answers.set(jobId, () => resolve("done"));
              signal.addEventListener("abort", () => reject(signal.reason));
            }),
        }),
      ],
      {
        connection,
        workerId: "ann",
        log: QUIET,
        signing: { privateKey: ann.pem, publicKeys: { [SENDERS.scheduler]: plane.publicPem }, verify: "require" },
      },
    );
    opened.defer(() => serving.drain());
  });
  afterAll(() => opened.disposeAsync());

  const submit = async (topic: string): Promise<string> => (await client.submit({ topic, prompt: "p" })).job_id;
  const held = async (): Promise<string> => {
    const jobId = await submit("job.held");
    await expect.poll(() => answers.has(jobId)).toBe(true);
    return jobId;
  };

  it("does its jobs and refuses nothing of its own", async () => {
    const ids = await Promise.all(Array.from({ length: 50 }, () => submit("job.echo")));
    for (const id of ids) expect((await client.wait(id, { timeoutMs: 15_000 })).state).toBe("SUCCEEDED");
    expect(alerts).toEqual([]);
  });

  it("cancels a job at its worker", async () => {
    const jobId = await held();
    await client.cancel(jobId);
    expect((await client.wait(jobId, { timeoutMs: 10_000 })).state).toBe("CANCELLED");
    expect(alerts).toEqual([]);
  });

  it("believes no result but the one of the worker that has the job", async () => {
    const jobId = await held();
    const forged = (senderId: string, workerId: string) =>
      ({ senderId, payload: { kind: "jobResult", value: { jobId, status: 6, workerId } } }) as const;
    stranger.publish(SUBJECTS.jobResult, encodePacket(forged("ann", "ann")));
    stranger.publish(SUBJECTS.jobResult, ben.sign(forged("ann", "ann")));
    stranger.publish(SUBJECTS.jobResult, ben.sign(forged("ben", "ann")));
    await expect
      .poll(() => alerts.toSorted())
      .toEqual([
        "packet refused: PROTOCOL_SIGNATURE_INVALID (invalid)",
        "packet refused: PROTOCOL_SIGNATURE_INVALID (sender_mismatch)",
        "packet refused: PROTOCOL_SIGNATURE_MISSING (missing)",
      ]);
    answers.get(jobId)?.();
    expect(await client.wait(jobId, { timeoutMs: 10_000 })).toMatchObject({ state: "SUCCEEDED", result: "done" });
  });
});
