// The contract of requests as such: routing, keys, tenants, origins, limits, errors.
// Source: spec/rest-api.md 1.2 to 1.4, 2, 3, 4, 12.1, 13.

import { expect } from "vitest";
import type { Row } from "./row.ts";
import { keyOf } from "./town.ts";

const ORIGIN = "http://localhost:3000";

/** Where we differ on purpose: docs/compatibility.md says why. */
const DIFFERENT: readonly Row[] = [
  {
    says: "not 1.3: an unclean path is not found instead of redirected",
    call: "GET //api/v1/jobs",
    status: 404,
  },
  {
    says: "not 1.4: names of members are taken as they are written",
    call: "POST /api/v1/jobs",
    body: { Prompt: "x" },
    status: 400,
    error: "prompt is required",
  },
  {
    says: "not 1.4: what follows a body's JSON makes it no JSON",
    call: "POST /api/v1/jobs",
    body: '{"prompt":"x"} trailing',
    status: 400,
    error: "invalid json",
  },
  {
    says: "not 1.4: success ends without a line break",
    call: "GET /api/v1/jobs/counts",
    status: 200,
    answerHeaders: { "content-type": "application/json; charset=utf-8" },
  },
  {
    says: "not 7.4: decisions of an unknown job are not found",
    call: "GET /api/v1/jobs/none/decisions",
    status: 404,
    error: "job not found",
  },
];

