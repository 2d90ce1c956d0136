// Submitting jobs over HTTP, one or many.
// Owns:          the two routes, how a verdict of policy is answered, how each job of a batch is.
// Must not know: fields and their limits (submission.ts, submit-command.ts), how a job is made.
// U1. As with the original the answer is the same whatever policy decided, unless the client asks to be told.
// U2. In a batch each job is answered by itself; only what is wrong with the batch as a whole is a problem of the request.

import { Type } from "@fastify/type-provider-typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Static } from "typebox";
import type { Job } from "../../jobs/job.ts";
import { watchJob } from "../../jobs/job-watch.ts";
import { type Submitted, submitJob } from "../../jobs/submit.ts";
import { BATCH_JOBS_MAX, submitBatch } from "../../jobs/submit-batch.ts";
import type { SubmitCommand } from "../../jobs/submit-command.ts";
import { Fault, invalidField } from "../../ports/fault.ts";
import type { Ms } from "../../ports/time.ts";
import type { App } from "../app.ts";
import { idempotencyHeader } from "../idempotency-key.ts";
import type { Caller } from "../identity.ts";
import { PROBLEM_CONTENT_TYPE, toProblem } from "../problem.ts";
import { queryText } from "../query.ts";
import { spendSubmits } from "../spend-submits.ts";
import { commandOf, type Submission, type SubmissionHead } from "../submission.ts";
import { validatorCompiler } from "../validation.ts";
import { JobStateSchema, SubmissionSchema } from "./job-schemas.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { ProblemSchema, problemResponses } from "./schemas.ts";

const tags = ["jobs"];
/** A batch may be as large as this many single submits. */
const BATCH_BODIES_MAX = 4;
const VERDICT_MS_MAX: Ms = 5_000;

const text = Type.Optional(Type.String());
const SubmittedSchema = Type.Object({
  job_id: Type.String(),
  trace_id: Type.String(),
  status: Type.Optional(
    Type.String({ description: "Only with `evaluate`: `submitted`, `approval_required` or `pending`." }),
  ),
  reason: text,
});
const BatchSchema = Type.Object({
  jobs: Type.Array(SubmissionSchema, { minItems: 1, maxItems: BATCH_JOBS_MAX }),
});
const BatchAnswerSchema = Type.Object({
  accepted: Type.Integer(),
  refused: Type.Integer(),
  items: Type.Array(
    Type.Object({
      index: Type.Integer({ description: "Of the job in the request." }),
      job_id: text,
      trace_id: text,
      state: Type.Optional(JobStateSchema),
      repeated: Type.Optional(Type.Boolean({ description: "The answer of an earlier submit with the same key." })),
      problem: Type.Optional(ProblemSchema),
    }),
    { description: "As many as jobs, in their order; each has either `job_id` or `problem`." },
  ),
});

export function submitRoutes(app: App, parts: RouteParts): void {
  submitRoute(app, parts);
  batchRoute(app, parts);
}

function submitRoute(app: App, parts: RouteParts): void {
  const { jobParts, deadline } = parts;
  app.post(
    "/api/v1/jobs",
    {
      config: { permission: "jobs.write" },
      schema: {
        tags,
        operationId: "submitJob",
        summary: "Submit a job",
        description:
          "The answer is the same whatever policy decides; read the job to learn its state, or ask with `evaluate`. The same idempotency key with the same body gives the same job.",
        headers: Type.Object({ "idempotency-key": text }),
        querystring: Type.Object({
          evaluate: Type.Optional(
            Type.String({
              description:
                "`true`: be told what policy decided. A denied job is answered with 403, a throttled one with 429, both with their ids; one that was not judged within 5 s as `pending`.",
            }),
          ),
        }),
        body: SubmissionSchema,
        response: { 200: SubmittedSchema, ...problemResponses },
      },
    },
    async (request, reply) => {
      const command = commandOf(bodyOf(request.body), headOf(request), callerOf(request));
      const spending = spendSubmits(command.tenant, 1, parts, reply);
      if (spending !== undefined) await spending;
      const submitted = await submitJob(command, jobParts, deadline());
      reply.header("x-trace-id", submitted.traceId);
      const ids = { job_id: submitted.jobId, trace_id: submitted.traceId };
      if (queryText(request.query, "evaluate").toLowerCase() !== "true") return ids;
      const verdict = verdictOn(await judgedJob(submitted.job, parts), jobParts.clock.now());
      return verdict.kind === "refused"
        ? answerRefusal(request, reply, verdict, ids)
        : { ...ids, status: verdict.status, ...(verdict.reason === "" ? {} : { reason: verdict.reason }) };
    },
  );
}

function batchRoute(app: App, parts: RouteParts): void {
  const { jobParts, deadline, settings } = parts;
  const schema = {
    tags,
    operationId: "submitJobs",
    summary: `Submit up to ${BATCH_JOBS_MAX} jobs`,
    description:
      "Each job is answered by itself, and counts by itself where the tenant's rate is limited. Give each an idempotency key of its own: the whole batch, or what failed of it, can then be sent again. Under the header Idempotency-Key jobs without one get `<header>#<index>`.",
    headers: Type.Object({ "idempotency-key": text }),
    body: BatchSchema,
    response: { 200: BatchAnswerSchema, ...problemResponses },
  } as const;
  app.post(
    "/api/v1/jobs/batch",
    {
      config: { permission: "jobs.write" },
      bodyLimit: settings.bodyBytesMax * BATCH_BODIES_MAX,
      // What is wrong with one job is that job's answer: it is looked at below.
      validatorCompiler: () => () => true,
      schema,
    },
    async (request, reply) => {
      const jobs = jobsOf(request.body);
      const [head, caller] = [headOf(request), callerOf(request)];
      const commands = jobs.map((job, at) => readJob(job, headOfItem(head, at), caller));
      for (const [tenant, count] of countByTenant(commands)) await spendSubmits(tenant, count, parts, reply);
      const answers = await submitBatch(commands, jobParts, deadline());
      const about = { instance: "/api/v1/jobs/batch", traceId: request.id };
      const items = answers.map((answer, index) =>
        answer instanceof Fault ? { index, problem: toItemProblem(answer, about) } : { index, ...acceptedItem(answer) },
      );
      const refused = answers.filter((answer) => answer instanceof Fault).length;
      return { accepted: items.length - refused, refused, items };
    },
  );
}

