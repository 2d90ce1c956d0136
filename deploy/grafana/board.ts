// The Grafana board, written down once as a table.
// Owns:          which panels there are, what each asks Prometheus; the JSON that Grafana imports.
// Must not know: how the metrics come about (telemetry/metrics.ts names them; a test holds the two together).
// B1. From the top: what an operator asks first. Is anything broken, is anything waiting, where does the time go, what is the process doing.

interface Query {
  readonly expr: string;
  readonly legend: string;
}
interface Panel {
  readonly title: string;
  /** What a high or low line means, and what to do. */
  readonly about: string;
  readonly unit: "short" | "s" | "reqps" | "percentunit" | "bytes" | "bool_on_off";
  readonly queries: readonly Query[];
  /** One number instead of lines over time. */
  readonly isNumber?: true;
}
interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

const rate = (metric: string, by: string): string =>
  `sum by (${by}) (rate(${metric}{instance=~"$instance"}[$__rate_interval]))`;
const share = (quantile: number, metric: string, by = "le"): string =>
  `histogram_quantile(${quantile}, sum by (${by}) (rate(${metric}_bucket{instance=~"$instance"}[$__rate_interval])))`;
const both = (metric: string): readonly Query[] =>
  [0.5, 0.99].map((quantile) => ({ expr: share(quantile, metric), legend: `p${quantile * 100}` }));

export const ROWS: readonly Row[] = [
  {
    title: "Now",
    panels: [
      {
        title: "Jobs waiting for a worker",
        about:
          "The whole backlog. With workers that are free this should be near zero; `cordum why <job>` says what one of them waits for.",
        unit: "short",
        isNumber: true,
        queries: [{ expr: "sum(max by (pool) (cordum_scheduler_backlog_jobs))", legend: "" }],
      },
      {
        title: "Longest wait for a worker",
        about: "Age of the oldest waiting job. It grows while a pool has no worker, or none that is free.",
        unit: "s",
        isNumber: true,
        queries: [{ expr: "max(cordum_scheduler_backlog_oldest_seconds)", legend: "" }],
      },
      {
        title: "Waiting for a person",
        about: "Open approvals. `cordum approvals` lists them.",
        unit: "short",
        isNumber: true,
        queries: [{ expr: "max(cordum_approval_queue_depth)", legend: "" }],
      },
      {
        title: "Workers",
        about: "Workers heard of in the last 30 seconds.",
        unit: "short",
        isNumber: true,
        queries: [{ expr: "sum(max by (pool) (cordum_scheduler_workers))", legend: "" }],
      },
      {
        title: "Without a bus",
        about: "Processes that are not connected to NATS. Jobs are taken all the same and begin when it is back.",
        unit: "short",
        isNumber: true,
        queries: [{ expr: "count(cordum_bus_connected == 0) or vector(0)", legend: "" }],
      },
    ],
  },
  {
    title: "Jobs",
    panels: [
      {
        title: "Accepted and dispatched",
        about: "Dispatches above acceptances are repeats.",
        unit: "reqps",
        queries: [
          { expr: "sum(rate(cordum_scheduler_jobs_received_total[$__rate_interval]))", legend: "accepted" },
          { expr: "sum(rate(cordum_scheduler_jobs_dispatched_total[$__rate_interval]))", legend: "dispatched" },
          { expr: "sum(rate(cordum_scheduler_job_retries_total[$__rate_interval]))", legend: "repeats" },
        ],
      },
      {
        title: "How jobs end",
        about: "By state.",
        unit: "reqps",
        queries: [{ expr: rate("cordum_scheduler_jobs_completed_total", "status"), legend: "{{status}}" }],
      },
      {
        title: "Dead letters by topic",
        about: "Ended jobs that somebody should look at: `cordum dlq`.",
        unit: "reqps",
        queries: [{ expr: rate("cordum_scheduler_dead_letters_total", "topic"), legend: "{{topic}}" }],
      },
      {
        title: "From acceptance to dispatch",
        about: "What placing costs, plus the wait for a free worker.",
        unit: "s",
        queries: both("cordum_scheduler_dispatch_latency_seconds"),
      },
      {
        title: "From acceptance to the end",
        about: "The 99th percentile by final state, the work itself and all waiting included.",
        unit: "s",
        queries: [{ expr: share(0.99, "cordum_scheduler_job_duration_seconds", "le, status"), legend: "{{status}}" }],
      },
      {
        title: "Backlog by pool",
        about: "Jobs that wait for a worker of the pool.",
        unit: "short",
        queries: [{ expr: "max by (pool) (cordum_scheduler_backlog_jobs)", legend: "{{pool}}" }],
      },
    ],
  },
  {
    title: "Policy and people",
    panels: [
      {
        title: "Denied by policy",
        about: "A jump after a change of policy deserves a look at the change.",
        unit: "reqps",
        queries: [{ expr: rate("cordum_scheduler_safety_denied_total", "topic"), legend: "{{topic}}" }],
      },
      {
        title: "Decisions that had to wait",
        about: "No policy was loaded; jobs wait and nothing is let through.",
        unit: "reqps",
        queries: [
          { expr: "sum(rate(cordum_scheduler_safety_unavailable_total[$__rate_interval]))", legend: "waiting" },
        ],
      },
      {
        title: "Answers to approvals",
        about: "Approved, rejected, and those that nobody answered in time.",
        unit: "reqps",
        queries: [
          { expr: rate("cordum_approval_decisions_total", "decision"), legend: "{{decision}}" },
          { expr: "sum(rate(cordum_approval_expired_total[$__rate_interval]))", legend: "expired" },
        ],
      },
      {
        title: "Time until an answer",
        about: "How long people take.",
        unit: "s",
        queries: both("cordum_approval_latency_seconds"),
      },
    ],
  },
  {
    title: "API",
    panels: [
      {
        title: "Requests by status",
        about: "5xx other than 503 is a fault of ours: look for request.failed in the log.",
        unit: "reqps",
        queries: [{ expr: rate("cordum_api_gateway_http_requests_total", "status"), legend: "{{status}}" }],
      },
      {
        title: "Latency by route, 99th percentile",
        about: "Time from the request's head to the end of its answer.",
        unit: "s",
        queries: [
          { expr: share(0.99, "cordum_api_gateway_http_request_duration_seconds", "le, route"), legend: "{{route}}" },
        ],
      },
      {
        title: "Refused",
        about:
          "Requests that reached no handler. UNAUTHENTICATED in number: somebody is guessing keys, or a key has expired.",
        unit: "reqps",
        queries: [{ expr: rate("cordum_api_gateway_http_refused_total", "code"), legend: "{{code}}" }],
      },
    ],
  },
  {
    title: "Trust",
    panels: [
      {
        title: "Results that changed nothing",
        about: "Late: the job had ended. Foreign: the job was given to somebody else. Unknown: no such job.",
        unit: "reqps",
        queries: [{ expr: rate("cordum_scheduler_stray_results_total", "reason"), legend: "{{reason}}" }],
      },
      {
        title: "Refused packets",
        about: "By the code or field that was wrong, and by what was wrong with the signature.",
        unit: "reqps",
        queries: [
          { expr: rate("cordum_scheduler_validation_rejections_total", "reason"), legend: "{{reason}}" },
          { expr: rate("cordum_scheduler_signature_refused_total", "reason"), legend: "signature {{reason}}" },
        ],
      },
    ],
  },
  {
    title: "Processes",
    panels: [
      {
        title: "How late alarms are",
        about:
          "Deadlines, retries and throttles are alarms. Seconds here mean an overloaded scheduler or a slow store.",
        unit: "s",
        queries: both("cordum_scheduler_alarm_lag_seconds"),
      },
      {
        title: "CPU",
        about: "Cores that each process uses.",
        unit: "short",
        queries: [{ expr: rate("process_cpu_seconds_total", "instance"), legend: "{{instance}}" }],
      },
      {
        title: "Memory",
        about: "Resident size of each process.",
        unit: "bytes",
        queries: [{ expr: 'process_resident_memory_bytes{instance=~"$instance"}', legend: "{{instance}}" }],
      },
      {
        title: "Event loop lag, 99th percentile",
        about: "A process that answers late although the store is fast.",
        unit: "s",
        queries: [{ expr: 'nodejs_eventloop_lag_p99_seconds{instance=~"$instance"}', legend: "{{instance}}" }],
      },
    ],
  },
];

