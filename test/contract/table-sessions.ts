// Sessions of workers: what the specification demands of ending one.
// Owns:          the rows.
// Must not know: how a row is carried out.

import type { Row } from "./row.ts";
import { WORKER_ID } from "./town.ts";

const revoke = (id: string): string => `POST /api/v1/workers/${id}/revoke-session`;

export const SESSIONS: readonly Row[] = [
  { says: "12.2: ending a session needs the right", as: "viewer", call: revoke(WORKER_ID), status: 403 },
  { says: "12.2: not even of oneself", as: "worker", call: revoke(WORKER_ID), status: 403 },
  {
    says: "12.1: of a worker that nobody has heard of",
    as: "operator",
    call: revoke("acme.none"),
    status: 404,
    code: "WORKER_NOT_FOUND",
  },
  {
    says: "12.1: another tenant's worker is none",
    as: "foreign",
    call: revoke(WORKER_ID),
    status: 404,
    code: "WORKER_NOT_FOUND",
  },
  {
    says: "1.6: a body is what it should be",
    as: "operator",
    call: revoke(WORKER_ID),
    body: { reason: 1 },
    status: 400,
  },
  {
    says: "12.2: a session is ended",
    as: "operator",
    call: revoke(WORKER_ID),
    body: { reason: "was seen elsewhere" },
    status: 200,
    answer: { worker_id: WORKER_ID, tenant: "acme", revoked: true },
  },
  {
    says: "12.2: then there is none, until the worker comes back",
    as: "root",
    call: revoke(WORKER_ID),
    status: 200,
    answer: { worker_id: WORKER_ID, tenant: "acme", revoked: false },
  },
  {
    says: "12.2: which it does, with a key that counts",
    as: "submitter",
    call: "POST /api/v1/jobs",
    body: { prompt: "x", topic: "job.echo" },
    status: 200,
    keep: { back: "job_id" },
  },
  {
    says: "12.2: and works",
    as: "viewer",
    after: ["back", "SUCCEEDED"],
    call: "GET /api/v1/jobs/{back}",
    status: 200,
    answer: { worker_id: WORKER_ID },
  },
];
