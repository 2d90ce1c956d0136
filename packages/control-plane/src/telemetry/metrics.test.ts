import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createMeter, DEFAULT_METER_SETTINGS } from "./meter.ts";
import { METRICS, type MetricSpec, metricsPage } from "./metrics.ts";

const meterOf = (seriesMax = 10) => createMeter({ ...DEFAULT_METER_SETTINGS, process: false, seriesMax });
const SRC = fileURLToPath(new URL("..", import.meta.url));

describe("metrics", () => {
  it("are documented as they are", async () => {
    await expect(metricsPage()).toMatchFileSnapshot("../../../../docs/reference/metrics.md");
  });

  it("have names that Prometheus takes, and units in them", () => {
    for (const [name, spec] of Object.entries(METRICS)) {
      expect(name).toMatch(/^cordum_[a-z_]+$/);
      if (spec.type === "counter") expect(name).toMatch(/_total$/);
      if (spec.type === "histogram") expect(name).toMatch(/_(seconds|bytes)$/);
      expect("buckets" in spec).toBe(spec.type === "histogram");
      expect(spec.labels.filter((label) => /id$|tenant|principal/.test(label))).toEqual([]);
    }
  });

  it("are the only ones that the sources use", () => {
    const used = readdirSync(SRC, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts"))
      .flatMap((path) => [
        ...readFileSync(`${SRC}${path}`, "utf8").matchAll(
          /["'`](cordum_[a-z_]+_(?:total|seconds|bytes|jobs|workers))["'`]/g,
        ),
      ])
      .map((match) => match[1] ?? "");
    expect(used.length).toBeGreaterThan(3);
    expect(used.filter((name) => !Object.hasOwn(METRICS, name))).toEqual([]);
  });
});

describe("the meter", () => {
  it("counts by labels, and says it in Prometheus' words", async () => {
    const meter = meterOf();
    meter.count("cordum_scheduler_jobs_completed_total", { topic: "job.a", status: "JOB_STATUS_FAILED" });
    meter.count("cordum_scheduler_jobs_completed_total", { status: "JOB_STATUS_FAILED", topic: "job.a" }, 2);
    meter.count("cordum_scheduler_jobs_completed_total", { topic: 'job."\n\\', status: "x" });
    meter.gauge("cordum_scheduler_backlog_jobs", 7, { pool: "p" });
    meter.gauge("cordum_scheduler_backlog_jobs", 3, { pool: "p" });
    meter.observe("cordum_scheduler_alarm_lag_seconds", 0.2);
    for (const _ of [1, 2]) {
      const text = await meter.text();
      expect(text).toContain('cordum_scheduler_jobs_completed_total{topic="job.a",status="JOB_STATUS_FAILED"} 3');
      expect(text).toContain('topic="job.\\"\\n\\\\"');
      expect(text).toContain('cordum_scheduler_backlog_jobs{pool="p"} 3');
      expect(text).toContain('cordum_scheduler_alarm_lag_seconds_bucket{le="0.25"} 1');
      expect(text).toContain("cordum_scheduler_alarm_lag_seconds_sum 0.2");
    }
  });

  it("says of a histogram how much was at most as large as each bound", async () => {
    const spec: MetricSpec = { type: "histogram", help: "How\\long\nit took.", labels: ["route"], buckets: [0.5, 1] };
    const meter = createMeter({ metrics: { took_seconds: spec }, process: false, seriesMax: 10 });
    for (const value of [0, 0.5, 0.75, 4]) meter.observe("took_seconds", value, { route: '/"x"' });
    expect(await meter.text()).toBe(`# HELP took_seconds How\\\\long\\nit took.
# TYPE took_seconds histogram
took_seconds_bucket{le="0.5",route="/\\"x\\""} 2
took_seconds_bucket{le="1",route="/\\"x\\""} 3
took_seconds_bucket{le="+Inf",route="/\\"x\\""} 4
took_seconds_sum{route="/\\"x\\""} 5.25
took_seconds_count{route="/\\"x\\""} 4
`);
  });

  it("says zero of what has no labels and never happened, and nothing of what has labels", async () => {
    const bare = { help: "h", labels: [] } as const;
    const metrics: { [name: string]: MetricSpec } = {
      a_total: { ...bare, type: "counter" },
      b_jobs: { ...bare, type: "gauge" },
      c_seconds: { ...bare, type: "histogram", buckets: [1] },
      d_total: { type: "counter", help: "h", labels: ["topic"] },
    };
    const lines = (await createMeter({ metrics, process: false, seriesMax: 10 }).text()).split("\n");
    expect(lines.filter((line) => !line.startsWith("#"))).toEqual([
      "a_total 0",
      "b_jobs 0",
      'c_seconds_bucket{le="1"} 0',
      'c_seconds_bucket{le="+Inf"} 0',
      "c_seconds_sum 0",
      "c_seconds_count 0",
      "",
    ]);
  });

  it("tells of the process too, in the same text", async () => {
    const meter = createMeter({ ...DEFAULT_METER_SETTINGS, seriesMax: 10 });
    const lines = (await meter.text()).split("\n");
    expect(lines.some((line) => line.startsWith("process_cpu_seconds_total "))).toBe(true);
    expect(lines).toContain("# TYPE cordum_scheduler_jobs_received_total counter");
  });

  it("keeps a bounded number of series, whatever users name their topics", async () => {
    const meter = meterOf(10);
    for (let n = 0; n < 1_000; n++)
      meter.count("cordum_scheduler_jobs_received_total", { topic: `job.${n}${"x".repeat(1_000)}` });
    const lines = (await meter.text())
      .split("\n")
      .filter((line) => line.startsWith("cordum_scheduler_jobs_received_total{"));
    expect(lines).toHaveLength(11);
    expect(lines.at(-1)).toBe('cordum_scheduler_jobs_received_total{topic="other"} 990');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(250);
  });

  it.each<[string, (meter: ReturnType<typeof meterOf>) => void]>([
    ["an unknown name", (meter) => meter.count("cordum_nothing_total")],
    ["a name of Object", (meter) => meter.count("constructor")],
    ["another type", (meter) => meter.gauge("cordum_scheduler_jobs_received_total", 1, { topic: "t" })],
    ["a missing label", (meter) => meter.count("cordum_scheduler_jobs_received_total")],
    ["a wrong label", (meter) => meter.count("cordum_scheduler_jobs_received_total", { subject: "t" })],
    ["what is no number", (meter) => meter.observe("cordum_scheduler_alarm_lag_seconds", Number.NaN)],
    ["a label too many", (meter) => meter.count("cordum_scheduler_jobs_received_total", { topic: "t", more: "m" })],
  ])("takes %s for a programmer error", (_, use) => {
    expect(() => use(meterOf())).toThrow(/assertion failed/);
  });
});
