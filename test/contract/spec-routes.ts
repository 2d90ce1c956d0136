// Every route that the specification lists (spec/rest-api.md 14), and what has no rows yet.
// Owns:          the list. A path leaves LATER when rows for it are in a table.
// Must not know: rows.

export const SPEC_ROUTES = `
GET /health
GET /api/v1/status
GET /api/v1/workers
GET /api/v1/stream
POST /api/v1/jobs
GET /api/v1/jobs
GET /api/v1/jobs/{id}
GET /api/v1/jobs/{id}/decisions
POST /api/v1/jobs/{id}/cancel
POST /api/v1/jobs/{id}/remediate
GET /api/v1/traces/{id}
GET /api/v1/approvals
POST /api/v1/approvals/{job_id}/approve
POST /api/v1/approvals/{job_id}/reject
GET /api/v1/workflows
POST /api/v1/workflows
GET /api/v1/workflows/{id}
DELETE /api/v1/workflows/{id}
POST /api/v1/workflows/{id}/runs
GET /api/v1/workflows/{id}/runs
POST /api/v1/workflows/{id}/runs/{run_id}/cancel
POST /api/v1/workflows/{id}/runs/{run_id}/steps/{step_id}/approve
GET /api/v1/workflow-runs
GET /api/v1/workflow-runs/{id}
GET /api/v1/workflow-runs/{id}/timeline
DELETE /api/v1/workflow-runs/{id}
POST /api/v1/workflow-runs/{id}/rerun
GET /api/v1/config
POST /api/v1/config
GET /api/v1/config/effective
POST /api/v1/schemas
GET /api/v1/schemas
GET /api/v1/schemas/{id}
DELETE /api/v1/schemas/{id}
GET /api/v1/locks
POST /api/v1/locks/acquire
POST /api/v1/locks/release
POST /api/v1/locks/renew
POST /api/v1/artifacts
GET /api/v1/artifacts/{artifact_ptr}
GET /api/v1/memory
GET /api/v1/dlq
GET /api/v1/dlq/page
DELETE /api/v1/dlq/{job_id}
POST /api/v1/dlq/{job_id}/retry
GET /api/v1/health
GET /healthz
GET /readyz
GET /livez
GET /api/v1/jobs/{id}/stream
GET /api/v1/workers/{id}
GET /api/v1/workers/{id}/jobs
POST /api/v1/workers/{id}/revoke-session
`
  .trim()
  .split("\n");

/** Paths that get rows of their own when they are done. */
const LATER = /\/api\/v1\/(workflows|workflow-runs)\b/;

export const isLater = (route: string): boolean => LATER.test(route);