/** Jobs that could be read. A batch of one tenant is taken or refused as a whole. */
function countByTenant(commands: readonly (SubmitCommand | Fault)[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const command of commands)
    if (!(command instanceof Fault)) counts.set(command.tenant, (counts.get(command.tenant) ?? 0) + 1);
  return counts;
}

const validateSubmission = validatorCompiler({ schema: SubmissionSchema, httpPart: "body", method: "POST", url: "" });

/** The command, or what is wrong with it. */
function readJob(job: unknown, head: SubmissionHead, caller: Caller): SubmitCommand | Fault {
  try {
    return commandOf(bodyOf(parseSubmission(job)), head, caller);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

function parseSubmission(job: unknown): Submission | null {
  const checked = validateSubmission(job);
  if (typeof checked === "object" && checked !== null && "error" in checked) throw checked.error;
  return job as Submission | null; // the schema has said so
}

function bodyOf(body: Submission | null | undefined): Submission {
  if (body !== undefined && body !== null) return body;
  throw new Fault("INVALID_REQUEST", "invalid json", {
    fields: [{ field: "body", reason: "a JSON object is required" }],
  });
}

function jobsOf(body: unknown): readonly unknown[] {
  const jobs: unknown =
    typeof body === "object" && body !== null && Object.hasOwn(body, "jobs") ? Reflect.get(body, "jobs") : undefined;
  if (Array.isArray(jobs) && jobs.length > 0 && jobs.length <= BATCH_JOBS_MAX) return jobs;
  const reason = `jobs must be a list of 1 to ${BATCH_JOBS_MAX} jobs`;
  throw invalidField("jobs", reason);
}

function headOfItem({ idempotencyKey, traceparent }: SubmissionHead, at: number): SubmissionHead & { isPreset: true } {
  return { idempotencyKey: idempotencyKey === "" ? "" : `${idempotencyKey}#${at}`, isPreset: true, traceparent };
}

function acceptedItem({ jobId, traceId, state, isRepeat }: Submitted) {
  return { job_id: jobId, trace_id: traceId, state, ...(isRepeat ? { repeated: true } : {}) };
}

function toItemProblem(fault: Fault, about: { readonly instance: string; readonly traceId: string }) {
  const { errors, ...problem } = toProblem(fault, about);
  return { ...problem, errors: [...errors] } satisfies Static<typeof ProblemSchema>;
}

/** A gateway that does not judge hands the job on: who asks for the verdict waits for it, as long as clients of the later generation do. */
async function judgedJob(job: Job, { jobParts, streams, deadline }: RouteParts): Promise<Job> {
  if (!isUnjudged(job)) return job;
  const until = jobParts.clock.deadline(deadline(), VERDICT_MS_MAX);
  let latest = job;
  for await (const change of watchJob({ tenant: job.tenant, jobId: job.id }, streams.feed, jobParts, until)) {
    latest = change.job;
    if (!isUnjudged(latest)) break;
  }
  return latest;
}

function isUnjudged({ phase }: Job): boolean {
  return phase.state === "PENDING" && phase.waiting === "placing";
}

type Verdict =
  | { readonly kind: "taken"; readonly status: "submitted" | "approval_required" | "pending"; readonly reason: string }
  | { readonly kind: "refused"; readonly fault: Fault; readonly retryAfterMs: number };

/** What policy has said about the job, as clients of the later generation are told. */
function verdictOn(job: Job, now: number): Verdict {
  const { phase } = job;
  if (phase.state === "DENIED")
    return { kind: "refused", fault: new Fault("JOB_DENIED", phase.outcome.message), retryAfterMs: 0 };
  if (phase.state === "APPROVAL_REQUIRED")
    return { kind: "taken", status: "approval_required", reason: phase.ask.reason };
  if (phase.state !== "PENDING") return { kind: "taken", status: "submitted", reason: "" };
  if (phase.waiting !== "throttled") return { kind: "taken", status: "pending", reason: phase.waiting };
  const reason = job.decisions.at(-1)?.decision.reason ?? "";
  return {
    kind: "refused",
    fault: new Fault("JOB_THROTTLED", reason === "" ? "throttled by policy" : reason),
    retryAfterMs: Math.max(1_000, (job.wakes.decide ?? now) - now),
  };
}

function answerRefusal(
  request: FastifyRequest,
  reply: FastifyReply,
  { fault, retryAfterMs }: Verdict & { readonly kind: "refused" },
  ids: { readonly job_id: string; readonly trace_id: string },
): FastifyReply {
  const problem = toProblem(fault, { instance: "/api/v1/jobs", traceId: request.id });
  if (retryAfterMs > 0) reply.header("retry-after", String(Math.ceil(retryAfterMs / 1_000)));
  return reply
    .code(problem.status)
    .header("content-type", PROBLEM_CONTENT_TYPE)
    .send(JSON.stringify({ ...problem, ...ids }) as never);
}

function headOf(request: FastifyRequest): SubmissionHead {
  return { idempotencyKey: idempotencyHeader(request).trim(), traceparent: request.traceparent };
}