const COLUMNS = 24;
const [NUMBER_HEIGHT, LINES_HEIGHT] = [4, 8];

/** The board as Grafana imports it, with a newline at the end. Source of the form: Grafana's dashboard JSON model, schema 39. */
export function boardText(rows: readonly Row[] = ROWS): string {
  return `${JSON.stringify(boardOf(rows), undefined, 2)}\n`;
}

function boardOf(rows: readonly Row[]): object {
  const panels: object[] = [];
  let [id, y] = [0, 0];
  for (const row of rows) {
    panels.push({
      id: ++id,
      type: "row",
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y: y++, w: COLUMNS, h: 1 },
      panels: [],
    });
    const perLine = row.panels.every((panel) => panel.isNumber) ? row.panels.length : Math.min(3, row.panels.length);
    const w = Math.floor(COLUMNS / perLine);
    const h = row.panels.every((panel) => panel.isNumber) ? NUMBER_HEIGHT : LINES_HEIGHT;
    row.panels.forEach((panel, at) => {
      panels.push(panelOf(panel, ++id, { x: (at % perLine) * w, y: y + Math.floor(at / perLine) * h, w, h }));
    });
    y += Math.ceil(row.panels.length / perLine) * h;
  }
  return {
    uid: "cordum",
    title: "Cordum",
    tags: ["cordum"],
    timezone: "browser",
    schemaVersion: 39,
    refresh: "30s",
    time: { from: "now-3h", to: "now" },
    templating: { list: [source, instances] },
    panels,
  };
}

// Grafana fills in the variable of that name.
const datasource = { type: "prometheus", uid: `\${source}` };
const source = { name: "source", label: "Prometheus", type: "datasource", query: "prometheus" };
const instances = {
  name: "instance",
  label: "Process",
  type: "query",
  datasource,
  query: { query: "label_values(cordum_bus_connected, instance)", refId: "instances" },
  refresh: 2,
  includeAll: true,
  multi: true,
  allValue: ".*",
  current: { text: "All", value: "$__all" },
};

function panelOf(panel: Panel, id: number, gridPos: object): object {
  return {
    id,
    type: panel.isNumber ? "stat" : "timeseries",
    title: panel.title,
    description: panel.about,
    datasource,
    gridPos,
    fieldConfig: { defaults: { unit: panel.unit, min: 0 }, overrides: [] },
    options: panel.isNumber
      ? { reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false }, colorMode: "value", graphMode: "area" }
      : { legend: { displayMode: "list", placement: "bottom" }, tooltip: { mode: "multi", sort: "desc" } },
    targets: panel.queries.map(({ expr, legend }, at) => ({
      refId: String.fromCharCode(65 + at),
      datasource,
      expr,
      legendFormat: legend,
    })),
  };
}
