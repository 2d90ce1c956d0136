// The meter: counts in memory, rendered as Prometheus text when somebody looks.
// Owns:          the metrics of the table, and beside them those of the process.
// Must not know: who measures what.
// E1. A name or label that the table does not list is a programmer error. E2. How many series a metric may have: series.ts. E3. The library
//     measures the process alone: its own histogram costs more than the rest of what the gateway does for a request (6 µs of 50).

import { collectDefaultMetrics, Registry } from "prom-client";
import { assert } from "../ports/fault.ts";
import type { Labels, Meter } from "../ports/telemetry.ts";
import { METRICS, type MetricSpec } from "./metrics.ts";
import { prometheusText } from "./prometheus-text.ts";
import { SeriesOfMetric } from "./series.ts";

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

export function createMeter(settings: MeterSettings = DEFAULT_METER_SETTINGS): ReadableMeter {
  const registry = new Registry();
  if (settings.process) collectDefaultMetrics({ register: registry });
  const metrics = new Map(
    Object.entries(settings.metrics).map(([name, spec]) => [name, new SeriesOfMetric(spec, settings.seriesMax)]),
  );
  const find = (name: string, type: MetricSpec["type"]): SeriesOfMetric => {
    const metric = metrics.get(name);
    assert(metric !== undefined, "a metric is listed in metrics.ts", { name });
    assert(metric.spec.type === type, "a metric is used as what it is", { name, type });
    return metric;
  };
  return {
    count(name, labels = NONE, by = 1) {
      find(name, "counter").of(labels).value += by;
    },
    gauge(name, value, labels = NONE) {
      find(name, "gauge").of(labels).value = value;
    },
    observe(name, value, labels = NONE) {
      find(name, "histogram").observe(value, labels);
    },
    async text() {
      const ours = [...metrics].map(([name, metric]) => prometheusText(name, metric.spec, metric.all));
      return `${settings.process ? await registry.metrics() : ""}${ours.join("\n")}\n`;
    },
    contentType: registry.contentType,
  };
}

/** Counts nothing. */
export function silentMeter(): Meter {
  const nothing = (): void => undefined;
  return { count: nothing, observe: nothing, gauge: nothing };
}

const NONE: Labels = {};
