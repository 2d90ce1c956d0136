// The meter: counts in memory, rendered as Prometheus text when somebody looks.
// Owns:          series, their limit, rendering.
// Must not know: who measures what.
// E1. A name or label that the table does not list is a programmer error. E2. A metric has at most `seriesMax` series; further label
//     values share the series `other`, so no user can fill the memory with topics. E3. Counting is a lookup and an addition: the
//     library's own bookkeeping (a sorted hash of labels for each call) is left to the moment of rendering.

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { assert } from "../ports/fault.ts";
import type { Labels, Meter } from "../ports/telemetry.ts";
import { METRICS, type MetricSpec } from "./metrics.ts";

export interface ReadableMeter extends Meter {
  /** Prometheus text, format 0.0.4. */
  text(): Promise<string>;
  readonly contentType: string;
}

export interface MeterSettings {
  readonly metrics: { readonly [name: string]: MetricSpec };
  readonly seriesMax: number;
  /** Also tell about this process: CPU, memory, event loop, garbage collection. */
  readonly process: boolean;
}

export const DEFAULT_METER_SETTINGS: MeterSettings = { metrics: METRICS, seriesMax: 1_000, process: true };

const LABEL_CHARS_MAX = 128;

interface Series {
  readonly labels: Record<string, string>;
  value: number;
}
interface Metric {
  readonly name: string;
  readonly spec: MetricSpec;
  readonly series: Map<string, Series>;
  readonly histogram: Histogram | undefined;
}

export function createMeter(settings: MeterSettings = DEFAULT_METER_SETTINGS): ReadableMeter {
  const registry = new Registry();
  if (settings.process) collectDefaultMetrics({ register: registry });
  const metrics = new Map(
    Object.entries(settings.metrics).map(([name, spec]) => [name, register(name, spec, registry)]),
  );
  const find = (name: string, type: MetricSpec["type"], labels: Labels): Metric => {
    const metric = metrics.get(name);
    assert(metric !== undefined, "a metric is listed in metrics.ts", { name });
    assert(metric.spec.type === type, "a metric is used as what it is", { name, type });
    assert(Object.keys(labels).length === metric.spec.labels.length, "a metric has exactly its labels", { name });
    return metric;
  };
  return {
    count(name, labels = NONE, by = 1) {
      seriesOf(find(name, "counter", labels), labels, settings.seriesMax).value += by;
    },
    gauge(name, value, labels = NONE) {
      seriesOf(find(name, "gauge", labels), labels, settings.seriesMax).value = value;
    },
    observe(name, value, labels = NONE) {
      const metric = find(name, "histogram", labels);
      metric.histogram?.observe(seriesOf(metric, labels, settings.seriesMax).labels, value);
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

/** Counts nothing. */
export function silentMeter(): Meter {
  const nothing = (): void => undefined;
  return { count: nothing, observe: nothing, gauge: nothing };
}

const NONE: Labels = {};

function register(name: string, spec: MetricSpec, registry: Registry): Metric {
  const series = new Map<string, Series>();
  const about = { name, help: spec.help, labelNames: [...spec.labels], registers: [registry] };
  if (spec.type === "histogram") {
    return { name, spec, series, histogram: new Histogram({ ...about, buckets: [...(spec.buckets ?? [])] }) };
  }
  if (spec.type === "counter") {
    const counter = new Counter({
      ...about,
      collect: () => {
        counter.reset();
        for (const { labels, value } of series.values()) counter.inc(labels, value);
      },
    });
  } else {
    const gauge = new Gauge({
      ...about,
      collect: () => {
        for (const { labels, value } of series.values()) gauge.set(labels, value);
      },
    });
  }
  return { name, spec, series, histogram: undefined };
}

function seriesOf(metric: Metric, labels: Labels, seriesMax: number): Series {
  let key = "";
  for (const label of metric.spec.labels) key += `${labels[label]}\u0000`;
  const known = metric.series.get(key);
  if (known !== undefined) return known;
  for (const label of metric.spec.labels)
    assert(labels[label] !== undefined, "a metric has exactly its labels", { metric: metric.name, label });
  if (metric.series.size >= seriesMax) return overflow(metric);
  const added: Series = { labels: copy(metric, (label) => (labels[label] ?? "").slice(0, LABEL_CHARS_MAX)), value: 0 };
  metric.series.set(key, added);
  return added;
}

function overflow(metric: Metric): Series {
  const known = metric.series.get(OVERFLOW);
  if (known !== undefined) return known;
  const added: Series = { labels: copy(metric, () => "other"), value: 0 };
  metric.series.set(OVERFLOW, added);
  return added;
}

/** No joined label values equal it: those end in a NUL. */
const OVERFLOW = "other";

function copy(metric: Metric, read: (label: string) => string): Record<string, string> {
  return Object.fromEntries(metric.spec.labels.map((label) => [label, read(label)]));
}
