// The floor: what one job costs if nobody thinks. The same requests, writes and messages as a governed job makes, and no logic at all.
// Owns:          HTTP in, the writes of both commits with natural batching, the dispatch, the result.
// Must not know: policy, tenants, schemas, conflicts, time, failures. Bare node:http: a framework is a choice of ours, so its price lies
//                above the floor; the clients of Redis and NATS are the ones that our adapters use.

import { createServer, type ServerResponse } from "node:http";
import { connect } from "@nats-io/transport-node";
import { type ChainableCommander, Redis } from "ioredis";
import { answerParent, setting } from "./parent.ts";

const KEEP_MS = 7 * 86_400_000;
/** About 700 bytes, as a job's record has. */
const FILLER = "x".repeat(520);

interface Write {
  readonly id: string;
  readonly text: string;
  readonly ended: boolean;
  /** The context, with the first commit. */
  readonly context?: string;
  done(): void;
}

const redis = new Redis(setting("REDIS_URL"));
const nats = await connect({ servers: setting("NATS_URL") });
let waiting: Write[] = [];
let isWriting = false;
let submitted = 0;
let ended = 0;

/** Whatever arrives while a call is under way travels together in the next. */
async function writeAll(): Promise<void> {
  if (isWriting) return;
  isWriting = true;
  while (waiting.length > 0) {
    const batch = waiting;
    waiting = [];
    const pipeline = redis.pipeline();
    for (const { id, context } of batch) if (context !== undefined) pipeline.set(`ctx:${id}`, context, "PX", KEEP_MS);
    const fresh = batch.filter((write) => !write.ended);
    const old = batch.filter((write) => write.ended);
    if (fresh.length > 0) begin(pipeline, fresh);
    if (old.length > 0) finish(pipeline, old);
    await pipeline.exec();
    for (const write of batch) write.done();
  }
  isWriting = false;
}

/** A record and its entries: alarm, by tenant, by state, by topic, busy of tenant, busy of worker. Each index by one command. */
function begin(pipeline: ChainableCommander, writes: readonly Write[]): void {
  const members = writes.flatMap(({ id }) => [Date.now(), id]);
  pipeline.mset(...writes.flatMap(({ id, text }) => [`job:${id}`, text]));
  for (const index of ["due", "tenant", "state:DISPATCHED", "topic", "busy:worker"]) pipeline.zadd(index, ...members);
}

function finish(pipeline: ChainableCommander, writes: readonly Write[]): void {
  const ids = writes.map(({ id }) => id);
  const members = ids.flatMap((id) => [Date.now(), id]);
  for (const { id, text } of writes) pipeline.set(`job:${id}`, text, "PX", KEEP_MS);
  for (const index of ["tenant", "state:SUCCEEDED"]) pipeline.zadd(index, ...members);
  for (const index of ["due", "state:DISPATCHED", "busy:worker"]) pipeline.zrem(index, ...ids);
}

function write(id: string, state: string, context?: string): Promise<void> {
  const text = JSON.stringify({ id, state, at: Date.now(), topic: "job.bench", filler: FILLER });
  return new Promise((done) => {
    waiting.push({ id, text, ended: state === "SUCCEEDED", done, ...(context === undefined ? {} : { context }) });
    void writeAll();
  });
}

async function submit(body: string, response: ServerResponse): Promise<void> {
  const id = `job-${process.pid}-${submitted++}`;
  await write(id, "DISPATCHED", JSON.stringify(JSON.parse(body)));
  nats.publish("worker.bench.jobs", JSON.stringify({ id, filler: FILLER }));
  answer(response, JSON.stringify({ job_id: id, trace_id: id }));
}

function answer(response: ServerResponse, body: string): void {
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body);
}

nats.subscribe("sys.job.result", {
  callback: (_, message) => {
    const { id } = message.json<{ readonly id: string }>();
    void write(id, "SUCCEEDED").then(() => ended++);
  },
});

const server = createServer((request, response) => {
  if (request.method === "GET") {
    const id = request.url?.split("/").at(-1) ?? "";
    redis.get(`job:${id}`).then((text) => answer(response, text ?? "{}"));
    return;
  }
  let body = "";
  request.setEncoding("utf8");
  request.on("data", (chunk: string) => {
    body += chunk;
  });
  request.on("end", () => void submit(body, response));
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  answerParent({ ended: () => ended, stop: () => nats.drain() }, `http://127.0.0.1:${address.port}`);
});
