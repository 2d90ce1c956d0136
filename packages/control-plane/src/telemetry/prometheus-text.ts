// Metrics as Prometheus reads them.
// Owns:          the text exposition format, version 0.0.4.
// Must not know: who measures, which metrics there are.
// Source: Prometheus documentation, "Exposition formats".

import type { MetricSpec } from "./metrics.ts";
import type { Series } from "./series.ts";

/** One metric, without an empty line behind it. */
export function prometheusText(name: string, spec: MetricSpec, series: readonly Series[]): string {
  const head = `# HELP ${name} ${escapeHelp(spec.help)}\n# TYPE ${name} ${spec.type}`;
  const lines = series.flatMap((one) => {
    const labels = spec.labels.map((label, at) => `${label}="${escapeLabel(one.labelValues[at] ?? "")}"`);
    return spec.type === "histogram"
      ? histogramLines(name, labels, spec.buckets ?? [], one)
      : [sample(name, labels, one.value)];
  });
  return [head, ...lines].join("\n");
}

/** Buckets are said to hold all that is at most as large as their bound. */
function histogramLines(
  name: string,
  labels: readonly string[],
  bounds: readonly number[],
  series: Series,
): readonly string[] {
  let count = 0;
  const buckets = [...bounds, "+Inf"].map((bound, at) => {
    count += series.buckets[at] ?? 0;
    return sample(`${name}_bucket`, [`le="${bound}"`, ...labels], count);
  });
  return [...buckets, sample(`${name}_sum`, labels, series.value), sample(`${name}_count`, labels, count)];
}

function sample(name: string, labels: readonly string[], value: number): string {
  return `${name}${labels.length === 0 ? "" : `{${labels.join(",")}}`} ${numberText(value)}`;
}

function numberText(value: number): string {
  if (Number.isFinite(value) || Number.isNaN(value)) return String(value);
  return value > 0 ? "+Inf" : "-Inf";
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
