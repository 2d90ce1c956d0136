// The contract of changing jobs: cancel, remediate.
// Source: spec/rest-api.md 7.3, 7.5, 7.6, 13.

import { uuid } from "./is.ts";
import type { Row } from "./row.ts";

const JOB = "POST /api/v1/jobs";

export const JOB_CHANGES: readonly Row[] = [
  {
    says: "7.5: a job to cancel",
    as: "submitter",
    call: JOB,
    body: { prompt: "x", topic: "job.hold" },
    status: 200,
    keep: { hold: "job_id" },
  },
  {
    says: "7.5: cancel needs the right",
    as: "submitter",
    call: "POST /api/v1/jobs/{hold}/cancel",
    status: 403,
    error: "access denied",
  },
  {
    says: "7.5: a running job is cancelled",
    after: ["hold", "RUNNING"],
    call: "POST /api/v1/jobs/{hold}/cancel",
    status: 200,
    answer: { id: "{hold}", state: "CANCELLED" },
    without: ["reason"],
  },
  {
    says: "7.5: once more is the same",
    call: "POST /api/v1/jobs/{hold}/cancel",
    status: 200,
    answer: { id: "{hold}", state: "CANCELLED" },
    without: ["reason"],
  },
  {
    says: "7.5: a job that has ended keeps its state",
    call: "POST /api/v1/jobs/{echo}/cancel",
    status: 200,
    answer: { id: "{echo}", state: "SUCCEEDED", reason: "job already terminal" },
  },
  { says: "7.5: an unknown job", call: "POST /api/v1/jobs/none/cancel", status: 404, error: "job not found" },
  {
    says: "7.5: a foreign job",
    as: "foreign",
    call: "POST /api/v1/jobs/{echo}/cancel",
    status: 404,
    error: "job not found",
  },
  {
    says: "7.6: a job with one remediation",
    as: "submitter",
    call: JOB,
    body: { prompt: "x", topic: "job.better", labels: { keep: "me" } },
    status: 200,
    keep: { better: "job_id", betterTrace: "trace_id" },
  },
  {
    says: "7.3: is denied, and says what there is instead",
    after: ["better", "DENIED"],
    call: "GET /api/v1/jobs/{better}",
    status: 200,
    answer: {
      safety_remediations: [
        { id: "this-way", title: "This way", replacement_topic: "job.echo", add_labels: { way: "this" } },
      ],
    },
  },
  {
    says: "7.6: is remediated without a body, in its trace",
    call: "POST /api/v1/jobs/{better}/remediate",
    status: 200,
    answer: { job_id: uuid, trace_id: "{betterTrace}" },
    keep: { remedied: "job_id" },
  },
  {
    says: "7.6: with its labels and those of the remedy",
    call: "GET /api/v1/jobs/{remedied}",
    status: 200,
    answer: {
      topic: "job.echo",
      labels: { keep: "me", way: "this", remediation_of: "{better}", remediation_id: "this-way" },
    },
  },
  {
    says: "7.6: a job with several",
    as: "submitter",
    call: JOB,
    body: { prompt: "x", topic: "job.ways" },
    status: 200,
    keep: { ways: "job_id" },
  },
  {
    says: "7.6: has to be told which",
    after: ["ways", "DENIED"],
    call: "POST /api/v1/jobs/{ways}/remediate",
    body: {},
    status: 400,
    error: /^remediation_id required/,
  },
  {
    says: "7.6: one that it does not have",
    call: "POST /api/v1/jobs/{ways}/remediate",
    body: { remediation_id: "three" },
    status: 404,
    error: "remediation not found",
  },
  {
    says: "7.6: one that it has",
    call: "POST /api/v1/jobs/{ways}/remediate",
    body: { remediation_id: " one " },
    status: 200,
    answer: { job_id: uuid },
  },
  {
    says: "7.6: a job that has none",
    call: "POST /api/v1/jobs/{denied}/remediate",
    status: 409,
    error: "no remediations available",
  },
  {
    says: "7.6: a body that is no JSON",
    call: "POST /api/v1/jobs/{denied}/remediate",
    body: "{",
    status: 400,
    error: "invalid body",
  },
  { says: "7.6: an unknown job", call: "POST /api/v1/jobs/none/remediate", status: 404, error: "job not found" },
];
