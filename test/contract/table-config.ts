// The contract of configuration and schemas.
// Source: spec/rest-api.md 9.1, 9.2, 12.1, 12.6, 12.9, 13.

import { expect } from "vitest";
import { number, rfc3339 } from "./is.ts";
import type { Row } from "./row.ts";

const get = "GET /api/v1/config";
const set = "POST /api/v1/config";
/** Of a tenant that has no other jobs. */
const quiet = { "x-tenant-id": "quiet" };
const named = { "x-tenant-id": "acme" };

const CONFIG: readonly Row[] = [
  { says: "9.1: none yet", call: `${get}?scope=org`, status: 404, error: "config not found" },
  { says: "9.1: the system's is for admins", as: "viewer", call: get, status: 403 },
  { says: "9.1: nor is there one of the system", call: get, status: 404, error: "config not found" },
  { says: "12.6: which is an empty object for later clients", headers: named, call: get, status: 200, answer: {} },
  { says: "9.1: a document", call: set, body: { scope: "org", data: { a: { x: 1 }, b: 1 } }, status: 204, answer: "" },
  {
    says: "9.1: as it is read",
    as: "viewer",
    call: `${get}?scope=org`,
    status: 200,
    answer: { scope: "org", scope_id: "acme", data: { a: { x: 1 }, b: 1 }, revision: 1, updated_at: rfc3339 },
    answerHeaders: { etag: /^"1-.+"$/ },
    without: ["meta"],
  },
  {
    says: "12.6: its data alone for later clients",
    headers: named,
    call: `${get}?scope=org`,
    status: 200,
    answer: { a: { x: 1 }, b: 1 },
    without: ["revision"],
  },
  {
    says: "12.6: and the whole where they ask for it",
    headers: named,
    call: `${get}?scope=org&envelope=true`,
    status: 200,
    answer: { revision: 1 },
  },
  { says: "9.1: replaced as a whole", call: set, body: { scope: "org", data: { c: 1 } }, status: 204 },
  {
    says: "13 (39): with a revision that counts",
    call: `${get}?scope=org`,
    status: 200,
    answer: { data: { c: 1 }, revision: 2 },
  },
  {
    says: "13 (39): compared and set",
    headers: { "if-match": "1" },
    call: set,
    body: { scope: "org", data: {} },
    status: 409,
    code: "CONFIG_VERSION_CONFLICT",
  },
  { says: "12.6: merged by PUT", call: "PUT /api/v1/config", body: { scope: "org", data: { d: 2 } }, status: 204 },
  {
    says: "12.9: and for those who name their tenant",
    headers: named,
    call: set,
    body: { scope: "org", data: { e: 3 } },
    status: 204,
  },
  {
    says: "12.6: members of others stay",
    call: `${get}?scope=org`,
    status: 200,
    answer: { data: { c: 1, d: 2, e: 3 } },
  },
  { says: "9.1: null is kept", call: set, body: { scope: "team", scope_id: "nil", data: null }, status: 204 },
  { says: "9.1: and read back", call: `${get}?scope=team&scope_id=nil`, status: 200, answer: { data: null } },
  { says: "9.1: no JSON", call: set, body: "{", status: 400, error: "invalid json" },
  { says: "9.1: no scope", call: set, body: { scope: "" }, status: 400, error: "scope required" },
  {
    says: "9.1: no id",
    call: set,
    body: { scope: "team" },
    status: 400,
    error: "scope_id required for non-system scope",
  },
  { says: "9.1: data that is a list", call: set, body: { scope: "org", data: [] }, status: 400 },
  { says: "12.6: a scope that nobody knows", call: `${get}?scope=galaxy`, status: 400 },
  { says: "9.1: needs the role", as: "operator", call: set, body: { scope: "org", data: {} }, status: 403 },
  { says: "9.1: an org is its tenant's", as: "foreign", call: `${get}?scope=org&scope_id=acme`, status: 403 },
  {
    says: "13 (11): and so is a team",
    as: "foreign",
    call: `${get}?scope=team&scope_id=nil`,
    status: 404,
    error: "config not found",
  },
  {
    says: "12.6: no bundles among the defaults",
    as: "root",
    call: set,
    body: { scope: "system", data: { bundles: {} } },
    status: 400,
    code: "CONFIG_KEY_FORBIDDEN",
  },
  { says: "ours: a tenant changes nothing for all", call: set, body: { flat: 1 }, status: 403 },
  { says: "12.6: members of the defaults", as: "root", call: set, body: { c: 0, f: 1 }, status: 204 },
  {
    says: "12.3: a limit on open jobs",
    as: "root",
    headers: quiet,
    call: set,
    body: { scope: "team", scope_id: "few", data: { limits: { max_concurrent_jobs: 1 } } },
    status: 204,
  },
  {
    says: "12.3: lets one in",
    as: "root",
    headers: quiet,
    call: "POST /api/v1/jobs",
    body: { prompt: "x", topic: "job.nobody", team_id: "few" },
    status: 200,
    keep: { few: "job_id" },
  },
  {
    says: "12.3: and turns one more away",
    as: "root",
    headers: quiet,
    call: "POST /api/v1/jobs",
    body: { prompt: "x", topic: "job.nobody", team_id: "few" },
    status: 429,
    code: "BACKPRESSURE",
    answerHeaders: { "retry-after": /^\d+$/ },
  },
  {
    says: "12.3: until it has ended",
    as: "root",
    headers: quiet,
    call: "POST /api/v1/jobs/{few}/cancel",
    status: 200,
  },
  {
    says: "9.1: the effective view, merged member by member, with version and hash",
    as: "viewer",
    call: `${get}/effective?team_id=nil&step_id=none`,
    status: 200,
    answer: {
      version: "system:1|org:4|team:1|workflow:0|step:0",
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      data: { c: 1, d: 2, e: 3, f: 1 },
    },
  },
  { says: "9.1: of another tenant for who may", as: "root", call: `${get}/effective?org_id=other`, status: 200 },
  { says: "9.1: and for nobody else", as: "foreign", call: `${get}/effective?org_id=acme`, status: 403 },
];

