// What deploy/ offers fits the metrics that there are, and the documents that it names.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parser } from "@prometheus-io/lezer-promql";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { boardText, ROWS } from "../deploy/grafana/board.ts";
import { METRICS } from "../packages/control-plane/src/telemetry/metrics.ts";

const ROOT = join(import.meta.dirname, "..");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook: string };
}
const alerts: { readonly groups: readonly { readonly rules: readonly Rule[] }[] } = parse(
  read("deploy/prometheus/alerts.yaml"),
);
const rules = alerts.groups.flatMap((group) => group.rules);

/** Words that the parser could not place. */
function faultsOf(expr: string): readonly string[] {
  const faults: string[] = [];
  const asked = expr.replaceAll("$__rate_interval", "5m").replaceAll("$instance", ".*");
  parser.parse(asked).iterate({
    enter: ({ type, from, to }) => {
      if (type.isError) faults.push(`at ${from}: ${asked.slice(from, to + 10)}`);
    },
  });
  return faults;
}

const OF_THE_PROCESS =
  /^(up|process_cpu_seconds_total|process_resident_memory_bytes|nodejs_eventloop_lag_p99_seconds)$/;

/** Metrics and labels that are asked for and do not exist. */
function strangersIn(expr: string): readonly string[] {
  const names = [...expr.matchAll(/\b(?:cordum|process|nodejs)_[a-z0-9_]+|\bup\b/g)].map(([name]) => name);
  expect(names, expr).not.toEqual([]);
  const specs = names.map((name) => ({ name, spec: specOf(name) }));
  const labels = new Set(["instance", "job", "le", ...specs.flatMap(({ spec }) => spec?.labels ?? [])]);
  const asked = [...expr.matchAll(/\bby \(([^)]*)\)|(\w+)\s*(?:=~|!=|=)"/g)].flatMap(([, by = "", one]) =>
    one === undefined ? by.split(/,\s*/) : [one],
  );
  return [
    ...specs.filter(({ name, spec }) => spec === undefined && !OF_THE_PROCESS.test(name)).map(({ name }) => name),
    ...asked.filter((label) => !labels.has(label)),
  ];
}

function specOf(name: string): { readonly labels: readonly string[] } | undefined {
  return Object.entries(METRICS).find(([metric, { type }]) =>
    type === "histogram"
      ? /^_(bucket|sum|count)$/.test(name.slice(metric.length)) && name.startsWith(metric)
      : name === metric,
  )?.[1];
}

function anchorsOf(page: string): readonly string[] {
  return [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replace(/[^\w\s-]/g, "")
      .trim()
      .replaceAll(" ", "-"),
  );
}

describe("the alert rules", () => {
  it.each(rules.map((rule) => [rule.alert, rule] as const))("%s asks what there is and leads to help", (_, rule) => {
    expect(faultsOf(rule.expr)).toEqual([]);
    expect(strangersIn(rule.expr)).toEqual([]);
    expect(["page", "ticket"]).toContain(rule.labels.severity);
    const [page = "", anchor = ""] = rule.annotations.runbook.split("#");
    expect(anchorsOf(page)).toContain(anchor);
    expect(rule.annotations.summary.length).toBeGreaterThan(10);
    expect(rule.annotations.description.length).toBeGreaterThan(10);
  });

  it("have names of their own, and the checks above find what is wrong", () => {
    expect(new Set(rules.map((rule) => rule.alert)).size).toBe(rules.length);
    expect(faultsOf("sum(rate(x[5m])")).not.toEqual([]);
    expect(strangersIn('rate(cordum_gone_total{code="x"}[5m])')).toEqual(["cordum_gone_total", "code"]);
    expect(strangersIn("sum by (tenant) (cordum_scheduler_workers)")).toEqual(["tenant"]);
  });
});

describe("the Grafana board", () => {
  it("is written from its table", async () => {
    await expect(boardText()).toMatchFileSnapshot("../deploy/grafana/cordum.json");
  });

  it.each(ROWS.flatMap((row) => row.panels).map((panel) => [panel.title, panel] as const))(
    "asks in %s what there is",
    (_, panel) => {
      for (const { expr } of panel.queries) {
        expect(faultsOf(expr)).toEqual([]);
        expect(strangersIn(expr)).toEqual([]);
      }
    },
  );
});
