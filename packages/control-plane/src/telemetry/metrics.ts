// Metrics: the one table of what the house measures.
// Owns:          names, types, meanings, labels and buckets; the page that documents them.
// Must not know: who measures; Prometheus' client.
// T1. A name, once released, is an interface to operators. T2. Units are in names, base units (seconds, bytes). T3. Labels are bounded:
//     never ids, tenants or principals; topics are, up to the series limit of the meter.

export interface MetricSpec {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds, for histograms alone. */
  readonly buckets?: readonly number[];
}

const HTTP_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;
const LAG_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800] as const;

const PATIENCE_BUCKETS = [10, 60, 300, 900, 3600, 14_400, 86_400, 259_200] as const;

export const METRICS = {
  cordum_api_gateway_http_requests_total: {
    type: "counter",
    help: "Answers of routed handlers, by route template.",
    labels: ["method", "route", "status"],
  },
  cordum_api_gateway_http_request_duration_seconds: {
    type: "histogram",
    help: "Time from the request's head to the end of its answer.",
    labels: ["method", "route"],
    buckets: HTTP_BUCKETS,
  },
  cordum_api_gateway_http_refused_total: {
    type: "counter",
    help: "Requests that reached no handler, by fault code (UNAUTHENTICATED, FORBIDDEN, RATE_LIMITED, ROUTE_NOT_FOUND, ...).",
    labels: ["code"],
  },
  cordum_gateway_ws_clients_active: { type: "gauge", help: "WebSockets that are open.", labels: [] },
  cordum_gateway_ws_connection_duration_seconds: {
    type: "histogram",
    help: "Time from the upgrade of a WebSocket to its end.",
    labels: [],
    buckets: PATIENCE_BUCKETS,
  },
  cordum_gateway_ws_pings_sent_total: { type: "counter", help: "Pings to WebSockets that were silent.", labels: [] },
  cordum_gateway_ws_pongs_received_total: { type: "counter", help: "Answers to them.", labels: [] },
  cordum_gateway_ws_pong_timeouts_total: {
    type: "counter",
    help: "WebSockets that were cut because no answer came.",
    labels: [],
  },
  cordum_gateway_ws_revalidation_total: {
    type: "counter",
    help: "Second looks at the keys of streams and sockets, by outcome: valid, ended.",
    labels: ["outcome"],
  },
  cordum_gateway_worker_sessions: {
    type: "gauge",
    help: "Workers that are connected to this process with an API key.",
    labels: [],
  },
  cordum_schema_checks_total: {
    type: "counter",
    help: "Payloads of jobs that were checked against schemas, by outcome: valid, violated, missing, unusable, unchecked.",
    labels: ["outcome"],
  },
  cordum_gateway_worker_refused_total: {
    type: "counter",
    help: "What connected workers were refused, by reason: job_not_held, payload_forbidden, subject_forbidden, worker_mismatch, foreign_tenant, and others.",
    labels: ["reason"],
  },
  cordum_gateway_ws_packets_dropped_total: {
    type: "counter",
    help: "Packets that no WebSocket got, because too many waited for the store.",
    labels: [],
  },
  cordum_gateway_ws_slow_client_evictions_total: {
    type: "counter",
    help: "WebSockets that were closed because they read too slowly, by reason: buffer_full.",
    labels: ["reason"],
  },
  cordum_gateway_streams_active: {
    type: "gauge",
    help: "Streams that are open: server-sent events, and WebSockets of packets.",
    labels: [],
  },
  cordum_gateway_submits_limited_total: {
    type: "counter",
    help: "Jobs that were not taken because their tenant submits more than it may.",
    labels: [],
  },
  cordum_scheduler_jobs_received_total: { type: "counter", help: "Jobs accepted.", labels: ["topic"] },
  cordum_scheduler_jobs_dispatched_total: { type: "counter", help: "Dispatches, repeats included.", labels: ["topic"] },
  cordum_scheduler_jobs_completed_total: {
    type: "counter",
    help: "Jobs that reached a terminal state; status is JOB_STATUS_<state>.",
    labels: ["topic", "status"],
  },
  cordum_scheduler_stray_results_total: {
    type: "counter",
    help: "Results that changed nothing, by reason: late, doubled, foreign, unknown_job.",
    labels: ["reason"],
  },
  cordum_scheduler_job_stops_total: {
    type: "counter",
    help: "Orders to workers to stop a job that had ended, by what became of them: acknowledged, unknown.",
    labels: ["outcome"],
  },
  cordum_scheduler_submits_held_total: {
    type: "counter",
    help: "Submissions that waited for a slot to come free before their job was stored, by what ended the wait (slot, time).",
    labels: ["outcome"],
  },
  cordum_scheduler_submits_paced_total: {
    type: "counter",
    help: "Jobs from the bus whose tenant submits more than it may, by what became of them: waits (for its turn), failed (too many wait).",
    labels: ["outcome"],
  },
  cordum_scheduler_validation_rejections_total: {
    type: "counter",
    help: "Packets that were refused, by the code or the field that was wrong.",
    labels: ["reason"],
  },
  cordum_scheduler_signature_refused_total: {
    type: "counter",
    help: "Packets that were refused for their signature, by reason: missing, unknown_sender, invalid, sender_mismatch, stale, malformed. In mode warn they went on.",
    labels: ["reason"],
  },
  cordum_scheduler_safety_denied_total: { type: "counter", help: "Jobs that policy denied.", labels: ["topic"] },
  cordum_scheduler_safety_unavailable_total: {
    type: "counter",
    help: "Decisions that had to wait because no policy was loaded.",
    labels: [],
  },
  cordum_scheduler_dead_letters_total: { type: "counter", help: "Jobs that became a dead letter.", labels: ["topic"] },
  cordum_scheduler_job_retries_total: {
    type: "counter",
    help: "Dispatches of a job after its first attempt.",
    labels: ["topic"],
  },
  cordum_scheduler_job_duration_seconds: {
    type: "histogram",
    help: "Time from acceptance to the terminal state, waiting for people and limits included.",
    labels: ["status"],
    buckets: LAG_BUCKETS,
  },
  cordum_approval_decisions_total: {
    type: "counter",
    help: "Answers to approvals: approved, rejected.",
    labels: ["decision"],
  },
  cordum_approval_latency_seconds: {
    type: "histogram",
    help: "Time from the question to the answer of a person.",
    labels: [],
    buckets: PATIENCE_BUCKETS,
  },
  cordum_approval_expired_total: { type: "counter", help: "Approvals that nobody answered in time.", labels: [] },
  cordum_approval_queue_depth: { type: "gauge", help: "Jobs that wait for a person.", labels: [] },
  cordum_approval_oldest_seconds: {
    type: "gauge",
    help: "Age of the question that has waited longest for a person.",
    labels: [],
  },
  cordum_bus_connected: { type: "gauge", help: "1 while this process is connected to the bus.", labels: [] },
  cordum_bus_reconnects_total: { type: "counter", help: "Times that the bus was lost and found again.", labels: [] },
  cordum_scheduler_dispatch_latency_seconds: {
    type: "histogram",
    help: "Time from acceptance to the first dispatch.",
    labels: [],
    buckets: LAG_BUCKETS,
  },
  cordum_scheduler_alarm_lag_seconds: {
    type: "histogram",
    help: "How late alarms are handled.",
    labels: [],
    buckets: LAG_BUCKETS,
  },
  cordum_scheduler_backlog_jobs: { type: "gauge", help: "Jobs that wait for a worker.", labels: ["pool"] },
  cordum_scheduler_backlog_oldest_seconds: {
    type: "gauge",
    help: "Age of the job that has waited longest for a worker.",
    labels: ["pool"],
  },
  cordum_scheduler_workers: { type: "gauge", help: "Workers heard of in the last 30 s.", labels: ["pool"] },
} as const satisfies { readonly [name: string]: MetricSpec };

export type MetricName = keyof typeof METRICS;

/** The page docs/reference/metrics.md; a test keeps the two equal. */
export function metricsPage(metrics: { readonly [name: string]: MetricSpec } = METRICS): string {
  const rows = Object.entries(metrics).map(([name, spec]) => {
    const labels = spec.labels.map((label) => `\`${label}\``).join(", ");
    const buckets = spec.buckets === undefined ? "" : ` Buckets: ${spec.buckets.join(" ")}.`;
    return `| \`${name}\` | ${spec.type} | ${labels} | ${spec.help}${buckets} |`;
  });
  return `${PAGE_HEAD}\n${rows.join("\n")}\n`;
}

const PAGE_HEAD = `# Metrics

Prometheus text at \`/metrics\`. A metric keeps at most 1,000 combinations of label values; further ones are counted under \`other\`.
The usual \`process_*\` and \`nodejs_*\` metrics are there too. This page is generated from the table of metrics.

| Name | Type | Labels | Meaning |
|---|---|---|---|`;