const register = "POST /api/v1/schemas";
const SCHEMA = { type: "object", required: ["amount"], properties: { amount: { type: "number" } } };

const SCHEMAS: readonly Row[] = [
  { says: "9.2: none yet", as: "viewer", call: "GET /api/v1/schemas", status: 200, answer: { schemas: [] } },
  { says: "9.2: registered", call: register, body: { id: " pay/In ", schema: SCHEMA }, status: 204, answer: "" },
  { says: "9.2: needs the role", as: "operator", call: register, body: { id: "x", schema: {} }, status: 403 },
  { says: "9.2: no id", call: register, body: { schema: {} }, status: 400, error: "schema id required" },
  { says: "13 (22): no schema", call: register, body: { id: "x" }, status: 400 },
  {
    says: "13 (22): one that cannot be compiled",
    call: register,
    body: { id: "x", schema: { $ref: "file:///etc/passwd" } },
    status: 400,
    code: "SCHEMA_INVALID",
  },
  {
    says: "9.2: listed by id",
    as: "viewer",
    call: "GET /api/v1/schemas",
    status: 200,
    answer: { schemas: ["pay/In"] },
  },
  {
    says: "13 (49): read by an id that is not escaped",
    as: "viewer",
    call: "GET /api/v1/schemas/pay/In",
    status: 200,
    answer: { id: "pay/In", schema: SCHEMA },
  },
  {
    says: "9.2: and by one that is",
    as: "viewer",
    call: "GET /api/v1/schemas/pay%2FIn",
    status: 200,
    answer: { id: "pay/In" },
  },
  { says: "9.2: not there", call: "GET /api/v1/schemas/pay/Out", status: 404, error: "schema not found" },
  {
    says: "13 (11): another tenant's",
    as: "foreign",
    call: "GET /api/v1/schemas/pay/In",
    status: 404,
    error: "schema not found",
  },
  {
    says: "12.1: named for a topic",
    call: set,
    body: { scope: "org", data: { topics: { "job.echo": { input_schema_id: "pay/In" } } } },
    status: 204,
  },
  {
    says: "12.1: a payload that does not keep to it",
    as: "submitter",
    call: "POST /api/v1/jobs",
    body: { prompt: "x", topic: "job.echo", context: { amount: "much" } },
    status: 400,
    code: "SCHEMA_VALIDATION_FAILED",
    answer: { errors: [{ field: "context.amount", reason: "must be number" }] },
  },
  {
    says: "12.1: and one that does",
    as: "submitter",
    call: "POST /api/v1/jobs",
    body: { prompt: "x", topic: "job.echo", context: { amount: 1 } },
    status: 200,
    keep: { paid: "job_id" },
  },
  {
    says: "12.1: which runs",
    as: "viewer",
    after: ["paid", "SUCCEEDED"],
    call: "GET /api/v1/jobs/{paid}",
    status: 200,
    answer: { attempts: number },
  },
  { says: "13 (10): needs the role", as: "operator", call: "DELETE /api/v1/schemas/pay/In", status: 403 },
  { says: "9.2: removed", call: "DELETE /api/v1/schemas/pay/In", status: 204, answer: "" },
  { says: "9.2: what is not there too", call: "DELETE /api/v1/schemas/pay%2FIn", status: 204, answer: "" },
  { says: "ours: a document is removed", call: "DELETE /api/v1/config?scope=org", status: 204, answer: "" },
];

export const SETTINGS: readonly Row[] = [...CONFIG, ...SCHEMAS];
