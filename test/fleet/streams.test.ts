// Streams of real gateways on JetStream and Redis, under load, while the gateway that serves them is killed, drained and frozen:
// a client that goes on from its last event ends with the true state of every job.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startNats } from "@cordum/control-plane/testing/nats-servers";
import { freePort, startRedis } from "@cordum/control-plane/testing/servers";
import { Client } from "@cordum/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Crowd } from "./crowd.ts";
import { FleetProcess } from "./processes.ts";

const [ADA, EVE] = ["key-ada-0000000000", "key-eve-0000000000"];
const JOBS = 900;
const FROZEN_MS = 3_000;

/** What a client of streams knows of each job, from events alone. */
class Picture {
  readonly states = new Map<string, string>();
  readonly tenants = new Set<string>();
  events = 0;
  failure: unknown;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;
  lastEventId: string | undefined;

  constructor(url: string, apiKey: string, lastEventId?: string) {
    this.lastEventId = lastEventId;
    this.#ended = this.#follow(new Client({ url, apiKey }));
  }

  async #follow(client: Client): Promise<void> {
    const { lastEventId } = this;
    const from = lastEventId === undefined ? {} : { lastEventId };
    try {
      for await (const { job, lastEventId: at } of client.jobs.stream({ signal: this.#stop.signal, ...from })) {
        this.states.set(job.id, job.state);
        this.tenants.add(job.tenant);
        this.events += 1;
        this.lastEventId = at;
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) this.failure = error;
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }
}

describe("streams", () => {
  const opened = new AsyncDisposableStack();
  let urls: readonly string[];
  let gateways: readonly FleetProcess[];

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), "cordum-streams-"));
    opened.defer(() => rm(folder, { recursive: true, force: true }));
    const policy = join(folder, "policy.yaml");
    await writeFile(policy, "default_decision: allow\n");
    const nats = opened.use(await startNats({ jetstream: true }));
    const redis = opened.use(await startRedis());
    const servers = { NATS_URL: nats.url, REDIS_URL: redis.url };
    const off = { SCHEDULER_METRICS_ADDR: "off", GATEWAY_METRICS_ADDR: "off" };
    const shared = {
      ...servers,
      ...off,
      NATS_USE_JETSTREAM: "true",
      CORDUM_STATE: "redis",
      CORDUM_WS_CLIENT_BUFFER_SIZE: "32",
    };
    const ports = [await freePort(), await freePort()];
    urls = ports.map((port) => `http://127.0.0.1:${port}`);
    const main = "../../packages/cli/src/main.ts";
    gateways = ports.map((port, n) => {
      const limits = { API_RATE_LIMIT_RPS: "100000", API_RATE_LIMIT_BURST: "100000" };
      const keys = { CORDUM_API_KEYS: `acme:${ADA}:admin:ada,evil:${EVE}:admin:eve` };
      const env = { ...shared, ...limits, ...keys, GATEWAY_HTTP_ADDR: `127.0.0.1:${port}` };
      return new FleetProcess({ name: `gateway ${n}`, file: main, args: ["serve", "--roles", "gateway"], env });
    });
    const scheduler = new FleetProcess({
      name: "scheduler",
      file: main,
      args: ["serve", "--roles", "scheduler"],
      env: { ...shared, SAFETY_POLICY_PATH: policy },
    });
    const worker = new FleetProcess({
      name: "worker",
      file: "../programs/fleet-worker.ts",
      args: [],
      env: { ...servers, WORKER_ID: "fleet-0" },
    });
    for (const each of [scheduler, ...gateways, worker]) await opened.use(each).start();
  }, 60_000);
  afterAll(() => opened.disposeAsync());

  const reached = (crowd: Crowd, count: number) =>
    expect.poll(() => crowd.accepted.size, { timeout: 30_000, interval: 5 }).toBeGreaterThanOrEqual(count);

  it("end with the true state of every job, whatever happens to the gateway that serves them", async () => {
    const [url = "", other = ""] = urls;
    const [gateway] = gateways;
    const ada = new Picture(url, ADA);
    const eve = new Picture(url, EVE);
    const crowd = new Crowd({ urls: [other, url], apiKey: ADA, topic: "job.echo", name: "streams", patienceMs: 3_000 });
    await expect.poll(async () => (await fetch(`${url}/health`)).status).toBe(200);
    const handing = crowd.handIn(0, JOBS, { pauseMs: 60 });
    await reached(crowd, 100);
    await gateway?.kill();
    await reached(crowd, 250);
    await gateway?.start();
    await reached(crowd, 400);
    await gateway?.stop();
    await gateway?.start();
    await reached(crowd, 550);
    gateway?.freeze();
    await new Promise((resolve) => setTimeout(resolve, FROZEN_MS));
    gateway?.thaw();
    await reached(crowd, 650);
    // Another client, in another place, goes on where the first one is.
    const heir = new Picture(other, ADA, ada.lastEventId);
    await handing;
    const truth = new Map((await crowd.ended(60_000)).map(({ id, state }) => [id, state]));
    expect(truth.size).toBe(JOBS);
    const wrong = () => [...truth].filter(([id, state]) => ada.states.get(id) !== state);
    await expect.poll(wrong, { timeout: 30_000 }).toEqual([]);
    await Promise.all([ada.stop(), heir.stop(), eve.stop()]);
    expect([ada.failure, eve.failure, heir.failure]).toEqual([undefined, undefined, undefined]);
    expect([...ada.tenants]).toEqual(["acme"]);
    expect(eve.events).toBe(0);
    for (const [id, state] of heir.states) expect(truth.get(id)).toBe(state);
    expect(heir.states.size).toBeGreaterThan(100);
  }, 180_000);
});
