// The contract of locks, artifacts and memory.
// Source: spec/rest-api.md 9.3 to 9.5, 12.6, 13.

import { expect } from "vitest";
import { number, rfc3339, text } from "./is.ts";
import type { Row } from "./row.ts";

const acquire = "POST /api/v1/locks/acquire";
const release = "POST /api/v1/locks/release";
const renew = "POST /api/v1/locks/renew";
const mine = { resource: " r ", owner: " me " };

const LOCKS: readonly Row[] = [
  {
    says: "9.3: taken with the default TTL, names trimmed",
    call: acquire,
    body: mine,
    status: 200,
    answer: { resource: "r", mode: "exclusive", owners: { me: 1 }, updated_at: rfc3339, expires_at: rfc3339 },
  },
  {
    says: "9.3: taken once more by the same owner",
    call: acquire,
    body: { ...mine, mode: "shared", ttl_ms: 60_000 },
    status: 200,
    answer: { mode: "exclusive", owners: { me: 2 } },
  },
  {
    says: "9.3: not by another",
    as: "operator",
    call: acquire,
    body: { resource: "r", owner: "you" },
    status: 409,
    error: "lock unavailable",
  },
  {
    says: "9.3: what is missing",
    call: acquire,
    body: { owner: "me" },
    status: 400,
    error: "resource and owner required",
  },
  { says: "9.3: no JSON", call: acquire, body: "{", status: 400, error: "invalid json" },
  {
    says: "9.3: one lock",
    as: "viewer",
    call: "GET /api/v1/locks?resource=r",
    status: 200,
    answer: { resource: "r", owners: { me: 2 } },
  },
  { says: "9.3: without a resource", as: "viewer", call: "GET /api/v1/locks", status: 400, error: "resource required" },
  {
    says: "9.3: one that nobody holds",
    as: "viewer",
    call: "GET /api/v1/locks?resource=none",
    status: 404,
    error: "lock not found",
  },
  {
    says: "13 (11): locks of another tenant are others",
    as: "foreign",
    call: "GET /api/v1/locks?resource=r",
    status: 404,
    error: "lock not found",
  },
  {
    says: "ours: all that are held",
    as: "viewer",
    call: "GET /api/v1/locks?held=true",
    status: 200,
    answer: { items: [{ resource: "r" }] },
  },
  {
    says: "9.3: held for longer",
    call: renew,
    body: { ...mine, ttl_ms: 90_000 },
    status: 200,
    answer: { owners: { me: 2 } },
  },
  {
    says: "9.3: not by who does not hold it",
    as: "operator",
    call: renew,
    body: { resource: "r", owner: "you" },
    status: 404,
    error: "lock not held",
  },
  {
    says: "9.3: given back once",
    call: release,
    body: mine,
    status: 200,
    answer: { released: true, lock: { owners: { me: 1 } } },
  },
  {
    says: "13 (43): not by who does not hold it",
    as: "operator",
    call: release,
    body: { resource: "r", owner: "you" },
    status: 404,
    error: "lock not held",
  },
  { says: "9.3: given back for good", call: release, body: mine, status: 200, answer: { released: true, lock: null } },
  {
    says: "9.3: what nobody holds is given back",
    call: release,
    body: mine,
    status: 200,
    answer: { released: true, lock: null },
  },
  {
    says: "9.3: shared",
    call: acquire,
    body: { resource: "s", owner: "me", mode: "shared" },
    status: 200,
    answer: { mode: "shared", owners: { me: 1 } },
  },
  {
    says: "9.3: by several",
    as: "operator",
    call: acquire,
    body: { resource: "s", owner: "you", mode: "shared" },
    status: 200,
    answer: { owners: { me: 1, you: 1 } },
  },
  {
    says: "9.3: not to be upgraded then",
    call: acquire,
    body: { resource: "s", owner: "me" },
    status: 409,
    error: "lock unavailable",
  },
  {
    says: "12.6: a TTL has a limit",
    call: acquire,
    body: { resource: "t", owner: "me", ttl_ms: 3_600_001 },
    status: 400,
  },
  {
    says: "ours: taken away by an operator",
    as: "operator",
    call: "POST /api/v1/locks/break",
    body: { resource: "s", owner: "me", reason: "gone" },
    status: 200,
    answer: { released: true },
  },
];

