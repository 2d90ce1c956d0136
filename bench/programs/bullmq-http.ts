// BullMQ behind the HTTP server that our gateway uses: the same framework, the same schema of bodies, a key in each request.
// Owns:          what a user of BullMQ would write to offer `POST /api/v1/jobs`.
// Must not know: workers.

import { createHash, timingSafeEqual } from "node:crypto";
import { SubmissionSchema } from "@cordum/control-plane/gateway/http/job-schemas";
import { validatorCompiler } from "@cordum/control-plane/gateway/validation";
import { Type } from "@fastify/type-provider-typebox";
import { Job } from "bullmq";
import Fastify from "fastify";
import { openQueue } from "./bullmq-parts.ts";
import { answerParent, setting } from "./parent.ts";

const digestOf = (key: unknown): Buffer => createHash("sha256").update(String(key)).digest();
const expected = digestOf(setting("BENCH_KEY"));
const queue = openQueue(setting("REDIS_URL"));
await queue.waitUntilReady();
const app = Fastify();
app.setValidatorCompiler(validatorCompiler);
app.addHook("onRequest", (request, reply, done) => {
  if (timingSafeEqual(digestOf(request.headers["x-api-key"]), expected)) done();
  else void reply.code(401).send({ error: "unauthenticated" });
});
const answer = { type: "object", properties: { job_id: { type: "string" }, trace_id: { type: "string" } } };
app.post("/api/v1/jobs", { schema: { body: SubmissionSchema, response: { 200: answer } } }, async ({ body }) => {
  const job = await queue.add("bench", body);
  return { job_id: job.id, trace_id: job.id };
});
const batchSchema = Type.Object({ jobs: Type.Array(SubmissionSchema) });
app.post<{ Body: { readonly jobs: readonly unknown[] } }>(
  "/api/v1/jobs/batch",
  { schema: { body: batchSchema } },
  async ({ body }) => {
    const jobs = await queue.addBulk(body.jobs.map((data) => ({ name: "bench", data })));
    return { accepted: jobs.length, items: jobs.map(({ id }, index) => ({ index, job_id: id, trace_id: id })) };
  },
);
app.get<{ Params: { id: string } }>("/api/v1/jobs/:id", async ({ params }) => {
  const job = await Job.fromId(queue, params.id);
  return { state: (await job?.isCompleted()) === true ? "SUCCEEDED" : "PENDING" };
});
const url = await app.listen({ host: "127.0.0.1", port: 0 });
answerParent(
  {
    stop: async () => {
      await app.close();
      await queue.close();
    },
  },
  url,
);