export const REQUESTS: readonly Row[] = [
  {
    says: "1.2: an unknown path below /api/ needs a key",
    as: "nobody",
    call: "GET /api/v1/nothing",
    status: 401,
    error: "unauthorized",
    code: "UNAUTHENTICATED",
  },
  { says: "1.2: with a key it is not found", call: "GET /api/v1/nothing", status: 404, error: "404 page not found" },
  { says: "1.2: any other unknown path is not found without a key", as: "nobody", call: "GET /nothing", status: 404 },
  { says: "1.3: a trailing slash is another path", call: "GET /api/v1/jobs/", status: 404 },
  {
    says: "1.3: %2F stays inside its segment",
    call: "GET /api/v1/jobs/a%2Fdecisions",
    status: 404,
    error: "job not found",
  },
  {
    says: "1.3: another method is 405, with all methods of the path in order",
    call: "POST /api/v1/dlq/x",
    status: 405,
    error: "Method Not Allowed",
    answerHeaders: { allow: "DELETE, GET, HEAD" },
  },
  { says: "1.3: GET routes answer HEAD, without a body", call: "HEAD /api/v1/jobs", status: 200, answer: "" },
  { says: "1.2: HEAD needs a key as well", as: "nobody", call: "HEAD /api/v1/jobs", status: 401 },
  { says: "1.4: broken JSON is 400", call: "POST /api/v1/jobs", body: "{", status: 400, error: "invalid json" },
  { says: "1.4: no body where one is needed is 400", call: "POST /api/v1/jobs", status: 400, error: "invalid json" },
  { says: "1.4: a wrong JSON type is 400", call: "POST /api/v1/jobs", body: { prompt: 5 }, status: 400 },
  {
    says: "1.4: the content type of a body does not matter, null leaves a member unset, unknown members are ignored",
    call: "POST /api/v1/jobs",
    headers: { "content-type": "text/plain" },
    body: { prompt: "x", topic: null, labels: null, deadline_ms: null, nobody_knows: { a: 1 } },
    status: 200,
  },
  {
    says: "1.4: numbers of a query that are none are the default",
    call: "GET /api/v1/jobs?limit=many&updated_after=x&cursor=0",
    status: 200,
  },
  { says: "1.4: a limit that is not positive is the default", call: "GET /api/v1/jobs?limit=-1", status: 200 },
  {
    says: "2.1: an unknown key is refused like a missing one",
    as: "stranger",
    call: "GET /api/v1/jobs",
    status: 401,
    error: "unauthorized",
  },
  {
    says: "2.1: blanks and quotes around a key do not count",
    as: "nobody",
    headers: { "x-api-key": ` "${keyOf("viewer")}" ` },
    call: "GET /api/v1/jobs",
    status: 200,
  },
  {
    says: "2.2: there is no query parameter for keys",
    as: "nobody",
    call: `GET /api/v1/jobs?api_key=${keyOf("admin")}`,
    status: 401,
  },
  {
    says: "2.3: a role without the right is refused",
    as: "viewer",
    call: "POST /api/v1/jobs",
    body: { prompt: "x" },
    status: 403,
    error: "access denied",
  },
  {
    says: "12.1: the key's own tenant may be named",
    headers: { "x-tenant-id": "acme" },
    call: "GET /api/v1/jobs",
    status: 200,
  },
  {
    says: "12.1: another tenant may not, in either header",
    headers: { "x-tenant-id": "other" },
    call: "GET /api/v1/jobs",
    status: 403,
    error: "tenant access denied",
  },
  {
    says: "12.1: X-Cordum-Tenant is the same",
    headers: { "x-cordum-tenant": "other" },
    call: "GET /api/v1/jobs",
    status: 403,
    error: "tenant access denied",
  },
  {
    says: "12.1: a key that may cross tenants may name any",
    as: "root",
    headers: { "x-tenant-id": "other" },
    call: "GET /api/v1/jobs",
    status: 200,
  },
  {
    says: "12.1: X-Request-Id comes back",
    headers: { "x-request-id": "my-id-1" },
    call: "GET /api/v1/jobs/none",
    status: 404,
    answer: { traceId: "my-id-1" },
    answerHeaders: { "x-request-id": "my-id-1" },
  },
  {
    says: "12.1: or is made",
    call: "GET /api/v1/jobs",
    status: 200,
    answerHeaders: { "x-request-id": /^[0-9a-f]{16}$/ },
  },
  {
    says: "12.1: every answer has the headers that keep browsers from guessing",
    as: "nobody",
    call: "GET /api/v1/jobs",
    status: 401,
    answerHeaders: {
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "referrer-policy": "no-referrer",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "content-type": "application/problem+json; charset=utf-8",
    },
  },
  {
    says: "12.1, 12.9: an error is JSON, with the text that older clients show in `error`",
    call: "GET /api/v1/jobs/none",
    status: 404,
    answer: {
      error: "job not found",
      code: "JOB_NOT_FOUND",
      status: 404,
      title: expect.any(String),
      detail: expect.any(String),
      errors: [],
    },
  },
  {
    says: "3: an origin that is this machine is allowed, and told so",
    headers: { origin: ORIGIN },
    call: "GET /api/v1/jobs",
    status: 200,
    answerHeaders: {
      "access-control-allow-origin": ORIGIN,
      vary: /Origin/i,
      "access-control-expose-headers": /X-Request-Id/i,
    },
  },
  {
    says: "3: any other is not, not even for health",
    as: "nobody",
    headers: { origin: "https://evil.example" },
    call: "GET /health",
    status: 403,
    error: "origin not allowed",
  },
  {
    says: "3, 13 (52): a preflight is 204 without a key, with PUT and the headers that clients send",
    as: "nobody",
    headers: { origin: ORIGIN, "access-control-request-method": "PUT" },
    call: "OPTIONS /api/v1/jobs",
    status: 204,
    answer: "",
    answerHeaders: {
      "access-control-allow-methods": /GET, POST, PUT, DELETE, OPTIONS|(?=.*PUT)(?=.*DELETE)(?=.*POST)/,
      "access-control-allow-headers":
        /(?=.*X-API-Key)(?=.*Idempotency-Key)(?=.*X-Tenant-ID)(?=.*X-Max-Artifact-Bytes)/i,
      "access-control-max-age": /^\d+$/,
    },
  },
  {
    says: "4, 13 (15, 46): a body beyond 2 MiB is 413",
    call: "POST /api/v1/jobs",
    body: { prompt: "x", context: "y".repeat(2_200_000) },
    status: 413,
    code: "BODY_TOO_LARGE",
  },
  ...DIFFERENT,
];