const upload = "POST /api/v1/artifacts";
const ARTIFACTS: readonly Row[] = [
  {
    says: "9.4: text",
    call: upload,
    body: { content: "hello", content_type: " text/plain ", retention: "AUDIT", labels: { a: "b" } },
    status: 200,
    answer: { artifact_ptr: expect.stringMatching(/^redis:\/\/art:[0-9a-f-]{36}$/), size_bytes: 5 },
    keep: { artifact: "artifact_ptr" },
  },
  {
    says: "9.4: base64 wins",
    call: upload,
    body: { content: "x", content_base64: "AAEC" },
    status: 200,
    answer: { size_bytes: 3 },
  },
  {
    says: "9.4: base64 that is none",
    call: upload,
    body: { content_base64: "***" },
    status: 400,
    error: "invalid base64 content",
  },
  { says: "9.4: nothing", call: upload, body: {}, status: 400, error: "content required" },
  { says: "9.4: no JSON", call: upload, body: "{", status: 400, error: "invalid json" },
  {
    says: "9.4: a limit of the caller's own",
    call: `${upload}?max_bytes=4`,
    body: { content: "hello" },
    status: 413,
    error: /^artifact too large/,
  },
  {
    says: "9.4: the same by header",
    call: upload,
    headers: { "x-max-artifact-bytes": "4" },
    body: { content: "hello" },
    status: 413,
  },
  { says: "12.6, 13 (15): the server has one too", call: upload, body: { content: "x".repeat(4_097) }, status: 413 },
  {
    says: "12.6: the tenant's label cannot be another's",
    call: upload,
    body: { content: "x", labels: { tenant_id: "other" } },
    status: 403,
  },
  {
    says: "9.4: read back by its escaped pointer",
    call: "GET /api/v1/artifacts/{artifact}",
    status: 200,
    answer: {
      artifact_ptr: "{artifact}",
      content_base64: "aGVsbG8=",
      metadata: {
        content_type: "text/plain",
        size_bytes: 5,
        retention: "audit",
        labels: { a: "b", tenant_id: "acme" },
      },
    },
  },
  {
    says: "9.4, 13 (49): and by one that is not escaped",
    call: "GET /api/v1/artifacts/redis:/art:00000000-0000-4000-8000-000000000000",
    status: 404,
    error: "artifact not found",
  },
  {
    says: "13 (1): no other key of the store",
    call: "GET /api/v1/artifacts/redis%3A%2F%2Fjob:state:{echo}",
    status: 400,
  },
  { says: "13 (46): a malformed pointer", call: "GET /api/v1/artifacts/nonsense", status: 400 },
  {
    says: "13 (1): a foreign artifact is none",
    as: "foreign",
    call: "GET /api/v1/artifacts/{artifact}",
    status: 404,
    error: "artifact not found",
  },
  {
    says: "ours: the list",
    as: "viewer",
    call: "GET /api/v1/artifacts?limit=1",
    status: 200,
    answer: { items: [{ artifact_ptr: text }], next_cursor: number },
  },
  { says: "ours: removing one", as: "operator", call: "DELETE /api/v1/artifacts/{artifact}", status: 204, answer: "" },
  {
    says: "9.4: then it is not found",
    call: "GET /api/v1/artifacts/{artifact}",
    status: 404,
    error: "artifact not found",
  },
];

const memory = "GET /api/v1/memory";
const MEMORY: readonly Row[] = [
  {
    says: "9.5: a context by its pointer",
    call: `${memory}?ptr=redis://ctx:{echo}`,
    status: 200,
    answer: {
      pointer: "redis://ctx:{echo}",
      key: "ctx:{echo}",
      kind: "context",
      size_bytes: number,
      base64: text,
      text,
      json: { prompt: "hello" },
    },
  },
  {
    says: "9.5: a result by its key",
    call: `${memory}?key=res:{echo}`,
    status: 200,
    answer: { kind: "result", json: { echo: { n: 1 } } },
  },
  {
    says: "9.5: the key wins over the pointer",
    call: `${memory}?key=res:{echo}&ptr=redis://ctx:{echo}`,
    status: 200,
    answer: { kind: "result" },
  },
  { says: "9.5: neither", call: memory, status: 400, error: "missing ptr or key" },
  { says: "9.5: no pointer", call: `${memory}?ptr=http://x`, status: 400, error: "invalid pointer" },
  { says: "9.5: no key", call: `${memory}?key=redis://`, status: 400, error: "invalid key pointer" },
  {
    says: "9.5: any other key",
    call: `${memory}?key=job:state:{echo}`,
    status: 400,
    error: "unsupported pointer key (only ctx:*, res:*, or mem:*)",
  },
  { says: "9.5: what is not there", call: `${memory}?key=mem:{echo}:events`, status: 404, error: "not found" },
  {
    says: "12.6, 13 (11): a foreign one is not there",
    as: "foreign",
    call: `${memory}?key=ctx:{echo}`,
    status: 404,
    error: "not found",
  },
  { says: "9.5: needs the right", as: "viewer", call: `${memory}?key=ctx:{echo}`, status: 403 },
];

export const THINGS: readonly Row[] = [...LOCKS, ...ARTIFACTS, ...MEMORY];
